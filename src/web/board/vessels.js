// What each vessel carries, as a chart: the heaviest laden ones of the whole register.

import {Unreached} from "./server.js";
import {count, element, isolated, kilograms, short, weight} from "./text.js";

const VESSELS = "/v1/vessels";
/** Bars of the chart. */
const SHOWN = 10;
/** How often the totals are asked for while the register grows, and while they are still being added up, in milliseconds. */
const EVERY = 2_000;
const SOON = 200;

export class Vessels {
  #wanted = 0;
  #known = -1;
  #timer = null;
  #last = 0;

  /** `chosen` is called with the vessel that the person picks. */
  constructor(server, {body, cover, known}, chosen) {
    Object.assign(this, {server, body, cover, known});
    body.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) chosen(button.value);
    });
  }

  /** The register reaches up to `number`. */
  reaches(number) {
    this.#wanted = number;
    this.#plan();
  }

  /** Forgets what is known, as of another register, and asks for no more until there is something to ask for. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#wanted = -1;
    this.#known = -1;
    this.body.replaceChildren();
  }

  #plan() {
    if (this.#timer !== null || this.#known >= this.#wanted) return;
    const wait = Math.max(0, this.#last + EVERY - Date.now());
    this.#timer = setTimeout(() => this.#look(), wait);
  }

  async #look() {
    try {
      const totals = await this.server.get(VESSELS, {limit: SHOWN});
      this.#show(totals);
      this.#known = Number(totals.through_sequence);
      this.#last = totals.is_complete ? Date.now() : Date.now() - EVERY + SOON;
    } catch (error) {
      this.#last = Date.now();
      // The list tells what is wrong and comes back by itself, and this with it.
      if (!(error instanceof Unreached)) this.cover.textContent = error.message;
    }
    this.#timer = null;
    this.#plan();
  }

  #show({vessels, others, through_sequence: through, is_complete: isComplete}) {
    const heaviest = Math.max(1, ...vessels.map((one) => Number(one.weight)));
    // Nobody loses the place at which they are.
    const focused = this.body.contains(document.activeElement) ? document.activeElement.value : null;
    this.body.replaceChildren(...vessels.map((one) => bar(one, heaviest)));
    for (const button of this.body.querySelectorAll("button")) {
      if (button.value === focused) button.focus();
    }
    this.known.replaceChildren(...vessels.map((one) => element("option", {value: one.vessel_id})));
    const rest = Number(others.count);
    const more = rest === 0 ? "" : `${count(others.vessels)}${others.is_exact ? "" : " or more"} other vessels carry ${weight(Number(others.weight))} in ${count(rest)} consignments. `;
    const reach = isComplete
      ? `Over the whole register, ${count(through)} consignments.`
      : `Adding up: ${count(through)} consignments so far.`;
    this.cover.textContent = more + reach;
  }
}

function bar({vessel_id: vessel, count: many, weight: total}, heaviest) {
  const name = vessel === "" ? element("i", {}, "no vessel") : element("button", {type: "button", class: "link", value: vessel}, isolated(short(vessel)));
  const gauge = element("span", {class: "gauge"});
  gauge.style.inlineSize = `${100 * Number(total) / heaviest}%`;
  return element("tr", {},
    element("th", {scope: "row"}, name),
    element("td", {class: "number", title: kilograms(Number(total))}, weight(Number(total))),
    element("td", {class: "number many"}, count(many)),
    element("td", {class: "graph", "aria-hidden": "true"}, gauge));
}
