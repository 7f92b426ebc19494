// The table of consignments: one page of the register, or its newest part as it grows.

import {count, element, isolated, kilograms, line, moment, short} from "./text.js";

/** Rows of a page. So many are in the document at most, however large the register is and however fast it grows. */
export const PAGE = 100;
/** While a whole page comes between two frames, it is shown anew after so many milliseconds, and not with each frame. */
const FLOOD_PAUSE = 250;
/** Where more than so many come at once, they are not pointed out one by one. */
const POINTED_OUT = 10;

export class List {
  /** The consignments that are shown, newest first. */
  #shown = [];
  /** What has come and is not shown, as it came, oldest first. */
  #arrived = [];
  /** Whether nothing of what was shown was left when more was shown last. */
  #isFlooded = false;
  /** Whether there is more before what is shown. */
  hasOlder = false;

  /** `drawn` is told after each frame that has shown more, of how many. */
  constructor(body, drawn) {
    this.body = body;
    this.drawn = drawn;
    body.addEventListener("click", (event) => this.#click(event));
    body.addEventListener("keydown", (event) => this.#move(event));
  }

  get newest() {
    return this.#shown[0]?.number ?? 0;
  }

  get oldest() {
    return this.#shown.at(-1)?.number ?? 0;
  }

  get length() {
    return this.#shown.length;
  }

  /** The consignment that is called `id`, if it is shown. */
  find(id) {
    return this.#shown.find((one) => one.id === id);
  }

  /** Shows `consignments`, newest first, instead of what is shown. */
  replace(consignments) {
    this.#arrived = [];
    this.#shown = consignments.map(numbered);
    this.hasOlder = this.#shown.length === PAGE && this.oldest > 1;
    this.body.replaceChildren(...this.#shown.map(row));
  }

  /** Shows the newest `consignments`: beside those that are there, where none between is missing. */
  refresh(consignments) {
    const meets = consignments.some((one) => Number(one.sequence) === this.newest);
    if (!meets) return this.replace(consignments);
    this.#arrived = [];
    this.#add(consignments.map(numbered));
  }

  clear() {
    this.replace([]);
  }

  /** Takes a consignment that was stored just now, as JSON. It is shown with one of the next frames, together with others. */
  arrive(json) {
    if (this.#arrived.length === 0) this.#plan();
    this.#arrived.push(json);
    // Only a page of them will be shown: a load of thousands a second need not even be read.
    if (this.#arrived.length > 2 * PAGE) this.#arrived.splice(0, PAGE);
  }

  #plan() {
    const draw = () => requestAnimationFrame(() => this.#draw());
    if (this.#isFlooded) setTimeout(draw, FLOOD_PAUSE);
    else draw();
  }

  #draw() {
    const arrived = this.#arrived.slice(-PAGE).map((json) => numbered(JSON.parse(json))).reverse();
    const isWhole = this.#arrived.length <= PAGE;
    this.#isFlooded = this.#arrived.length >= PAGE;
    this.#arrived = [];
    if (arrived.length === 0) return;
    if (isWhole) this.#add(arrived);
    else this.replace(arrived);
    this.drawn(arrived.length);
  }

  #add(newestFirst) {
    const fresh = newestFirst.filter((one) => one.number > this.newest);
    const rows = fresh.map(row);
    if (rows.length <= POINTED_OUT) rows.forEach((one) => one.classList.add("fresh"));
    this.body.prepend(...rows);
    this.#shown.unshift(...fresh);
    while (this.#shown.length > PAGE) {
      this.#shown.pop();
      this.body.lastElementChild.remove();
      this.hasOlder = true;
    }
  }

  /** The whole row opens what its number does, for those who point. */
  #click(event) {
    if (event.target.closest("a") || getSelection().toString() !== "") return;
    event.target.closest("tr")?.querySelector("a").click();
  }

  /** The arrow keys go from row to row. */
  #move(event) {
    const link = event.target.closest("a");
    const way = {ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling"}[event.key];
    if (!link || !way) return;
    event.preventDefault();
    link.closest("tr")[way]?.querySelector("a").focus();
  }
}

const numbered = (consignment) => ({...consignment, number: Number(consignment.sequence)});

/** Where the page shows the consignment that is called `id`. */
export const address = (id) => `#consignment/${encodeURIComponent(id)}`;

function row(consignment) {
  const containers = consignment.containers ?? [];
  const link = element("a", {href: address(consignment.id), title: line(consignment.id)}, count(consignment.number));
  return element("tr", {role: "row"},
    cell("number no", "No.", link),
    cell("when", "Stored", moment(consignment.created_at)),
    cell("vessel", "Vessel", isolated(short(consignment.vessel_id))),
    cell("what", "Description", isolated(short(consignment.description))),
    cell("customer", "Customer", isolated(several(containers, "customer_id"))),
    cell("origin", "Origin", isolated(several(containers, "origin"))),
    cell("number weight", "Weight", kilograms(consignment.weight ?? 0)),
  );
}

function cell(classes, label, content) {
  return element("td", {role: "cell", class: classes, "data-label": label}, content);
}

/** What the containers say of `key`: the first of it, and how many others there are. */
function several(containers, key) {
  const [first, ...others] = new Set(containers.map((one) => one[key] ?? "").filter((text) => text !== ""));
  return short(first) + (others.length > 0 ? ` +${others.length}` : "");
}
