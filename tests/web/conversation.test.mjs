// The conversation's state, without a browser: wire events in, items out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../client/web/conversation.js";
import { reason, toJson, toText } from "../../client/web/exporting.js";

const DETECTION = { type: "server_vad", silence_duration_ms: 500 };
const SESSION = { model: "demo", resume: "secret", audio: { input: { turn_detection: DETECTION } } };

function begin() {
  const conversation = new Conversation();
  conversation.receive({ type: "session.created", session: SESSION }, 0);
  return conversation;
}

function play(conversation, now, ...events) {
  return events.flatMap((event) => conversation.receive(event, now));
}

function spoken(id, previous = null) {
  const item = { id, type: "message", role: "user", status: "completed" };
  item.content = [{ type: "input_audio", transcript: null }];
  return [
    { type: "input_audio_buffer.speech_stopped", item_id: id, audio_end_ms: 1500 },
    { type: "input_audio_buffer.committed", item_id: id, previous_item_id: previous },
    { type: "conversation.item.added", item, previous_item_id: previous },
    { type: "conversation.item.done", item, previous_item_id: previous },
  ];
}

const started = (id) => ({
  type: "input_audio_buffer.speech_started",
  item_id: id,
  audio_start_ms: 200,
});
const answer = (id, status, text) => ({
  id,
  type: "message",
  role: "assistant",
  status,
  content: text === undefined ? [] : [{ type: "output_text", text }],
});

function opening(response, id, previous, more = {}) {
  const item = answer(id, "in_progress");
  const conversation_id = "conv_1";
  return [
    { type: "response.created", response: { id: response, conversation_id, ...more } },
    { type: "response.output_item.added", response_id: response, item },
    { type: "conversation.item.added", item, previous_item_id: previous },
  ];
}

const delta = (response, id, text) => ({
  type: "response.output_text.delta",
  response_id: response,
  item_id: id,
  delta: text,
});

function closing(response, id, text, status = "completed", details = null, usage = null) {
  const item = answer(id, status === "completed" ? "completed" : "incomplete", text);
  const done = { id: response, status, status_details: details, usage };
  return [
    { type: "conversation.item.done", item },
    { type: "response.output_item.done", response_id: response, item },
    { type: "response.done", response: done },
  ];
}

test("a spoken turn becomes an item and its answer another", () => {
  const conversation = begin();
  assert.deepEqual(conversation.receive(started("u1"), 0), ["u1"]);
  assert.equal(conversation.phase, "hearing");
  play(conversation, 2000, ...spoken("u1"), ...opening("r1", "a1", "u1"));
  assert.equal(conversation.phase, "thinking");
  play(conversation, 2300, delta("r1", "a1", "Pa"));
  assert.equal(conversation.phase, "answering");
  play(conversation, 2400, delta("r1", "a1", "ris"), delta("r1", "a1", "."));
  play(conversation, 2500, ...closing("r1", "a1", "Paris.", "completed", null, { output_tokens: 3 }));
  assert.equal(conversation.phase, "quiet");
  const [user, assistant] = conversation.items;
  assert.deepEqual([user.kind, user.status, user.role], ["spoken", "completed", "user"]);
  assert.deepEqual([assistant.text, assistant.cut, assistant.kept], ["Paris.", null, null]);
  // Speech ended 500 ms (the hangover) before the server said so.
  assert.deepEqual(assistant.timing, { first: 800, rate: 20 });
});

test("an answer in one piece has no rate", () => {
  const conversation = begin();
  play(conversation, 0, started("u"), ...spoken("u"), ...opening("r", "a", "u"));
  play(conversation, 100, delta("r", "a", "Par"), delta("r", "a", "is."));
  play(conversation, 100, ...closing("r", "a", "Paris.", "completed", null, { output_tokens: 2 }));
  assert.equal(conversation.find("a").timing.rate, null);
});

test("two tokens have no rate, however far apart", () => {
  const conversation = begin();
  play(conversation, 0, started("u"), ...spoken("u"), ...opening("r", "a", "u"));
  conversation.receive(delta("r", "a", "Par"), 100);
  conversation.receive(delta("r", "a", "is."), 1100);
  const usage = { output_tokens: 3 }; // the end counts as one
  play(conversation, 1200, ...closing("r", "a", "Paris.", "completed", null, usage));
  assert.equal(conversation.find("a").timing.rate, null);
});

test("speech cuts an answer: what was shown and does not stay is told apart", () => {
  const conversation = begin();
  play(conversation, 0, ...opening("r", "a", null), delta("r", "a", "One, two, three"));
  const details = { type: "cancelled", reason: "turn_detected" };
  play(conversation, 1, started("u2"), ...closing("r", "a", "One, two,", "cancelled", details));
  const item = conversation.find("a");
  assert.deepEqual([item.text, item.kept, item.cut], ["One, two, three", 9, "speech"]);
  assert.equal(item.status, "incomplete");
  assert.equal(conversation.phase, "hearing");
});

for (const [status, details, cut] of [
  ["cancelled", { reason: "client_cancelled" }, "asked"],
  ["incomplete", { reason: "max_output_tokens" }, "length"],
  ["failed", { error: { message: "The worker died." } }, "failed"],
]) {
  test(`an answer that is ${status} says why`, () => {
    const conversation = begin();
    play(conversation, 0, ...opening("r", "a", null), delta("r", "a", "One"));
    play(conversation, 1, ...closing("r", "a", "One", status, details));
    const item = conversation.find("a");
    assert.equal(item.cut, cut);
    assert.ok(reason(item));
    assert.equal(item.failure, status === "failed" ? "The worker died." : undefined);
  });
}

test("of an answer read aloud stays what was heard", () => {
  const conversation = begin();
  play(conversation, 0, ...opening("r", "a", null), delta("r", "a", "One, two, three."));
  play(conversation, 0, ...closing("r", "a", "One, two, three."));
  assert.deepEqual(conversation.heard("a", 5), ["a"]);
  const item = conversation.find("a");
  assert.deepEqual([item.kept, item.cut, item.text], [5, "speech", "One, two, three."]);
  assert.deepEqual(conversation.heard("a", 9), []); // it was less
  assert.deepEqual(conversation.heard("nobody", 0), []);
});

test("an answer aside stands behind what it is about, and ends by itself", () => {
  const conversation = begin();
  play(conversation, 0, started("u1"), ...spoken("u1"), started("u2"), ...spoken("u2", "u1"));
  const more = { conversation_id: null, metadata: { about: "u1" } };
  const [created, added] = opening("r", "a", null, more);
  play(conversation, 5, created, added, delta("r", "a", "A caption."));
  assert.deepEqual(conversation.items.map(({ id }) => id), ["u1", "a", "u2"]);
  assert.equal(conversation.active, null); // a new question need not cancel it
  play(conversation, 9, ...closing("r", "a", "A caption.").slice(1));
  assert.equal(conversation.find("a").status, "completed");
});

test("an utterance that came to nothing leaves", () => {
  const conversation = begin();
  play(conversation, 0, started("u1"));
  play(conversation, 1, { type: "input_audio_buffer.speech_stopped", item_id: "u1" });
  assert.deepEqual(conversation.receive(started("u2"), 2), ["u1", "u2"]);
  assert.deepEqual(conversation.items.map(({ id }) => id), ["u2"]);
  assert.deepEqual(conversation.receive({ type: "input_audio_buffer.cleared" }, 3), ["u2"]);
  assert.equal(conversation.speaking, null);
});

test("items stand where the server says, and keep what the page knows of them", () => {
  const conversation = begin();
  conversation.put({ id: "f", role: "user", kind: "file", file: "siren.wav" });
  const item = { id: "f", type: "message", role: "user", status: "completed" };
  item.content = [{ type: "input_audio", transcript: null }, { type: "input_text", text: "What?" }];
  conversation.receive({ type: "conversation.item.added", item }, 0);
  const written = { id: "w", type: "message", role: "user", content: [] };
  const first = { type: "conversation.item.added", item: written, previous_item_id: "f" };
  conversation.put({ id: "later", role: "user" });
  conversation.receive(first, 0);
  assert.deepEqual(conversation.items.map(({ id }) => id), ["f", "w", "later"]);
  assert.deepEqual([conversation.items[0].kind, conversation.items[0].text], ["file", "What?"]);
});

test("the system's items and function calls are not shown", () => {
  const conversation = begin();
  for (const item of [{ type: "message", role: "system" }, { type: "function_call" }]) {
    conversation.receive({ type: "conversation.item.added", item: { id: "x", ...item } }, 0);
  }
  assert.deepEqual(conversation.items, []);
});

test("a lost connection ends what was under way", () => {
  const conversation = begin();
  play(conversation, 0, ...opening("r", "a", null), delta("r", "a", "One"), started("u"));
  assert.deepEqual(conversation.lost().sort(), ["a", "u"]);
  assert.equal(conversation.find("a").cut, "lost");
  assert.equal(conversation.phase, "quiet");
});

test("what the model forgot stays in sight", () => {
  const conversation = begin();
  play(conversation, 0, started("u"), ...spoken("u"));
  conversation.receive({ type: "conversation.item.deleted", item_id: "u" }, 0);
  assert.equal(conversation.find("u").forgotten, true);
});

test("a transcript is added when it comes", () => {
  const conversation = begin();
  play(conversation, 0, started("u"), ...spoken("u"));
  const type = "conversation.item.input_audio_transcription.completed";
  conversation.receive({ type, item_id: "u", transcript: "Count to ten." }, 0);
  assert.equal(conversation.find("u").transcript, "Count to ten.");
});

test("a reloaded page goes on with what was said", () => {
  const conversation = begin();
  play(conversation, 0, started("u"), ...spoken("u"), started("open"));
  const again = new Conversation(JSON.parse(JSON.stringify(conversation.snapshot())));
  assert.deepEqual(again.items.map(({ id }) => id), ["u"]);
  assert.deepEqual([again.resume, again.model], ["secret", "demo"]);
});

test("unknown events and unknown items are ignored", () => {
  const conversation = begin();
  const type = "conversation.item.input_audio_transcription.completed";
  assert.deepEqual(conversation.receive({ type: "rate_limits.updated" }, 0), []);
  assert.deepEqual(conversation.receive(delta("nobody", "a", "x"), 0), []);
  conversation.receive({ type, item_id: "nobody", transcript: "x" }, 0);
  conversation.receive({ type: "response.done", response: { id: "nobody" } }, 0);
  assert.deepEqual(conversation.items, []);
});

test("the conversation is exported with what was cut off", () => {
  const conversation = begin();
  play(conversation, 0, started("u"), ...spoken("u"), ...opening("r", "a", "u"));
  play(conversation, 700, delta("r", "a", "One, two, three"));
  const details = { reason: "turn_detected" };
  play(conversation, 800, ...closing("r", "a", "One, two,", "cancelled", details));
  Object.assign(conversation.find("u"), { transcript: "Count.", seconds: 1.25 });
  const facts = { model: "demo", exported: "2026-11-20T12:00:00.000Z" };
  const { items, model } = JSON.parse(toJson(conversation, facts));
  assert.equal(model, "demo");
  assert.equal(items[0].transcript, "Count.");
  const { text, cut_off, interrupted_by, first_token_ms } = items[1];
  assert.deepEqual([text, cut_off, interrupted_by], ["One, two,", " three", "speech"]);
  assert.equal(first_token_ms, 1200);
  assert.equal(
    toText(conversation, facts),
    "Conversation with demo, 2026-11-20T12:00:00.000Z\n\n" +
      'You: (spoken, 1.3 s) "Count."\n' +
      "Assistant: One, two, [interrupted when you spoke: three]\n",
  );
});
