// Connecting and connecting again, with fake transports and a clock that the test moves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Link } from "../../client/web/link.js";

class FakeTransport {
  constructor(kind) {
    Object.assign(this, { kind, sent: [], closed: false });
  }
  send(event) {
    this.sent.push(event);
  }
  close() {
    this.closed = true;
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const refused = (status, after) => Object.assign(new Error(`HTTP ${status}`), { status, after });

/** A link whose doors the test opens: `doors.webrtc` and `doors.websocket` are transports or errors. */
function place(doors, { transport = "auto", why = null } = {}) {
  const timers = [];
  const tried = [];
  const states = [];
  const open = (kind) => async () => {
    tried.push(kind);
    if (doors[kind] instanceof Error) throw doors[kind];
    return (doors.current = new FakeTransport(kind));
  };
  const link = new Link({
    open: { webrtc: open("webrtc"), websocket: open("websocket") },
    diagnose: async () => why,
    asleep: () => Boolean(doors.asleep),
    options: () => ({ transport }),
    clock: {
      setTimeout: (act, ms) => timers.push({ act, ms }) - 1,
      clearTimeout: (id) => timers[id] && (timers[id].act = () => {}),
    },
    random: () => 1,
  });
  link.onstate = ({ state }) => states.push(state);
  const greet = () => doors.current.onevent({ type: "session.created", session: {} });
  return { link, timers, tried, states, greet, doors };
}

test("a session is there when the server greets", async () => {
  const { link, greet, doors, states } = place({});
  const ready = link.ready();
  await settle();
  assert.equal(link.state, "opening");
  greet();
  await ready;
  assert.deepEqual(states, ["opening", "open"]);
  link.send({ type: "x" });
  assert.deepEqual(doors.current.sent, [{ type: "x" }]);
  assert.equal(link.transport.kind, "webrtc");
});

test("where WebRTC has no way through, the WebSocket is taken, and remembered", async () => {
  const { link, greet, doors, tried } = place({ webrtc: new Error("no way") });
  link.ready();
  await settle();
  greet();
  assert.equal(link.transport.kind, "websocket");
  doors.current.onclose({ code: 1006, reason: "" });
  link.ready();
  await settle();
  assert.deepEqual(tried, ["webrtc", "websocket", "websocket"]);
});

test("a server that is down does not count against WebRTC", async () => {
  const { link, timers, tried } = place({ webrtc: new Error("down"), websocket: new Error("down") });
  link.ready();
  await settle();
  assert.equal(link.state, "waiting");
  timers.at(-1).act();
  await settle();
  assert.deepEqual(tried, ["webrtc", "websocket", "webrtc", "websocket"]);
});

test("pauses grow to a limit and begin anew after a session", async () => {
  const place_ = place({ websocket: new Error("down") }, { transport: "websocket" });
  const { link, timers, doors, greet } = place_;
  link.ready();
  for (let i = 0; i < 7; i++) {
    await settle();
    timers.at(-1).act();
  }
  await settle();
  assert.deepEqual(timers.map(({ ms }) => ms), [400, 800, 1600, 3200, 6400, 10000, 10000, 10000]);
  delete doors.websocket;
  timers.at(-1).act();
  await settle();
  greet();
  doors.current.onclose({ code: 1001, reason: "going away" });
  assert.equal(timers.at(-1).ms, 400);
});

test("a wrong key is not tried again", async () => {
  const { link, timers, states } = place({}, { transport: "websocket" });
  Object.assign(link, { open: { websocket: async () => { throw new Error("closed"); } } });
  link.diagnose = async () => refused(401);
  await assert.rejects(link.ready(), { status: 401 });
  assert.deepEqual([states.at(-1), timers.length, link.reason.status], ["off", 0, 401]);
});

test("a full server is asked again when it said", async () => {
  const { timers, link } = place({ webrtc: refused(503, 7) });
  link.ready();
  await settle();
  assert.deepEqual([link.state, timers.at(-1).ms], ["waiting", 7000]);
});

test("a quiet connection that the server closed stays closed until it is wanted", async () => {
  const { link, greet, doors, timers } = place({});
  link.ready();
  await settle();
  greet();
  doors.current.onclose({ code: 1001, reason: "idle" });
  assert.deepEqual([link.state, link.reason.idle, timers.length], ["off", true, 0]);
});

for (const [reason, asleep] of [["taken over", false], ["", true]]) {
  test(`no new connection is made when the old one ended because of "${reason}"`, async () => {
    const { link, greet, doors, timers } = place({ asleep });
    link.ready();
    await settle();
    greet();
    doors.current.onclose({ code: 1008, reason });
    assert.deepEqual([link.state, timers.length], ["off", 0]);
  });
}

test("stopping while a connection is being made closes it when it comes", async () => {
  const { link, doors } = place({});
  const ready = link.ready();
  link.stop();
  await assert.rejects(ready);
  await settle();
  assert.equal(doors.current.closed, true);
  assert.equal(link.state, "off");
});

test("other settings make a new connection, for which who waits goes on waiting", async () => {
  const { link, greet, doors, tried } = place({ websocket: new Error("down"), webrtc: new Error("down") });
  link.anew(); // nobody wants a connection
  assert.equal(link.state, "off");
  const ready = link.ready();
  await settle();
  assert.equal(link.state, "waiting");
  delete doors.webrtc;
  link.anew();
  await settle();
  greet();
  await ready;
  const first = doors.current;
  link.anew();
  await settle();
  greet();
  assert.equal(first.closed, true);
  assert.equal(link.state, "open");
  assert.deepEqual(tried, ["webrtc", "websocket", "webrtc", "webrtc"]);
});

test("what goes out is told to who inspects it", async () => {
  const { link, greet, doors } = place({});
  const seen = [];
  link.onsent = (event) => seen.push(event.type);
  link.ready();
  await settle();
  greet();
  doors.current.onsent({ type: "session.update" });
  assert.deepEqual([seen, link.opened], [["session.update"], true]);
});
