// What page and server said to each other, for developers: bounded, without secrets or sounds.

const KEPT = 500; // entries; the oldest leave
const LONGEST = 2000; // characters of one text
const SECRET = /^(resume|key|api_?key|token|secret|client_secret|credential|password|authorization)$/i;
const SOUND = "input_audio_buffer.append"; // fifty a second: those in a row are one entry

/** Give a copy of a value that can be shown and kept. */
export function safe(value, name = "") {
  if (typeof value === "string") {
    if (SECRET.test(name) || value.startsWith("ek_")) return "(hidden)";
    if (name === "audio" && value) return `(${value.length} characters of base64)`;
    if (value.length <= LONGEST) return value;
    return `${value.slice(0, LONGEST)}… (${value.length} characters)`;
  }
  if (Array.isArray(value)) return value.map((part) => safe(part, name));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, safe(part, key)]));
}

/** Keeps the last events; nothing at all while it is off. */
export class EventLog {
  constructor({ kept = KEPT, now = () => Date.now(), onchange = () => {} } = {}) {
    Object.assign(this, { kept, now, onchange, on: false, entries: [], made: 0 });
  }

  /** Begin to record, or stop and forget. */
  turn(on) {
    this.on = on;
    if (!on) this.clear();
  }

  clear() {
    this.entries = [];
    this.onchange();
  }

  /** Take an event that was "sent" or "received". */
  record(way, event) {
    if (!this.on) return;
    const last = this.entries.at(-1);
    if (event.type === SOUND && last?.type === SOUND) {
      last.count++;
      last.at = this.now();
      return this.onchange();
    }
    const shown = safe(event);
    const entry = { n: this.made++, at: this.now(), way, type: event.type, event: shown, count: 1 };
    this.entries.push(entry);
    if (this.entries.length > this.kept) this.entries.shift();
    return this.onchange();
  }

  /** Give the entries that hold all of some words. */
  matching(words) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    if (!wanted.length) return this.entries;
    return this.entries.filter(({ way, event }) => {
      const text = `${way} ${JSON.stringify(event)}`.toLowerCase();
      return wanted.every((word) => text.includes(word));
    });
  }
}

/** Write entries as JSON. */
export function toJson(entries) {
  const told = entries.map(({ at, way, count, event }) => {
    return { time: new Date(at).toISOString(), way, ...(count > 1 && { count }), event };
  });
  return JSON.stringify(told, null, 2);
}
