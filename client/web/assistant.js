// What the page does: speak, write, ask about sounds, interrupt, take up again. Knows no DOM.

import { Asking } from "./asking.js";
import { Conversation } from "./conversation.js";
import { RATE, level } from "./pcm.js";
import * as wire from "./wire.js";

const HELD_BACK = 150; // frames (3 s) kept while a connection is being made
const PER_MS = RATE / 1000;
const LOCAL = "local"; // the item that is being spoken, until the server names it
const LONGEST_HELD = 15_000; // frames (5 minutes) of one turn of a held button
const TRAILING_MS = 200; // what RTP still carries when the button is let go
const RETRIEVING_MS = 10_000; // until a sound that does not come counts as gone
const AROUND = 0.2 * RATE; // over WebRTC positions are known only so well
// The answer ended by itself meanwhile; and what is done about a forgotten conversation is said.
// An item that exists was told twice, because the first connection did not live to say so.
const QUIET_ERRORS = new Set(["response_cancel_not_active", "conversation_not_found", "item_exists"]);

/**
 * Joins the parts. `on` has changed(ids), noticed(text), level(value), used(), announced(item) and
 * returned(asks): what the server did not take.
 */
export class Assistant {
  constructor({ link, microphone, utterances, speaker, conversation, settings, on, now }) {
    Object.assign(this, { link, microphone, utterances, speaker, conversation, settings, on, now });
    this.holding = null; // where the sound of a held button begins, in samples
    this.last = 0; // when the server last said anything
    this.held = []; // its frames, and the session that hears them
    this.heldIn = null;
    this.early = []; // frames from before the connection was there
    this.retrieving = new Map();
    this.asking = new Asking(this);
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

  /** Each utterance is answered by itself, by the instruction that stays. */
  get captioning() {
    return wire.captioning(this.settings);
  }

  /** What a forgetful server is being told again has been told. */
  get restored() {
    return this.asking.restored;
  }

  // ---- the microphone ---------------------------------------------------------------------------

  /** Open the microphone and the connection; throws what getUserMedia throws. */
  async listen() {
    await this.microphone.start(this.settings);
    this.#carry();
    this.on.changed([]);
    await this.link.ready();
    await this.restored;
    this.#carry();
  }

  /** Take another microphone, or the same one in another way. */
  async reopen() {
    if (!this.microphone.open) return;
    this.microphone.stop();
    await this.listen();
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
    if (this.holding !== null && this.held.length < LONGEST_HELD) this.held.push(frame);
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
    this.heldIn = this.asking.greeting;
    this.held = [];
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
    const heard = () => this.link.state === "open" && this.heldIn === this.asking.greeting;
    if (heard() && this.link.transport.kind === "webrtc") await pause(TRAILING_MS);
    if (this.holding === null) return;
    const samples = this.utterances.slice(this.holding, this.utterances.end);
    this.holding = null;
    this.#carry();
    this.conversation.speaking = null;
    const item = this.conversation.find(LOCAL);
    if (item) Object.assign(item, { status: "heard", seconds: samples.length / RATE });
    this.on.changed([LOCAL]);
    const id = heard() ? await this.asking.commit() : null;
    if (!id) {
      this.on.changed(this.conversation.drop(({ id: local }) => local === LOCAL));
      return heard() ? null : this.#askLater();
    }
    this.utterances.keep(id, samples);
    this.conversation.rename(LOCAL, id);
    this.on.changed([LOCAL, id]);
    return this.ask(id);
  }

  /** The server did not hear all of a held turn, or nothing: it is told when it is there. */
  #askLater() {
    if (!this.held.length) return null;
    const text = this.settings.mode === "analysis" ? this.instruction : "";
    if (text && !this.captioning) this.on.used();
    return this.submit(text, { name: null, kind: "spoken", samples: joined(this.held) });
  }

  // ---- asking and answers -----------------------------------------------------------------------

  /** Ask about an item, with the instruction if there is one. */
  ask(item) {
    const text = this.settings.mode === "analysis" ? this.instruction : "";
    if (this.captioning) return this.link.send(wire.asideAbout(item, text));
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
  submit(text, sound = null) {
    this.interrupt();
    return this.asking.submit(text, sound);
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
    const gone = this.conversation.items.map(({ id }) => id);
    this.asking.withdraw();
    this.link.stop();
    this.utterances.clear();
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
    this.link.send(wire.sessionUpdate(this.settings));
    const told = this.conversation.items.some(({ status }) => status !== "waiting");
    this.asking.greeted(Boolean(known) && session.resume !== known && told);
  }

  "input_audio_buffer.speech_started"() {
    if (!this.captioning) this.#hush();
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
    if (this.asking.committed(item_id)) return;
    if (!wire.answersItself(this.settings)) this.ask(item_id);
  }

  "conversation.item.added"({ item }) {
    this.asking.taken(item.id);
  }

  "conversation.item.retrieved"({ item }) {
    const sound = item.content?.find(({ type, audio }) => type === "input_audio" && audio);
    this.retrieving.get(item.id)?.(sound?.audio ?? null);
    this.retrieving.delete(item.id);
  }

  "response.done"({ response }) {
    this.asking.answered();
    const failure = response.status_details?.error?.message;
    if (response.status === "failed") this.on.noticed(failure ?? "The answer failed.");
  }

  error({ error }) {
    this.asking.refused(error.event_id, error.code);
    if (error.code === "input_audio_buffer_commit_empty") {
      this.asking.committed(null);
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
    this.asking.lost();
    this.retrieving.clear();
    this.on.changed(this.conversation.lost());
  }
}

function joined(frames) {
  const whole = new Int16Array(frames.reduce((length, frame) => length + frame.length, 0));
  frames.reduce((at, frame) => (whole.set(frame, at), at + frame.length), 0);
  return whole;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
