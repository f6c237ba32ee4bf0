// The conversation as the page knows it: wire events in, items out. No DOM, no clock, no network.
//
// An item: {id, role, kind, status, text, kept, cut, transcript, seconds, file, about, timing, time}
//   kind    "spoken" | "file" | "written" | "answer"
//   status  "waiting" (the server has not taken it) | "speaking" | "heard" | "completed" |
//           "in_progress" | "incomplete" | "failed"
//   text    all that was shown; kept: how many characters of it stay in the conversation (null: all)
//   cut     why an answer is not whole: "speech" | "asked" | "length" | "failed" | "lost" | null
//   timing  {first: ms from the end of speech to the first token, rate: tokens per second}

import { hangover } from "./wire.js";

const CUTS = {
  turn_detected: "speech",
  client_cancelled: "asked",
  max_output_tokens: "length",
  content_filter: "failed",
};
// Shorter answers came in one piece, or in too few to have a rate.
const RATE_NEEDS_MS = 20;
const RATE_NEEDS_TOKENS = 3;

/** Holds the items and what is going on. */
export class Conversation {
  constructor(snapshot = {}) {
    this.items = snapshot.items ?? [];
    this.unsent = snapshot.unsent ?? []; // texts that an earlier load of the page could not send
    this.resume = snapshot.resume ?? null; // the secret that takes the conversation up again
    this.model = snapshot.model ?? null;
    this.session = null;
    this.responses = new Map(); // under way, by id
    this.ended = null; // when the user finished: what the latency is counted from
    this.speaking = null; // the item being spoken
  }

  /** Give what a reloaded page needs. */
  snapshot() {
    const items = this.items.filter(({ status }) => status !== "waiting" && !UNFINISHED.has(status));
    const unsent = this.items.filter(({ status, text }) => status === "waiting" && text);
    const texts = unsent.map(({ text }) => text);
    return { items, unsent: texts, resume: this.resume, model: this.model };
  }

  find(id) {
    return this.items.find((item) => item.id === id) ?? null;
  }

  get answering() {
    return [...this.responses.values()].some((response) => response.first !== null);
  }

  get active() {
    return [...this.responses.values()].find((response) => !response.aside) ?? null;
  }

  /** What is going on: "hearing" | "thinking" | "answering" | "quiet". */
  get phase() {
    if (this.speaking) return "hearing";
    if (!this.responses.size) return "quiet";
    return this.answering ? "answering" : "thinking";
  }

  /** Take a server event that came at `now` (ms); give the ids of the items that changed. */
  receive(event, now) {
    const react = REACTIONS[event.type];
    return react ? (react.call(this, event, now) ?? []) : [];
  }

  /** The user finished by hand (push-to-talk, writing, a file). */
  asked(now) {
    this.ended = now;
  }

  /** Show an item at once that the server is about to be told of. */
  put(item, after = null) {
    const at = after ? this.items.findIndex((other) => other.id === after) : -1;
    const whole = { ...blank(item.id, item.role), ...item };
    this.items.splice(at < 0 ? this.items.length : at + 1, 0, whole);
    return whole;
  }

  /** An item got the id that the server made. */
  rename(from, to) {
    const item = this.find(from);
    const twin = this.find(to);
    if (twin && twin !== item) this.items.splice(this.items.indexOf(twin), 1);
    if (item) item.id = to;
  }

  /** Of an answer read aloud, only `chars` characters were heard. */
  heard(id, chars) {
    const item = this.find(id);
    if (!item || chars >= (item.kept ?? item.text.length)) return [];
    item.kept = chars;
    item.cut ??= "speech";
    return [id];
  }

  /** The connection is gone: nothing under way will be finished. */
  lost() {
    const changed = [];
    for (const item of this.items) {
      if (item.status !== "in_progress") continue;
      Object.assign(item, { status: "incomplete", cut: "lost" });
      changed.push(item.id);
    }
    this.responses.clear();
    // What is being said while a button is held goes on; it is told when it is whole.
    return [...changed, ...this.drop((item) => UNFINISHED.has(item.status) && !item.held)];
  }

  /** Take items away. */
  drop(which) {
    const gone = this.items.filter(which).map((item) => item.id);
    this.items = this.items.filter((item) => !gone.includes(item.id));
    if (gone.includes(this.speaking)) this.speaking = null;
    return gone;
  }

  place(id, role, previous) {
    const known = this.find(id);
    if (known) return known;
    return this.put({ id, role }, previous === "root" ? null : previous);
  }
}

const UNFINISHED = new Set(["speaking", "heard"]);

function blank(id, role) {
  return {
    id,
    role,
    kind: role === "assistant" ? "answer" : "written",
    status: role === "assistant" ? "in_progress" : "completed",
    text: "",
    kept: null,
    cut: null,
    transcript: null,
    seconds: null,
    file: null,
    about: null,
    timing: null,
    time: Date.now(),
  };
}

/** Take over what the server says an item holds. */
function fill(item, wire) {
  for (const part of wire.content ?? []) {
    if (part.type === "input_audio") {
      if (item.kind === "written") item.kind = "spoken";
      item.transcript = part.transcript ?? item.transcript;
    } else if (part.type === "input_text") {
      item.text = part.text;
    } else if (part.type === "output_text" || part.type === "output_audio") {
      settle(item, part.text ?? part.transcript ?? "");
    }
  }
  return item;
}

/** Hold what was shown against what stays: the rest was cut off. */
function settle(item, text) {
  if (item.text.startsWith(text)) {
    const heard = item.kept ?? Infinity;
    item.kept = text.length < item.text.length ? Math.min(text.length, heard) : item.kept;
  } else {
    item.text = text;
    item.kept = null;
  }
}

function delta({ response_id, item_id, delta: text }, now) {
  const response = this.responses.get(response_id);
  const item = this.find(item_id);
  if (!response || !item) return [];
  response.first ??= now;
  response.last = now;
  response.deltas++;
  item.text += text;
  item.timing ??= response.ended === null ? null : { first: now - response.ended, rate: null };
  return [item_id];
}

/** Tokens per second after the first, if the answer took long enough to have a rate. */
function rate(response, usage) {
  const tokens = usage?.output_tokens ?? response.deltas;
  const ms = response.last - response.first;
  if (ms < RATE_NEEDS_MS || Math.min(tokens, response.deltas) < RATE_NEEDS_TOKENS) return null;
  return (1000 * (tokens - 1)) / ms;
}

const REACTIONS = {
  "session.created"({ session }) {
    this.session = session;
    this.model = session.model;
    this.resume = session.resume ?? null;
  },

  "session.updated"({ session }) {
    this.session = session;
  },

  "input_audio_buffer.speech_started"({ item_id, audio_start_ms }) {
    const stale = this.drop((item) => UNFINISHED.has(item.status) && item.id !== item_id);
    const spoken = { kind: "spoken", status: "speaking", startMs: audio_start_ms };
    Object.assign(this.place(item_id, "user"), spoken);
    this.speaking = item_id;
    return [...stale, item_id];
  },

  "input_audio_buffer.speech_stopped"({ item_id }, now) {
    const item = this.find(item_id);
    if (item) item.status = "heard";
    if (this.speaking === item_id) this.speaking = null;
    this.ended = now - hangover(this.session);
    return [item_id];
  },

  "input_audio_buffer.committed"({ item_id, previous_item_id }) {
    const item = this.place(item_id, "user", previous_item_id);
    Object.assign(item, { kind: item.kind === "file" ? "file" : "spoken", status: "completed" });
    if (this.speaking === item_id) this.speaking = null;
    return [item_id];
  },

  "input_audio_buffer.cleared"() {
    // An utterance of push-to-talk begins with clearing: it is not what was cleared.
    return this.drop((item) => UNFINISHED.has(item.status) && !item.held);
  },

  "conversation.item.added"({ item, previous_item_id }) {
    if (item.type !== "message" || item.role === "system") return [];
    fill(this.place(item.id, item.role, previous_item_id), item);
    return [item.id];
  },

  "conversation.item.done"({ item }) {
    const known = this.find(item.id);
    if (!known) return [];
    fill(known, item).status = item.status ?? "completed";
    return [item.id];
  },

  "conversation.item.retrieved"({ item }) {
    const known = this.find(item.id);
    if (known) fill(known, item);
    return [item.id];
  },

  "conversation.item.deleted"({ item_id }) {
    // It left the model's memory, not the user's: it stays in sight, and says so.
    const item = this.find(item_id);
    if (item) item.forgotten = true;
    return [item_id];
  },

  "conversation.item.input_audio_transcription.completed"({ item_id, transcript }) {
    const item = this.find(item_id);
    if (item) item.transcript = transcript;
    return [item_id];
  },

  "response.created"({ response }) {
    const aside = response.conversation_id === null;
    const about = response.metadata?.about ?? null;
    const under = { id: response.id, aside, about, ended: this.ended };
    this.responses.set(response.id, { ...under, first: null, last: null, deltas: 0, items: [] });
    if (!aside) this.ended = null;
  },

  "response.output_item.added"({ response_id, item }) {
    if (item.type !== "message") return [];
    const response = this.responses.get(response_id);
    const placed = this.place(item.id, "assistant", response?.about);
    placed.about = response?.about ?? null;
    response?.items.push(item.id);
    return [item.id];
  },

  "response.output_text.delta": delta,
  "response.output_audio_transcript.delta": delta,

  "response.output_item.done"({ item }) {
    const known = this.find(item.id);
    if (known) fill(known, item).status = item.status ?? "completed";
    return [item.id];
  },

  "response.done"({ response }) {
    const under = this.responses.get(response.id);
    if (!under) return [];
    this.responses.delete(response.id);
    const details = response.status_details;
    for (const id of under.items) {
      const item = this.find(id);
      if (!item) continue;
      item.status = response.status === "completed" ? "completed" : "incomplete";
      if (response.status !== "completed") item.cut = CUTS[details?.reason] ?? "failed";
      if (response.status === "failed") item.failure = details?.error?.message ?? "It failed.";
      if (item.timing) item.timing.rate = rate(under, response.usage);
    }
    return under.items;
  },
};
