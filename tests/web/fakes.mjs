// What tests of the assistant stand on: a fake link and microphone, events as the server sends them.

import { Assistant } from "../../client/web/assistant.js";
import { Conversation } from "../../client/web/conversation.js";
import { DEFAULTS } from "../../client/web/settings.js";
import { Utterances } from "../../client/web/utterances.js";

export const FRAME = new Int16Array(480).fill(1000);
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A connection that keeps what is sent; `said` gives the types. */
export class FakeLink {
  constructor(kind = "websocket", largest = 1 << 20) {
    this.state = "open";
    this.sent = [];
    this.tracks = [];
    this.transport = {
      kind,
      largest,
      feed: (frame) => Boolean(this.sent.push({ type: "frame", frame })),
      track: (track) => this.tracks.push(track),
    };
  }
  get said() {
    return this.sent.map(({ type }) => type).filter((type) => type !== "frame");
  }
  ready() {
    return this.state === "open" ? Promise.resolve() : new Promise(() => {});
  }
  send(event) {
    this.sent.push(event);
  }
}

export function begin(settings = {}, link = new FakeLink()) {
  const notices = [];
  const returned = [];
  const microphone = { open: true, track: { enabled: true }, start: async () => {}, stop() {} };
  const speaker = { speaking: false, stop: () => speaker.said ?? null, follow() {} };
  const assistant = new Assistant({
    link,
    microphone,
    speaker,
    utterances: new Utterances(10),
    conversation: new Conversation(),
    settings: { ...DEFAULTS, ...settings },
    now: () => 0,
    on: {
      changed() {},
      noticed: (text) => notices.push(text),
      level() {},
      used: () => (assistant.instruction = ""),
      announced() {},
      returned: (asks) => returned.push(...asks),
    },
  });
  const greet = (resume = "one") => {
    link.state = "open";
    link.onevent({ type: "session.created", session: { model: "m", resume, audio: {} } });
    link.sent.length = 0;
  };
  return { assistant, link, notices, returned, greet, microphone, speaker };
}

