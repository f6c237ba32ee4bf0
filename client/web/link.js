// Stays connected: chooses a transport, tries again with growing pauses, and says what is going on.

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 10_000;
const IDLE = "idle"; // why a server closes a connection on which nothing happens
const TAKEN = "taken over"; // why it closes one whose conversation goes on elsewhere

const REFUSALS = [401, 403, 429, 503]; // what no other transport would change

/**
 * `open.webrtc(options)` and `open.websocket(options)` give a transport or throw; `diagnose(options)`
 * gives an error that says more than theirs, or null. `options()` is asked anew for each attempt.
 * `asleep()` tells whether nothing has happened for long: over WebRTC no reason for closing is given.
 */
export class Link {
  constructor({ open, diagnose, options, asleep, clock = globalThis, random = Math.random }) {
    Object.assign(this, { open, diagnose, options, asleep, clock, random });
    this.state = "off"; // "off" | "opening" | "open" | "waiting"
    this.reason = null; // why it is off or waiting: an Error
    this.transport = null;
    this.attempts = 0;
    this.opened = false; // there was a session already
    this.peers = true; // WebRTC works from here, as far as is known
    this.waiters = [];
    this.onstate = () => {};
    this.onevent = () => {};
    this.onsent = () => {}; // every event that went out
  }

  get wanted() {
    return this.state !== "off";
  }

  /** Connect if that is not so, and wait until the session exists. */
  ready() {
    if (this.state === "open") return Promise.resolve();
    const ready = new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
    if (this.state === "off") this.#attempt();
    if (this.state === "waiting") this.#again();
    return ready;
  }

  send(event) {
    this.transport?.send(event);
  }

  /** Let go on purpose. */
  stop(reason = null) {
    this.clock.clearTimeout(this.timer);
    this.transport?.close();
    this.transport = null;
    this.#become("off", reason);
  }

  /** Connect anew, as the options say now; who waits goes on waiting. */
  anew() {
    if (!this.wanted) return;
    this.transport?.close();
    this.transport = null;
    this.peers = true;
    this.#again();
  }

  #become(state, reason = null) {
    this.state = state;
    this.reason = reason;
    if (state === "open") for (const { resolve } of this.waiters.splice(0)) resolve();
    if (state === "off") {
      const error = reason ?? new Error("The connection was closed.");
      for (const { reject } of this.waiters.splice(0)) reject(error);
    }
    this.onstate(this);
  }

  #again() {
    this.clock.clearTimeout(this.timer);
    this.#attempt();
  }

  async #attempt() {
    this.#become("opening", this.reason);
    const attempt = (this.attempt = {}); // a later stop() or attempt makes this one void
    const options = this.options();
    try {
      const transport = await this.#first(options);
      if (this.state !== "opening" || this.attempt !== attempt) return transport.close();
      this.#hold(transport);
    } catch (error) {
      const better = error.status ? error : ((await this.diagnose(options)) ?? error);
      if (this.state === "opening" && this.attempt === attempt) this.#failed(better);
    }
  }

  async #first(options) {
    const { transport } = options;
    if (transport === "webrtc" || (transport === "auto" && this.peers)) {
      try {
        return await this.open.webrtc(options);
      } catch (error) {
        if (transport === "webrtc" || REFUSALS.includes(error.status)) throw error;
        const opened = await this.open.websocket(options);
        this.peers = false; // the server is there: it is WebRTC that has no way through
        return opened;
      }
    }
    return this.open.websocket(options);
  }

  #hold(transport) {
    this.transport = transport;
    transport.onsent = (event) => this.onsent(event);
    transport.onclose = ({ code, reason }) => this.#closed(code, reason);
    transport.onevent = (event) => {
      this.onevent(event);
      if (event.type === "session.created" && this.transport === transport) {
        this.attempts = 0;
        this.opened = true;
        this.#become("open");
      }
    };
  }

  #closed(code, reason) {
    this.transport = null;
    if (reason === TAKEN) return this.#become("off", new Error("The conversation goes on elsewhere."));
    if (reason === IDLE || this.asleep()) {
      return this.#become("off", Object.assign(new Error("Asleep"), { idle: true }));
    }
    return this.#failed(new Error(reason || "The connection was lost."));
  }

  #failed(error) {
    if (error.status === 401 || error.status === 403) return this.#become("off", error);
    const grown = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.attempts++);
    const pause = Math.max(grown * (0.5 + this.random() / 2), 1000 * (error.after ?? 0));
    this.timer = this.clock.setTimeout(() => this.#attempt(), pause);
    return this.#become("waiting", error);
  }
}
