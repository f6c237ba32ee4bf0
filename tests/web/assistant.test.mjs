// What the page does, without a browser: a fake link and microphone, events as the server sends them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBase64 } from "../../client/web/pcm.js";
import { DEFAULTS } from "../../client/web/settings.js";
import { FRAME, FakeLink, begin, settle } from "./fakes.mjs";

const committed = (id) => ({ type: "input_audio_buffer.committed", item_id: id });

test("frames from before the connection are held back, and sent in order", () => {
  const { assistant, link, greet } = begin();
  link.state = "opening";
  for (let i = 0; i < 200; i++) assistant.hear(Int16Array.of(i));
  link.state = "open";
  greet();
  assistant.hear(Int16Array.of(999));
  const heard = link.sent.map(({ frame }) => frame[0]);
  assert.deepEqual([heard.length, heard[0], heard.at(-1)], [151, 50, 999]);
});

test("in conversation the server answers; in analysis the page asks, with the instruction", () => {
  const { assistant, link, greet } = begin();
  greet();
  link.onevent(committed("u1"));
  assert.deepEqual(link.said, []);
  assistant.configure({ ...DEFAULTS, mode: "analysis" });
  assistant.instruction = "What's that sound?";
  link.onevent(committed("u2"));
  assert.deepEqual(link.said, ["session.update", "conversation.item.create", "response.create"]);
  assert.equal(link.sent[1].previous_item_id, "u2");
  assert.equal(link.sent[1].item.content[0].text, "What's that sound?");
  link.onevent(committed("u3")); // the instruction was for one turn
  assert.deepEqual(link.said.slice(3), ["response.create"]);
});

test("a standing instruction asks about each utterance by itself", () => {
  const { assistant, link, greet } = begin({ mode: "analysis", standing: true });
  greet();
  assistant.instruction = "Write it down.";
  link.onevent(committed("u1"));
  link.onevent(committed("u2"));
  const asked = link.sent.map(({ response }) => response);
  assert.deepEqual(asked.map(({ metadata }) => metadata.about), ["u1", "u2"]);
  assert.ok(asked.every(({ conversation }) => conversation === "none"));
  assert.equal(assistant.instruction, "Write it down.");
});

test("holding the button is a turn; pressing it stops the answer", async () => {
  const { assistant, link, greet, microphone } = begin({ talk: "push" });
  greet();
  assistant.hear(FRAME);
  assert.deepEqual(link.sent, []); // nobody holds it
  link.onevent({ type: "response.created", response: { id: "r", conversation_id: "c" } });
  assistant.hold();
  assert.equal(microphone.track.enabled, true);
  link.onevent({ type: "input_audio_buffer.cleared" });
  assistant.hear(FRAME);
  const released = assistant.release();
  await settle();
  assert.equal(microphone.track.enabled, false);
  link.onevent(committed("u"));
  await released;
  const said = ["response.cancel", "input_audio_buffer.clear", "input_audio_buffer.commit"];
  assert.deepEqual(link.said, [...said, "response.create"]);
  assert.deepEqual(assistant.conversation.items.map(({ id }) => id), ["u"]);
  assert.equal(assistant.utterances.get("u").length, FRAME.length);
});

test("a press that was too short leaves nothing behind", async () => {
  const { assistant, link, greet, notices } = begin({ talk: "push" });
  greet();
  assistant.hold();
  const released = assistant.release();
  await settle();
  link.onevent({ type: "error", error: { code: "input_audio_buffer_commit_empty", message: "" } });
  await released;
  assert.deepEqual(assistant.conversation.items, []);
  assert.match(notices[0], /too short/);
});

test("a file is one item, or pieces where messages are small; then it is asked about", async () => {
  const samples = Int16Array.from({ length: 20_000 }, (_, i) => i);
  const socket = begin();
  socket.greet();
  await socket.assistant.submit("Who?", { name: "a.wav", samples });
  assert.deepEqual(socket.link.said, [
    "conversation.item.create",
    "conversation.item.create",
    "response.create",
  ]);
  assert.deepEqual(fromBase64(socket.link.sent[0].item.content[0].audio), samples);

  const peer = begin({}, new FakeLink("webrtc", 40_000));
  peer.greet();
  const asked = peer.assistant.submit("Who?", { name: "a.wav", samples });
  await settle();
  peer.link.onevent(committed("named"));
  await asked;
  const pieces = peer.link.sent.filter(({ type }) => type === "input_audio_buffer.append");
  assert.deepEqual(pieces.flatMap(({ audio }) => [...fromBase64(audio)]), [...samples]);
  assert.equal(peer.link.sent[0].session.audio.input.turn_detection, null);
  assert.deepEqual(peer.link.said.slice(-4), [
    "input_audio_buffer.commit",
    "session.update",
    "conversation.item.create",
    "response.create",
  ]);
  assert.deepEqual(peer.link.tracks, [null, { enabled: true }]);
  assert.equal(peer.assistant.conversation.items[0].id, "named");
  assert.equal(peer.assistant.utterances.get("named").length, samples.length);
});

test("a server that forgot is told everything again, but what was cut off", async () => {
  const { assistant, link, greet, notices } = begin();
  greet("one");
  assistant.utterances.keep("u", FRAME);
  assistant.conversation.put({ id: "u", role: "user", kind: "spoken" });
  const cut = { text: "One, two, three", kept: 8, status: "incomplete", cut: "speech" };
  assistant.conversation.put({ id: "a", role: "assistant", ...cut });
  assistant.conversation.put({ id: "gone", role: "user", text: "Old.", forgotten: true });
  link.onevent({ type: "session.created", session: { model: "m", resume: "two", audio: {} } });
  await assistant.restored;
  assert.deepEqual(
    link.sent.slice(1).map(({ item }) => [item.id, item.content[0].text]),
    [["u", undefined], ["a", "One, two"]],
  );
  assert.match(notices[0], /told it again/);
});

test("a server that remembers is told nothing", () => {
  const { assistant, link, greet } = begin();
  greet("one");
  assistant.conversation.put({ id: "u", role: "user", text: "Hello." });
  link.onevent({ type: "session.created", session: { model: "m", resume: "one", audio: {} } });
  assert.deepEqual(link.said, ["session.update"]);
});

test("speech stops the voice, and the server hears how much was heard", () => {
  const { assistant, link, greet, speaker } = begin({ aloud: true });
  greet();
  assistant.conversation.put({ id: "a", role: "assistant", text: "One, two.", status: "completed" });
  speaker.said = { item: "a", chars: 4 };
  const started = { type: "input_audio_buffer.speech_started", item_id: "u", audio_start_ms: 0 };
  link.onevent(started);
  assert.deepEqual([link.sent[0].type, link.sent[0].text_chars], ["conversation.item.truncate", 4]);
  assert.equal(assistant.conversation.find("a").cut, "speech");
});

test("what the server complains of is shown, unless it does not matter", () => {
  const { link, greet, notices } = begin();
  greet();
  const complain = (code) => link.onevent({ type: "error", error: { code, message: code } });
  complain("response_cancel_not_active");
  complain("conversation_full");
  assert.deepEqual(notices, ["conversation_full"]);
});

test("what is going on is told in one word", () => {
  const { assistant, link, microphone } = begin();
  assert.equal(assistant.phase, "listening");
  link.state = "waiting";
  assert.equal(assistant.phase, "connecting");
  microphone.open = false;
  assert.equal(assistant.phase, "off");
});
