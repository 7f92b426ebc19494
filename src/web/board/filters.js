// The conditions that a list is made by: in the form, in the page's address, and in what is asked of the server.

import {line} from "./text.js";

const TEXTS = ["vessel_id", "customer_id", "origin"];
const TIMES = ["created_from", "created_until"];

export class Filters {
  /** `changed` is called when the person has set other conditions. */
  constructor(form, clear, changed) {
    this.form = form;
    this.changed = changed;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
    form.addEventListener("change", () => this.#apply());
    clear.addEventListener("click", () => this.set({}));
    this.#read();
    addEventListener("popstate", () => {
      const before = this.key;
      this.#read();
      if (this.key !== before) this.changed();
    });
  }

  /** What is asked of the server, its parameters by name. */
  get parameters() {
    const wanted = {};
    for (const name of TEXTS) {
      if (this.#value(name) !== "") wanted[name] = this.#value(name);
    }
    for (const name of TIMES) {
      const date = new Date(this.#value(name));
      if (!Number.isNaN(date.getTime())) wanted[name] = date.toISOString();
    }
    return wanted;
  }

  get isSet() {
    return Object.keys(this.parameters).length > 0;
  }

  /** Sets these conditions and no others. */
  set(values) {
    for (const name of [...TEXTS, ...TIMES]) this.#field(name).value = values[name] ?? "";
    this.#apply();
  }

  /** Goes to the first condition. */
  focus() {
    this.#field(TEXTS[0]).select();
    this.#field(TEXTS[0]).focus();
  }

  /** Shows what is wrong with the conditions, where it belongs; what belongs nowhere is returned. */
  complain(fields) {
    const elsewhere = [];
    for (const name of [...TEXTS, ...TIMES]) this.#say(name, "");
    for (const {field, description} of fields) {
      if ([...TEXTS, ...TIMES].includes(field)) this.#say(field, line(description));
      else elsewhere.push(`${field} ${description}`);
    }
    return elsewhere;
  }

  #apply() {
    if (this.#key() === this.key) return;
    const values = [...TEXTS, ...TIMES].map((name) => [name, this.#value(name)]).filter(([, value]) => value !== "");
    const query = new URLSearchParams(values).toString();
    history.pushState(null, "", query ? `?${query}` : location.pathname);
    this.key = this.#key();
    this.complain([]);
    this.changed();
  }

  /** Takes the conditions from the page's address, so that it can be kept and passed on. */
  #read() {
    const values = new URLSearchParams(location.search);
    for (const name of [...TEXTS, ...TIMES]) this.#field(name).value = values.get(name) ?? "";
    this.key = this.#key();
  }

  #key() {
    return JSON.stringify([...TEXTS, ...TIMES].map((name) => this.#value(name)));
  }

  #say(name, problem) {
    const field = this.#field(name);
    document.getElementById(`${name}-error`).textContent = problem;
    if (problem) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }

  #field(name) {
    return this.form.elements.namedItem(name);
  }

  #value(name) {
    return this.#field(name).value;
  }
}
