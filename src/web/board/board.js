// The board: what the parts of the page have to do with one another.

import {Detail} from "./detail.js";
import {Filters} from "./filters.js";
import {address, List, PAGE} from "./list.js";
import {CONSIGNMENTS, Live} from "./live.js";
import {Record} from "./record.js";
import {Server} from "./server.js";
import {Session} from "./session.js";
import {count, element, line} from "./text.js";
import {Vessels} from "./vessels.js";

const STATES = {loading: "Loading", live: "Live", away: "Not reached, trying again", refused: "Refused"};
/** The news is told at most so often, in milliseconds, to those who have it read to them. */
const NEWS_EVERY = 5_000;
/** How long to wait before the server is asked again who this is, in milliseconds. */
const SESSION_RETRY = 1_000;

class Board {
  /** Whether the newest are shown, as they come; else a page that was gone to. */
  #isNewest = true;
  /** Whether what is shown is of other conditions than those that are set, until the server has answered. */
  #isStale = true;
  #register = null;
  #isAsking = false;
  #mayRead = false;
  #newSince = 0;
  #untold = 0;
  #newsTimer = null;

  constructor() {
    const at = (id) => document.getElementById(id);
    this.at = at;
    this.server = new Server();
    // Who has lost a token may have another.
    this.server.stranger = () => this.#mayRead && this.start();
    this.list = new List(at("rows"), (many) => this.#drawn(many));
    this.filters = new Filters(at("filters"), at("clear"), () => this.#begin());
    this.vessels = new Vessels(this.server, {body: at("vessels"), cover: at("vessels-cover"), known: at("known-vessels")},
      (vessel) => this.filters.set({vessel_id: vessel}));
    this.detail = new Detail(this.server, at("detail"), (id) => this.list.find(id));
    this.record = new Record(this.server, at("record"), (stored) => this.#recorded(stored));
    this.live = new Live(this.server, this);
    const parts = {form: at("sign-in-form"), token: at("token"), error: at("token-error"), refused: at("sign-in-refused"),
      who: at("who"), name: at("who-name"), signOut: at("sign-out"), failed: (text) => this.#note(text)};
    this.session = new Session(this.server, parts, (scope) => this.#may(scope));
    at("new").addEventListener("click", () => this.record.open());
    at("older").addEventListener("click", () => this.#go({newest_first: true, before: this.list.oldest}));
    at("newer").addEventListener("click", () => this.#go({after: this.list.newest}));
    at("newest").addEventListener("click", () => this.#begin());
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Asks who this is, and shows what they may see. */
  async start() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      await this.session.look();
    } catch {
      this.state("away");
      setTimeout(() => this.start(), SESSION_RETRY);
    } finally {
      this.#isAsking = false;
    }
  }

  // What the list is told while it is kept up with.

  state(name) {
    const state = this.at("state");
    if (state.dataset.state === name) return;
    state.dataset.state = name;
    state.textContent = STATES[name];
  }

  page(consignments, register) {
    if (this.#register !== register) {
      this.vessels.clear();
      this.#isNewest = true;
      this.#isStale = true;
    }
    this.#register = register;
    this.at("register-id").textContent = `register ${register}`;
    if (!this.#isNewest) return;
    if (this.#isStale) this.list.replace(consignments);
    else this.list.refresh(consignments);
    this.#isStale = false;
    this.#arrange();
  }

  reaches(number) {
    this.at("size").textContent = count(number);
    this.vessels.reaches(number);
  }

  arrive(json) {
    if (this.#isNewest) return this.list.arrive(json);
    this.#newSince += 1;
    this.at("newest").textContent = `Newest (${count(this.#newSince)} new)`;
  }

  refused(refusal) {
    this.state("refused");
    this.list.clear();
    // A token is asked for already.
    if (refusal.status === 401) return;
    const elsewhere = this.filters.complain(refusal.fields);
    if (elsewhere.length > 0 || refusal.fields.length === 0) this.#note(refusal.message);
  }

  // What the person does.

  #may(scope) {
    const mayRead = scope !== "none";
    this.#mayRead = mayRead;
    this.at("board").hidden = !mayRead;
    this.at("sign-in").hidden = mayRead;
    this.at("new").hidden = scope !== "write";
    if (!mayRead) {
      this.live.end();
      this.vessels.clear();
      this.list.clear();
      // What is typed stays in the form.
      for (const dialog of [this.detail.dialog, this.record.dialog]) dialog.close();
      this.at("size").textContent = "–";
      this.at("state").textContent = "Not signed in";
      this.at("state").dataset.state = "refused";
      return this.at("token").focus();
    }
    this.#begin();
    this.detail.follow();
  }

  /** Shows the newest that meet the conditions, from now on. */
  #begin() {
    this.#isNewest = true;
    this.#isStale = true;
    this.#note("");
    this.live.begin(this.filters.parameters);
    this.#arrange();
  }

  /** Shows another page of what meets the conditions. */
  async #go(where) {
    try {
      const asked = {...this.filters.parameters, ...where, limit: PAGE};
      const {consignments} = await this.server.get(CONSIGNMENTS, asked);
      const isForward = "after" in where;
      // There is no whole page after it, so the newest are next.
      if (isForward && consignments.length < PAGE) return this.#begin();
      this.#isNewest = false;
      this.#isStale = false;
      this.#newSince = 0;
      this.list.replace(isForward ? consignments.reverse() : consignments);
      this.#arrange();
      this.at("rows").focus();
    } catch (error) {
      this.#note(error.message);
    }
  }

  #recorded(stored) {
    const link = element("a", {href: address(stored.id)}, `Consignment ${count(stored.sequence)}`);
    this.#note(link, " is recorded.");
    this.at("new").focus();
  }

  #key(event) {
    const isTyping = event.target.closest("input, textarea, dialog");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.filters.focus();
  }

  // What is shown beside the list.

  #drawn(many) {
    this.#arrange();
    this.#untold += many;
    this.#newsTimer ??= setTimeout(() => {
      this.at("news").textContent = `${count(this.#untold)} new`;
      this.#untold = 0;
      this.#newsTimer = null;
    }, NEWS_EVERY);
  }

  #arrange() {
    const {list, filters} = this;
    this.at("list-title").textContent = this.#isNewest ? "Newest first" : `Up to ${count(list.newest)}`;
    this.at("newest").hidden = this.#isNewest;
    if (!this.#isNewest && this.#newSince === 0) this.at("newest").textContent = "Newest";
    this.at("newer").disabled = this.#isNewest;
    this.at("older").disabled = !list.hasOlder;
    this.at("rows").setAttribute("aria-busy", this.#isStale);
    this.at("empty").hidden = list.length > 0;
    this.at("empty").textContent = this.#isStale ? "Loading" : empty(filters.isSet);
  }

  /** Says something to the person; nothing takes away what was said. */
  #note(...content) {
    const parts = content.map((part) => (typeof part === "string" ? line(part) : part));
    this.at("note").replaceChildren(...parts);
    this.at("note").hidden = this.at("note").textContent === "";
  }
}

function empty(isFiltered) {
  return isFiltered
    ? "Nothing meets these conditions. Each is compared whole and letter for letter."
    : "There are no consignments yet. Record one here, or with shippy create FILE.";
}

new Board().start();
