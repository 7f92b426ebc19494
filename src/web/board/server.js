// Calls to the server, and what comes of them.

/** The server says no, in words. */
export class Refusal extends Error {
  constructor(status, {code = "UNKNOWN", message = `the server answered ${status}`, fields = []} = {}) {
    super(message);
    Object.assign(this, {status, code, fields});
  }
}

/** The server was not reached, or what it said broke off. */
export class Unreached extends Error {}

/** A stream that is silent for so long, in milliseconds, is taken for dead: it says something every 1.5 s. */
const SILENCE = 10_000;
/** The longest that a call may take, in milliseconds: the server itself gives one up after 20 s. */
const PATIENCE = 25_000;

export class Server {
  /** Shows that a write comes from this page, where a cookie says who writes. */
  csrf = null;
  /** The register that answered last. */
  register = null;
  /** Called where the server does not know, or not any more, who asks. */
  stranger = () => {};

  /** What `GET path` answers, an object. */
  get(path, parameters, signal) {
    return this.#json(`${path}${query(parameters)}`, {signal});
  }

  /** What `method path` answers to `body`. */
  send(method, path, body, headers = {}) {
    const all = {"x-csrf-token": this.csrf ?? "", ...headers};
    if (body !== undefined) all["content-type"] = "application/json";
    return this.#json(path, {method, headers: all, body: body === undefined ? undefined : JSON.stringify(body)});
  }

  /**
   * Follows a list until it breaks off, which throws. `heard` gets each event as `{id, name, data}`.
   *
   * This is not an EventSource, which tells neither why it was refused nor by which register it is answered.
   */
  async follow(path, parameters, heard, signal) {
    const silence = new AbortController();
    const unlessSilent = (promise, limit) => {
      const timer = setTimeout(() => silence.abort(), limit);
      return reached(promise, signal).finally(() => clearTimeout(timer));
    };
    const headers = {accept: "text/event-stream"};
    const either = AbortSignal.any([signal, silence.signal]);
    const response = await unlessSilent(this.#call(`${path}${query(parameters)}`, {headers, signal: either}), PATIENCE);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const events = new Events(heard);
    for (;;) {
      const {done, value} = await unlessSilent(reader.read(), SILENCE);
      if (done) throw new Unreached("the list ended");
      events.take(value);
    }
  }

  async #json(path, {headers, signal, ...options}) {
    const late = AbortSignal.timeout(PATIENCE);
    const either = signal ? AbortSignal.any([signal, late]) : late;
    const all = {...options, headers: {accept: "application/json", ...headers}, signal: either};
    const answered = async () => (await this.#call(path, all)).text();
    const text = await reached(answered(), signal);
    return text === "" ? null : JSON.parse(text);
  }

  async #call(path, options) {
    const response = await fetch(path, {...options, credentials: "same-origin", cache: "no-store", redirect: "error"});
    this.register = response.headers.get("shippy-register") ?? this.register;
    if (response.ok) return response;
    // Whoever tries a token is told at its field.
    if (response.status === 401 && !options.headers?.authorization) this.stranger();
    const document = await response.json().catch(() => ({}));
    throw new Refusal(response.status, document.error);
  }
}

/** `promise`, where what the network throws is told from what is called off. */
async function reached(promise, signal) {
  try {
    return await promise;
  } catch (error) {
    if (signal?.aborted || error instanceof Refusal) throw error;
    throw new Unreached(error.message);
  }
}

function query(parameters) {
  const text = new URLSearchParams(parameters).toString();
  return text && `?${text}`;
}

/** Server-sent events (HTML, §9.2.6), as far as this server sends them. */
class Events {
  #rest = "";
  #event = {id: "", name: "", data: ""};

  constructor(heard) {
    this.heard = heard;
  }

  take(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ")) this.#event.data = line.slice(6);
      else if (line.startsWith("id: ")) this.#event.id = line.slice(4);
      else if (line.startsWith("event: ")) this.#event.name = line.slice(7);
      else if (line === "") {
        this.heard(this.#event);
        this.#event = {id: this.#event.id, name: "", data: ""};
      }
    }
  }
}
