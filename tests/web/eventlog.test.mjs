// The log of events: bounded, without secrets or sounds, empty while it is off.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventLog, safe, toJson } from "../../client/web/eventlog.js";

function recording(options) {
  const log = new EventLog({ now: () => 0, ...options });
  log.turn(true);
  return log;
}

test("nothing is recorded while it is off, and what was is forgotten", () => {
  const log = new EventLog();
  log.record("sent", { type: "x" });
  assert.deepEqual(log.entries, []);
  log.turn(true);
  log.record("sent", { type: "x" });
  assert.equal(log.entries.length, 1);
  log.turn(false);
  assert.deepEqual(log.entries, []);
});

test("only the last events are kept", () => {
  const log = recording({ kept: 3 });
  for (let i = 0; i < 10; i++) log.record("received", { type: `t${i}` });
  assert.deepEqual(log.entries.map(({ type }) => type), ["t7", "t8", "t9"]);
});

test("frames of the microphone in a row are one entry", () => {
  const log = recording();
  const append = { type: "input_audio_buffer.append", audio: "AAAA" };
  for (let i = 0; i < 50; i++) log.record("sent", append);
  log.record("received", { type: "input_audio_buffer.speech_started" });
  log.record("sent", append);
  assert.deepEqual(log.entries.map(({ count }) => count), [50, 1, 1]);
});

test("secrets and sounds are not shown, wherever they are", () => {
  const event = {
    type: "session.created",
    session: { resume: "secret1", model: "m", client_secret: { value: "ek_secret2" } },
    item: { content: [{ type: "input_audio", audio: "QUJD" }, { text: "ek_secret3" }] },
    key: "secret4",
    text: "y".repeat(5000),
  };
  const text = JSON.stringify(safe(event));
  assert.doesNotMatch(text, /secret\d|QUJD/);
  assert.match(text, /4 characters of base64/);
  assert.ok(text.length < 2500);
  assert.equal(safe(event).session.model, "m");
  assert.deepEqual(safe({ a: null, n: 1, resume: null }), { a: null, n: 1, resume: null });
});

test("events are found by their words, and copied as JSON", () => {
  const log = recording();
  log.record("sent", { type: "response.create" });
  log.record("received", { type: "response.done", response: { status: "Failed" } });
  const found = (words) => log.matching(words).map(({ type }) => type);
  assert.deepEqual(found(""), ["response.create", "response.done"]);
  assert.deepEqual(found("failed response"), ["response.done"]);
  assert.deepEqual(found("sent"), ["response.create"]);
  assert.deepEqual(JSON.parse(toJson(log.matching("sent"))), [
    { time: "1970-01-01T00:00:00.000Z", way: "sent", event: { type: "response.create" } },
  ]);
});
