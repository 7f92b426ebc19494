// How things are written for people.

const number = new Intl.NumberFormat();
const tonnes = new Intl.NumberFormat(undefined, {minimumFractionDigits: 1, maximumFractionDigits: 1});
const time = new Intl.DateTimeFormat(undefined, {dateStyle: "short", timeStyle: "medium", hourCycle: "h23"});

/** So much of a text is shown where it is one of many; the whole of it may be 4 KiB. */
const SHORT = 160;

/** Characters that do something where they are shown, or reorder what stands around them: as `src/escape.rs` has it. */
const ACTS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
const ACTS_BUT_LINES = /(?![\n\t])[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

const spelled = (char) => ({"\n": "\\n", "\r": "\\r", "\t": "\\t"})[char] ?? `\\u{${char.codePointAt(0).toString(16)}}`;

/** `text` in one line, with each character that acts made visible. */
export const line = (text) => (text ?? "").replace(ACTS, spelled);

/** The same in several lines. */
export const lines = (text) => (text ?? "").replace(ACTS_BUT_LINES, spelled);

/** The beginning of `text` in one line. */
export function short(text) {
  const whole = text ?? "";
  return whole.length > SHORT ? `${line(whole.slice(0, SHORT))}…` : line(whole);
}

export const count = (value) => number.format(value);

export const kilograms = (value) => `${number.format(value)} kg`;

/** For sums, which tonnes make short. */
export const weight = (value) => (value < 10_000 ? kilograms(value) : `${tonnes.format(value / 1_000)} t`);

/** An element with what is given of `class`, `title`, other attributes, and texts or elements in it. Texts stay texts. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A point in time where the viewer is, with the exact one as its title. */
export function moment(iso) {
  const date = new Date(iso ?? "");
  if (Number.isNaN(date.getTime())) return document.createTextNode("–");
  return element("time", {datetime: iso, title: iso}, time.format(date));
}

/** What is text from outside, kept from reordering what stands around it. */
export const isolated = (text, attributes = {}) => element("bdi", attributes, text);
