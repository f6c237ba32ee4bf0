// What the page does: speak, write, ask about sounds, interrupt, take up again. Knows no DOM.

import { Conversation } from "./conversation.js";
import { RATE, level } from "./pcm.js";
import * as wire from "./wire.js";

const HELD_BACK = 150; // frames (3 s) kept while a connection is being made
const PER_MS = RATE / 1000;
const LOCAL = "local"; // the item that is being spoken, until the server names it
const PIECE = 9000; // samples in one append; 24 KB as base64: fits every data channel
const TRAILING_MS = 200; // what RTP still carries when the button is let go
const RETRIEVING_MS = 10_000; // until a sound that does not come counts as gone
const AROUND = 0.2 * RATE; // over WebRTC positions are known only so well
// The answer ended by itself meanwhile; and what is done about a forgotten conversation is said.
const QUIET_ERRORS = new Set(["response_cancel_not_active", "conversation_not_found"]);

/** Joins the parts; `on` has changed(ids), noticed(text), level(value), used() and announced(text). */
export class Assistant {
  constructor({ link, microphone, utterances, speaker, conversation, settings, on, now }) {
    Object.assign(this, { link, microphone, utterances, speaker, conversation, settings, on, now });
    this.holding = null; // where the sound of a held button begins, in samples
    this.last = 0; // when the server last said anything
    this.early = []; // frames from before the connection was there
    this.commits = []; // sounds on their way, each waiting for its item's id
    this.retrieving = new Map();
    this.restored = Promise.resolve();
    this.instruction = "";
    link.onevent = (event) => this.receive(event);
    speaker.ondone = () => on.changed([]);
  }

  /** What is going on, for people: the microphone, the server and the voice together. */
  get phase() {
    const { phase } = this.conversation;
    if (phase !== "quiet") return phase;
    if (this.speaker.speaking) return "answering";
    if (!this.microphone.open) return "off";
    if (this.link.state !== "open") return "connecting";
    return this.settings.talk === "push" ? "ready" : "listening";
  }

  get feeding() {
    return this.settings.talk === "free" || this.holding !== null;
  }

  // ---- the microphone ---------------------------------------------------------------------------

  /** Open the microphone and the connection; throws what getUserMedia throws. */
  async listen() {
    await this.microphone.start({ cleaned: this.settings.cleaned });
    this.#carry();
    this.on.changed([]);
    await this.link.ready();
    await this.restored;
    this.#carry();
  }

  /** Let go of the microphone; what was being said is dropped. */
  mute() {
    this.microphone.stop();
    this.holding = null;
    this.early = [];
    this.#carry();
    if (this.conversation.speaking) this.link.send({ type: "input_audio_buffer.clear" });
    this.on.changed(this.conversation.drop((item) => item.status === "speaking"));
  }

  /** Give WebRTC the track, or nothing. */
  #carry() {
    const { track } = this.microphone;
    if (track) track.enabled = this.feeding;
    this.link.transport?.track(track);
  }

  /** Take 20 ms from the microphone. */
  hear(frame) {
    this.on.level(level(frame));
    if (!this.feeding) return;
    if (this.link.state !== "open") {
      this.early.push(frame);
      if (this.early.length > HELD_BACK) this.early.shift();
      return;
    }
    for (const earlier of this.early.splice(0)) this.#send(earlier);
    this.#send(frame);
  }

  #send(frame) {
    if (this.link.transport.feed(frame)) this.utterances.push(frame);
  }

  /** The button is pressed (push-to-talk). */
  hold() {
    if (this.holding !== null) return;
    this.interrupt();
    this.link.send({ type: "input_audio_buffer.clear" });
    this.holding = this.utterances.end;
    this.early = [];
    const spoken = { kind: "spoken", status: "speaking", held: true };
    this.conversation.put({ id: LOCAL, role: "user", ...spoken });
    this.conversation.speaking = LOCAL;
    this.#carry();
    this.on.changed([LOCAL]);
  }

  /** The button is let go: what was said is a turn. */
  async release() {
    if (this.holding === null) return;
    this.conversation.asked(this.now());
    await this.link.ready();
    if (this.link.transport.kind === "webrtc") await pause(TRAILING_MS);
    if (this.holding === null) return;
    const samples = this.utterances.slice(this.holding, this.utterances.end);
    this.holding = null;
    this.#carry();
    const item = this.conversation.find(LOCAL);
    if (item) Object.assign(item, { status: "heard", seconds: samples.length / RATE });
    this.conversation.speaking = null;
    this.on.changed([LOCAL]);
    const id = await this.#commit();
    if (!id) return this.on.changed(this.conversation.drop(({ id: local }) => local === LOCAL));
    this.utterances.keep(id, samples);
    this.conversation.rename(LOCAL, id);
    this.on.changed([LOCAL, id]);
    return this.ask(id);
  }

  /** Make an item of what the server has heard; give its id, or null if that was too little. */
  #commit() {
    this.link.send({ type: "input_audio_buffer.commit" });
    return new Promise((resolve) => this.commits.push(resolve));
  }

  // ---- asking -----------------------------------------------------------------------------------

  /** Ask about an item, with the instruction if there is one. */
  ask(item) {
    const analysing = this.settings.mode === "analysis";
    const text = analysing ? this.instruction : "";
    if (analysing && this.settings.standing) return this.link.send(wire.asideAbout(item, text));
    if (text) {
      this.write(text, item);
      this.on.used();
    }
    return this.link.send({ type: "response.create" });
  }

  /** Put a written item into the conversation. */
  write(text, after) {
    const id = wire.newId();
    this.conversation.put({ id, role: "user", kind: "written", text }, after);
    this.link.send(wire.userItem({ id, text, after }));
    this.on.changed([id]);
  }

  /** Ask in writing, about a sound or not. */
  async submit(text, sound = null) {
    this.interrupt();
    await this.link.ready();
    await this.restored;
    this.conversation.asked(this.now());
    if (!sound) {
      this.write(text);
      return this.link.send({ type: "response.create" });
    }
    const id = await this.#putSound(wire.newId(), sound);
    if (this.settings.mode === "analysis" && this.settings.standing) {
      return this.link.send(wire.asideAbout(id, text));
    }
    if (text) this.write(text, id);
    return this.link.send({ type: "response.create" });
  }

  async #putSound(id, { name, samples }) {
    const seconds = samples.length / RATE;
    this.utterances.keep(id, samples);
    this.conversation.put({ id, role: "user", kind: "file", file: name, seconds });
    this.on.changed([id]);
    return this.#carrySound(id, samples);
  }

  /** Bring a sound to the server as an item; give the item's id. */
  async #carrySound(id, samples) {
    const whole = wire.userItem({ id, samples });
    if (samples.length * 3 < this.link.transport.largest) {
      this.link.send(whole);
      return id;
    }
    // Too large for one message of a data channel: through the input buffer, in pieces.
    await this.link.transport.track(null);
    this.link.send(wire.sessionUpdate({ ...this.settings, talk: "push" }));
    this.link.send({ type: "input_audio_buffer.clear" });
    for (let at = 0; at < samples.length; at += PIECE) {
      this.link.send(wire.append(samples.subarray(at, at + PIECE)));
    }
    const named = await this.#commit();
    this.configure(this.settings);
    if (!named) throw new Error("The server did not take the sound.");
    this.utterances.rename(id, named);
    this.conversation.rename(id, named);
    this.on.changed([id, named]);
    return named;
  }

  /** Stop the answer and the voice. */
  interrupt() {
    if (this.conversation.active) this.link.send({ type: "response.cancel" });
    this.#hush();
  }

  /** Stop reading aloud; tell the server how much was heard. */
  #hush() {
    const said = this.speaker.stop();
    if (!said) return;
    const changed = this.conversation.heard(said.item, said.chars);
    if (changed.length) this.link.send(wire.truncate(said.item, said.chars));
    this.on.changed(changed);
  }

  // ---- settings ---------------------------------------------------------------------------------

  /** Take other settings, now. */
  configure(settings) {
    const before = this.settings;
    this.settings = settings;
    if (this.link.state === "open") this.link.send(wire.sessionUpdate(settings));
    if (before.talk !== settings.talk) this.holding = null;
    if (before.aloud && !settings.aloud) this.#hush();
    this.#carry();
    this.on.changed([]);
  }

  /** Begin a new conversation. */
  reset() {
    this.speaker.stop();
    this.link.stop();
    this.utterances.clear();
    const gone = this.conversation.items.map(({ id }) => id);
    this.conversation = new Conversation();
    this.on.changed(gone);
    if (this.microphone.open) this.link.ready().catch(() => {});
  }

  // ---- what the server says ---------------------------------------------------------------------

  receive(event) {
    this.last = this.now();
    const known = this.conversation.resume;
    const changed = this.conversation.receive(event, this.now());
    this[event.type]?.(event, known);
    this.#read(changed);
    this.on.changed(changed, event);
  }

  "session.created"({ session }, known) {
    this.utterances.restart();
    this.early = this.early.slice(-HELD_BACK);
    this.commits.splice(0).forEach((resolve) => resolve(null));
    this.link.send(wire.sessionUpdate(this.settings));
    if (known && session.resume !== known && this.conversation.items.length) {
      this.restored = this.#restore();
    }
  }

  /** The server has forgotten the conversation; tell it again what this page remembers. */
  async #restore() {
    const items = this.conversation.items.filter((item) => !item.about && !item.forgotten);
    this.on.noticed("The server had forgotten the conversation; this page told it again.");
    for (const item of items) {
      const samples = this.utterances.get(item.id);
      const said = item.text || item.transcript;
      if (item.role === "assistant") {
        const text = item.text.slice(0, item.kept ?? item.text.length);
        if (text) this.link.send(wire.assistantItem({ id: item.id, text }));
      } else if (samples) {
        await this.#carrySound(item.id, samples);
      } else if (said) {
        this.link.send(wire.userItem({ id: item.id, text: said }));
      }
    }
  }

  "input_audio_buffer.speech_started"() {
    if (!(this.settings.mode === "analysis" && this.settings.standing)) this.#hush();
  }

  "input_audio_buffer.speech_stopped"({ item_id, audio_end_ms }) {
    const item = this.conversation.find(item_id);
    const start = item?.startMs ?? 0;
    let [from, to] = [start * PER_MS, audio_end_ms * PER_MS];
    if (this.link.transport.kind === "webrtc") {
      const length = to - from;
      to = this.utterances.end - wire.hangover(this.conversation.session) * PER_MS + AROUND;
      from = to - length - AROUND;
    }
    const samples = this.utterances.slice(from, to);
    this.utterances.keep(item_id, samples);
    if (item) item.seconds = samples.length / RATE;
  }

  "input_audio_buffer.committed"({ item_id }) {
    const waiting = this.commits.shift();
    if (waiting) waiting(item_id);
    else if (!wire.answersItself(this.settings)) this.ask(item_id);
  }

  "conversation.item.retrieved"({ item }) {
    const sound = item.content?.find(({ type, audio }) => type === "input_audio" && audio);
    this.retrieving.get(item.id)?.(sound?.audio ?? null);
    this.retrieving.delete(item.id);
  }

  "response.done"({ response }) {
    const failure = response.status_details?.error?.message;
    if (response.status === "failed") this.on.noticed(failure ?? "The answer failed.");
  }

  error({ error }) {
    if (error.code === "input_audio_buffer_commit_empty") {
      this.commits.shift()?.(null);
      this.on.noticed("That was too short. Hold the button while you speak.");
    } else if (!QUIET_ERRORS.has(error.code)) {
      this.on.noticed(error.message);
    }
  }

  /** Give the sound of an item as base64, from the server. */
  retrieve(item) {
    this.link.send({ type: "conversation.item.retrieve", item_id: item });
    const found = new Promise((resolve) => this.retrieving.set(item, resolve));
    return Promise.race([found, pause(RETRIEVING_MS).then(() => null)]);
  }

  /** Read on aloud, and tell screen readers of answers that are complete. */
  #read(changed) {
    for (const id of changed) {
      const item = this.conversation.find(id);
      if (item?.role !== "assistant" || item.announced) continue;
      const whole = item.status !== "in_progress";
      if (this.settings.aloud && !item.cut) this.speaker.follow(id, item.text, whole);
      if (whole) {
        item.announced = true;
        this.on.announced(item);
      }
    }
  }

  /** The connection is gone; what was under way will not be finished. */
  lost() {
    this.commits.splice(0).forEach((resolve) => resolve(null));
    this.retrieving.clear();
    this.on.changed(this.conversation.lost());
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
