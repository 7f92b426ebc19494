// The form that records a consignment. What may be in it is the server's to say, and is shown where it belongs.

import {CONSIGNMENTS} from "./live.js";
import {Refusal} from "./server.js";
import {element, line} from "./text.js";

const FIELDS = [
  {name: "description", label: "Description", rows: 2},
  {name: "weight", label: "Weight in kg", inputmode: "numeric"},
  {name: "vessel_id", label: "Vessel", list: "known-vessels"},
  {name: "id", label: "Id", hint: "made up where there is none"},
];
const CONTAINER = [
  {name: "customer_id", label: "Customer"},
  {name: "origin", label: "Origin"},
  {name: "id", label: "Container id"},
  {name: "user_id", label: "User"},
];

export class Record {
  #containers = 0;
  #id = null;

  /** `recorded` is told of the consignment that was stored, and whether it was there already. */
  constructor(server, dialog, recorded) {
    Object.assign(this, {server, dialog, recorded});
    this.form = dialog.querySelector("form");
    this.error = dialog.querySelector("#record-error");
    this.places = dialog.querySelector("#record-containers");
    this.button = dialog.querySelector("#record-send");
    dialog.querySelector("#record-fields").append(...FIELDS.map((field) => labelled(field, field.name)));
    dialog.querySelector("#record-add").addEventListener("click", () => this.#add().querySelector("input").focus());
    dialog.querySelector("#record-cancel").addEventListener("click", () => dialog.close());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  open() {
    // What was typed before a slip of the Escape key is still there.
    if (this.places.childElementCount === 0) this.#add();
    this.dialog.showModal();
    this.form.elements.namedItem("description").focus();
  }

  #add() {
    const index = this.#containers++;
    const remove = element("button", {type: "button", class: "quiet"}, "Remove");
    const made = element("fieldset", {"data-container": index},
      element("legend", {}, "Container"),
      ...CONTAINER.map((field) => labelled(field, `containers[${index}].${field.name}`)),
      remove);
    remove.addEventListener("click", () => {
      made.remove();
      this.dialog.querySelector("#record-add").focus();
    });
    this.places.append(made);
    return made;
  }

  #reset() {
    this.form.reset();
    this.places.replaceChildren();
    this.#containers = 0;
    this.#id = null;
    this.#complain("", []);
  }

  async #send() {
    if (this.button.disabled) return;
    this.button.disabled = true;
    try {
      const stored = await this.server.send("POST", CONSIGNMENTS, this.#consignment());
      this.dialog.close();
      this.#reset();
      this.recorded(stored);
    } catch (error) {
      this.#refused(error);
    } finally {
      this.button.disabled = false;
    }
  }

  #consignment() {
    const value = (name) => this.form.elements.namedItem(name).value;
    const weight = value("weight").trim();
    // With an id of its own it is stored once, also where the answer to a first try was lost.
    this.#id ??= newId();
    return {
      id: value("id").trim() || this.#id,
      description: value("description"),
      // What is no number is the server's to refuse.
      weight: /^-?\d{1,15}$/.test(weight) ? Number(weight) : weight || 0,
      vessel_id: value("vessel_id"),
      containers: this.#indices().map((index) => {
        const entries = CONTAINER.map(({name}) => [name, value(`containers[${index}].${name}`)]);
        return Object.fromEntries(entries.filter(([, text]) => text !== ""));
      }),
    };
  }

  /** The numbers by which the form knows the containers, which may have been removed, in the order that they are sent in. */
  #indices() {
    return [...this.places.children].map((one) => Number(one.dataset.container));
  }

  #refused(error) {
    if (error instanceof Refusal) return this.#complain(error.message, error.fields);
    this.#complain("The server was not reached, so this may be stored or not. Record it again: it will be there once.", []);
  }

  #complain(message, fields) {
    for (const input of this.form.elements) {
      if (input.name) say(input, "");
    }
    const elsewhere = [];
    for (const {field, description} of fields) {
      const input = this.form.elements.namedItem(this.#own(field));
      if (input) say(input, description);
      else elsewhere.push(`${field} ${description}`.trim());
    }
    const isAllShown = fields.length > 0 && elsewhere.length === 0;
    this.error.textContent = isAllShown ? "Not recorded: see below." : line(elsewhere.join("; ") || message);
    const first = this.form.querySelector("[aria-invalid]");
    if (message) (first ?? this.error).focus();
  }

  /** The form's name for the `field` of what was sent. */
  #own(field) {
    return field.replace(/^containers\[(\d+)\]/, (_, sent) => `containers[${this.#indices()[sent]}]`);
  }
}

function labelled({name, label, hint, rows, inputmode, list}, path) {
  const id = `record-${path}`;
  const describedby = `${id}-error`;
  const field = rows
    ? element("textarea", {id, name: path, rows, "aria-describedby": describedby})
    : element("input", {id, name: path, inputmode, list, spellcheck: "false", "aria-describedby": describedby});
  const text = hint ? [label, " ", element("small", {}, hint)] : [label];
  return element("p", {class: `field ${name}`}, element("label", {for: id}, ...text), field,
    element("span", {class: "error", id: describedby}));
}

function say(input, problem) {
  document.getElementById(`${input.id}-error`).textContent = line(problem);
  if (problem) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** A UUIDv7 (RFC 9562, §5.7): such ids grow with time, which the register stores best. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  const now = Date.now();
  view.setUint16(0, Math.floor(now / 2 ** 32));
  view.setUint32(2, now % 2 ** 32);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
