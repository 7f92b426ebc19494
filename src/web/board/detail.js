// One consignment with its containers, in a dialog that has an address of its own: #consignment/ID.

import {CONSIGNMENTS} from "./live.js";
import {count, element, isolated, kilograms, line, lines, moment} from "./text.js";

const PREFIX = "#consignment/";

export class Detail {
  /** `known` gives a consignment by its id, where it is at hand. */
  constructor(server, dialog, known) {
    Object.assign(this, {server, dialog, known});
    this.body = dialog.querySelector("#detail-body");
    this.title = dialog.querySelector("#detail-title");
    addEventListener("hashchange", () => this.follow());
    // Closed by whatever means, it has no address any more.
    dialog.addEventListener("close", () => {
      if (location.hash.startsWith(PREFIX)) history.replaceState(null, "", location.pathname + location.search);
    });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  /** Shows what the page's address says, if it says so. */
  async follow() {
    if (!location.hash.startsWith(PREFIX)) return this.dialog.close();
    const id = decoded(location.hash.slice(PREFIX.length));
    const known = this.known(id);
    this.#fill(known ? shown(known) : [element("p", {}, "Loading")], known);
    if (!this.dialog.open) this.dialog.showModal();
    if (!known) await this.#look(id);
  }

  async #look(id) {
    try {
      const {consignments: [found]} = await this.server.get(CONSIGNMENTS, {ids: id});
      const none = element("p", {}, "No consignment is called ", isolated(line(id)), ".");
      this.#fill(found ? shown(found) : [none], found);
    } catch (error) {
      this.#fill([element("p", {class: "error"}, `It could not be looked up: ${error.message}`)]);
    }
  }

  #fill(parts, consignment) {
    this.title.textContent = consignment ? `Consignment ${count(consignment.sequence)}` : "Consignment";
    this.body.replaceChildren(...parts);
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function shown(consignment) {
  const containers = consignment.containers ?? [];
  const link = element("a", {href: `${CONSIGNMENTS}?ids=${encodeURIComponent(consignment.id)}`}, "as JSON");
  return [
    element("dl", {},
      ...entry("Description", isolated(lines(consignment.description), {class: "text"})),
      ...entry("Weight", kilograms(consignment.weight ?? 0)),
      ...entry("Vessel", isolated(line(consignment.vessel_id))),
      ...entry("Stored", moment(consignment.created_at)),
      ...(consignment.created_by ? entry("Recorded by", isolated(line(consignment.created_by))) : []),
      ...entry("Id", element("code", {}, isolated(line(consignment.id))), " ", link),
    ),
    element("h3", {}, containers.length === 1 ? "1 container" : `${count(containers.length)} containers`),
    ...(containers.length > 0 ? [table(containers)] : []),
  ];
}

function entry(name, ...content) {
  return [element("dt", {}, name), element("dd", {}, ...content)];
}

const COLUMNS = [["Container", "id"], ["Customer", "customer_id"], ["Origin", "origin"], ["User", "user_id"]];

function table(containers) {
  const head = COLUMNS.map(([name]) => element("th", {scope: "col"}, name));
  const rows = containers.map((one) => {
    const cells = COLUMNS.map(([, key]) => element("td", {}, isolated(line(one[key]))));
    return element("tr", {}, ...cells);
  });
  return element("div", {class: "wide", tabindex: "0", role: "region", "aria-label": "Containers"},
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}
