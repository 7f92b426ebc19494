// Who this page acts for, where the register asks for tokens. The token itself is in a cookie that no script can read.

import {Refusal} from "./server.js";
import {line} from "./text.js";

const SESSION = "/session";

export class Session {
  /** `changed` is called with what the person may do: `none`, `read` or `write`. */
  constructor(server, parts, changed) {
    Object.assign(this, {server, ...parts, changed});
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#signIn();
    });
    this.signOut.addEventListener("click", () => this.#end());
  }

  /** Asks the server. */
  async look() {
    this.#take(await this.server.get(SESSION));
  }

  async #signIn() {
    this.error.textContent = "";
    try {
      const headers = {authorization: `Bearer ${this.token.value.trim()}`};
      this.#take(await this.server.send("POST", SESSION, undefined, headers));
      this.form.reset();
    } catch (error) {
      const isUnknown = error instanceof Refusal && error.status === 401;
      this.error.textContent = isUnknown ? "The server does not know this token." : line(error.message);
      this.token.focus();
      this.token.select();
    }
  }

  async #end() {
    try {
      this.#take(await this.server.send("DELETE", SESSION));
    } catch (error) {
      this.failed(`You are still signed in: ${error.message}`);
    }
  }

  #take({name, scope, csrf}) {
    this.server.csrf = csrf ?? null;
    this.who.hidden = !csrf;
    this.name.textContent = line(name ?? "") + (scope === "read" ? " (read only)" : "");
    // A token must not go where anybody between could read it. What the browser holds for safe is by TLS, or this machine.
    this.form.hidden = !isSecureContext;
    this.refused.hidden = isSecureContext;
    this.changed(scope);
  }
}
