// Asking in writing and about sounds: shown at once, told when there is a session, kept until taken.
//
// An ask: {sound: {id, name, samples} | null, text: {id, text} | null, aside: text | null, about, told}
//   sound, text  what the server has not taken yet; a sound may have a kind: "file" or "spoken"
//   about        the item of the sound, once the server has it
//   aside        the instruction, where the answer stays outside the conversation (captions)

import { RATE } from "./pcm.js";
import * as wire from "./wire.js";

const PIECE = 9000; // samples in one append; 24 KB as base64: fits every data channel

/** Brings what was asked to the server, once, over however many connections that takes. */
export class Asking {
  constructor(assistant) {
    this.assistant = assistant;
    this.open = []; // asks that the server has not taken
    this.commits = []; // sounds on their way, each waiting for its item's id
    this.greeting = null; // of the session that is told what waits
    this.restored = Promise.resolve();
    this.telling = Promise.resolve();
    this.ends = []; // who waits for the end of an answer
    this.last = null; // the event that asked for it
  }

  get link() {
    return this.assistant.link;
  }

  get conversation() {
    return this.assistant.conversation;
  }

  /** Ask in writing, about a sound or not. */
  async submit(text, sound = null) {
    const ask = this.#show(text, sound);
    this.open.push(ask);
    if (this.link.state === "open") {
      await this.telling;
      return this.#tell(ask);
    }
    // What is wrong with the connection says the connection itself.
    return this.link.ready().catch(() => {});
  }

  #show(text, sound) {
    const aside = sound && this.assistant.captioning ? text : null;
    const status = this.link.state === "open" ? "completed" : "waiting";
    const ask = { sound: null, text: null, aside, about: undefined, told: false };
    if (sound) {
      ask.sound = { id: wire.newId(), ...sound };
      const { id, name: file, samples, kind = "file" } = ask.sound;
      const seconds = samples.length / RATE;
      this.assistant.utterances.keep(id, samples);
      this.conversation.put({ id, role: "user", kind, file, seconds, status });
    }
    if (text && aside === null) {
      ask.text = { id: wire.newId(), text };
      this.conversation.put({ ...ask.text, role: "user", kind: "written", status });
    }
    this.assistant.on.changed(parts(ask));
    return ask;
  }

  async #tell(ask) {
    if (ask.told || !this.open.includes(ask) || this.link.state !== "open") return;
    ask.told = true;
    const { sound, text, aside } = ask;
    this.conversation.asked(this.assistant.now());
    this.#mark(ask, "completed");
    if (sound) {
      const id = await this.carrySound(sound.id, sound.samples);
      if (!ask.told) return; // the connection went away: it is told again
      if (!id) return this.#untold(ask);
      ask.about = id;
    }
    if (text) this.#send(wire.userItem({ ...text, after: ask.about }));
    const create = aside === null ? { type: "response.create" } : wire.asideAbout(ask.about, aside);
    this.last = wire.newId();
    this.link.send({ ...create, event_id: this.last });
  }

  /** Send an item under its own name, by which the server says what it refuses. */
  #send(event) {
    this.link.send({ ...event, event_id: event.item.id });
  }

  #mark(ask, status) {
    const ids = parts(ask);
    for (const id of ids) Object.assign(this.conversation.find(id) ?? {}, { status });
    this.assistant.on.changed(ids);
  }

  /** The server did not take a sound: what was asked goes back to who asked. */
  #untold(ask) {
    this.open = this.open.filter((other) => other !== ask);
    this.#drop([ask]);
    this.assistant.on.returned([given(ask)]);
  }

  #drop(asks) {
    const ids = asks.flatMap(parts);
    this.assistant.on.changed(this.conversation.drop(({ id }) => ids.includes(id)));
  }

  /** Give back everything that the server has not taken: [{text, sound}]. */
  withdraw() {
    const asks = this.open.splice(0);
    this.#drop(asks);
    return asks.map(given);
  }

  /** The server has an item. */
  taken(id) {
    for (const ask of this.open) {
      if (ask.sound?.id === id) Object.assign(ask, { sound: null, about: id });
      if (ask.text?.id === id) ask.text = null;
    }
    this.open = this.open.filter((ask) => ask.sound || ask.text);
  }

  /** The connection is gone: what the server had not taken waits for the next one. */
  lost() {
    this.#forget();
    for (const ask of this.open) {
      ask.told = false;
      this.#mark(ask, "waiting");
    }
  }

  /** A session began: tell a server that has forgotten the conversation, then tell what waits. */
  greeted(forgotten) {
    this.#forget();
    const greeting = (this.greeting = {});
    // The link is open when the greeting is through, not before.
    const current = () => this.greeting === greeting && this.link.state === "open";
    // What throws is a connection that ends in the middle; then everything waits for the next one.
    const restoring = Promise.resolve().then(() => forgotten && this.#restore(current));
    this.restored = restoring.catch(() => {});
    this.telling = this.restored.then(() => this.#tellAll(current)).catch(() => {});
  }

  #forget() {
    this.commits.splice(0).forEach((resolve) => resolve(null));
    this.answered();
  }

  /** Tell what waits, each when the one before has its answer: servers give one at a time. */
  async #tellAll(current) {
    const next = () => (current() ? this.open.find((ask) => !ask.told) : null);
    for (let ask = next(); ask; ask = next()) {
      await this.#tell(ask);
      if (next()) await new Promise((resolve) => this.ends.push(resolve));
    }
  }

  /** The server refused an event: an item, or to answer. */
  refused(event, code) {
    const ask = this.open.find((ask) => parts(ask).includes(event));
    // It exists where the connection ended before the server could say so.
    if (ask && code === "item_exists") this.taken(event);
    else if (ask) this.#untold(ask);
    if (event && event === this.last) this.answered();
  }

  /** An answer ended, or will not come. */
  answered() {
    this.ends.splice(0).forEach((resolve) => resolve());
  }

  /** Tell the server what this page remembers. */
  async #restore(current) {
    const known = this.conversation.items.filter((item) => !item.about && !item.forgotten);
    this.assistant.on.noticed("The server had forgotten the conversation; this page told it again.");
    for (const item of known.filter(({ status }) => status !== "waiting")) {
      if (!current()) return; // the next session is told all of it
      const samples = this.assistant.utterances.get(item.id);
      const said = item.text || item.transcript;
      if (item.role === "assistant") {
        const text = item.text.slice(0, item.kept ?? item.text.length);
        if (text) this.link.send(wire.assistantItem({ id: item.id, text }));
      } else if (samples) {
        await this.carrySound(item.id, samples);
      } else if (said) {
        this.link.send(wire.userItem({ id: item.id, text: said }));
      }
    }
  }

  /** Bring a sound to the server as an item; give the item's id, or null if it was not taken. */
  async carrySound(id, samples) {
    const { transport } = this.link;
    if (samples.length * 3 < transport.largest) {
      this.#send(wire.userItem({ id, samples }));
      return id;
    }
    // Too large for one message of a data channel: through the input buffer, in pieces.
    const { assistant } = this;
    await transport.track(null);
    this.link.send(wire.sessionUpdate({ ...assistant.settings, talk: "push" }));
    this.link.send({ type: "input_audio_buffer.clear" });
    for (let at = 0; at < samples.length; at += PIECE) {
      this.link.send(wire.append(samples.subarray(at, at + PIECE)));
    }
    const named = await this.commit();
    assistant.configure(assistant.settings);
    if (!named) return null;
    assistant.utterances.rename(id, named);
    this.conversation.rename(id, named);
    this.taken(id);
    for (const ask of this.open) if (ask.about === id) ask.about = named;
    assistant.on.changed([id, named]);
    return named;
  }

  /** Make an item of what the server has heard; give its id, or null if that was too little. */
  commit() {
    this.link.send({ type: "input_audio_buffer.commit" });
    return new Promise((resolve) => this.commits.push(resolve));
  }

  /** The server made an item of what it heard; tell whether that was asked for here. */
  committed(id) {
    const waiting = this.commits.shift();
    waiting?.(id);
    return Boolean(waiting);
  }
}

function parts({ sound, text }) {
  return [sound?.id, text?.id].filter(Boolean);
}

function given({ sound, text, aside }) {
  return { text: text?.text ?? aside ?? "", sound };
}
