// Keeps up with the register: the newest page, then what is stored from then on, and again after each break.

import {PAGE} from "./list.js";
import {Refusal} from "./server.js";

export const CONSIGNMENTS = "/v1/consignments";
/** How long to wait before another try, in milliseconds: at first, and at most. */
const FIRST_WAIT = 300;
const LONGEST_WAIT = 5_000;

export class Live {
  #running = null;
  #wake = () => {};

  /**
   * `board` is told what comes of it: `state(name)`, `page(consignments, register)` with the newest ones,
   * `reaches(number)`, `arrive(json)`, and `refused(refusal)`, which ends it.
   */
  constructor(server, board) {
    this.server = server;
    this.board = board;
    // Who looks at another page needs none of it, and browsers open few connections to one server.
    document.addEventListener("visibilitychange", () => this.#look());
    addEventListener("online", () => this.#wake());
  }

  /** Begins anew, with what meets `filter` alone. */
  begin(filter) {
    this.end();
    this.filter = filter;
    this.#look();
  }

  end() {
    this.#running?.abort();
    this.#running = null;
    this.filter = null;
  }

  #look() {
    if (document.hidden || !this.filter) {
      this.#running?.abort();
      this.#running = null;
    } else if (!this.#running) {
      this.#running = new AbortController();
      this.#run(this.filter, this.#running.signal);
    }
  }

  async #run(filter, signal) {
    let wait = FIRST_WAIT;
    this.board.state("loading");
    while (!signal.aborted) {
      try {
        const position = await this.#load(filter, signal);
        wait = FIRST_WAIT;
        await this.#follow(filter, position, signal);
      } catch (error) {
        if (signal.aborted) return;
        const isFinal = error instanceof Refusal && error.status < 500 && error.code !== "OUT_OF_RANGE";
        if (isFinal) return this.board.refused(error);
      }
      this.board.state("away");
      await this.#pause(wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    }
  }

  /** Shows the newest page; the position from which on it grows. */
  async #load(filter, signal) {
    const newest = {newest_first: true, limit: 1};
    // What the filter lets through up to here is in the page, which is asked for after it.
    const {register, consignments: [last]} = await this.server.get(CONSIGNMENTS, newest, signal);
    const page = await this.server.get(CONSIGNMENTS, {...filter, newest_first: true, limit: PAGE}, signal);
    const [first] = page.consignments;
    const reached = Math.max(Number(last?.sequence ?? 0), Number(first?.sequence ?? 0));
    this.board.page(page.consignments, register);
    this.board.reaches(reached);
    return `${register}:${reached}`;
  }

  async #follow(filter, after, signal) {
    let isOpen = false;
    const heard = ({id, name, data}) => {
      // The server says something at once.
      if (!isOpen) this.board.state("live");
      isOpen = true;
      if (name === "consignment") this.board.arrive(data);
      const number = Number(id.slice(id.lastIndexOf(":") + 1));
      if (number > 0) this.board.reaches(number);
    };
    await this.server.follow(CONSIGNMENTS, {...filter, follow: true, after}, heard, signal);
  }

  /** Waits for `time`, or until there is a reason to look sooner. */
  #pause(time) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, time);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
