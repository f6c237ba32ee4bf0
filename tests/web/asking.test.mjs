// Questions that outlive connections: shown as waiting, told once, given back where nobody takes them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../client/web/conversation.js";
import { fromBase64 } from "../../client/web/pcm.js";
import { FRAME, FakeLink, begin, settle } from "./fakes.mjs";

const SOUND = { name: "a.wav", samples: FRAME };
const added = (id) => ({ type: "conversation.item.added", item: { id, type: "message", role: "user" } });
const shown = ({ conversation }) => conversation.items.map(({ text, status }) => [text, status]);

function away(settings) {
  const begun = begin(settings);
  begun.link.state = "waiting";
  return begun;
}

/** The server comes back; what it is told is all that was sent since. */
async function back({ assistant, link, greet }, resume = "one") {
  greet(resume);
  await assistant.restored;
  await settle();
  return link.said;
}

test("what is written while the server is away is shown as waiting, and told when it is back", async () => {
  const page = away();
  page.assistant.submit("One?");
  page.assistant.submit("Two?");
  assert.deepEqual(shown(page.assistant), [["One?", "waiting"], ["Two?", "waiting"]]);
  assert.deepEqual(page.link.sent, []);
  const ask = ["conversation.item.create", "response.create"];
  assert.deepEqual(await back(page), ask);
  assert.deepEqual(shown(page.assistant), [["One?", "completed"], ["Two?", "waiting"]]);
  const error = { code: "conversation_not_found", message: "" }; // of something else
  page.link.onevent({ type: "error", error });
  await settle();
  assert.deepEqual(page.link.said, ask);
  page.link.onevent({ type: "response.done", response: { id: "r", status: "completed" } });
  await settle(); // the next one, when this has its answer
  assert.deepEqual(page.link.said, [...ask, ...ask]);
  assert.deepEqual(shown(page.assistant), [["One?", "completed"], ["Two?", "completed"]]);
  const ids = page.link.sent.flatMap(({ item }) => item?.id ?? []);
  assert.deepEqual(ids, page.assistant.conversation.items.map(({ id }) => id));
});

test("what the server had not taken when the connection went is told again, what it had is not", async () => {
  const page = begin();
  page.greet();
  await page.assistant.submit("One?");
  await page.assistant.submit("Two?");
  page.link.onevent(added(page.assistant.conversation.items[0].id));
  page.link.state = "waiting";
  page.assistant.lost();
  assert.deepEqual(shown(page.assistant), [["One?", "completed"], ["Two?", "waiting"]]);
  assert.deepEqual(await back(page), ["conversation.item.create", "response.create"]);
  assert.equal(page.link.sent[0].item.content[0].text, "Two?");
});

test("a server that forgot is told the conversation first, and what waits once", async () => {
  const page = begin();
  page.greet("one");
  page.assistant.conversation.put({ id: "u", role: "user", text: "Old." });
  page.link.state = "waiting";
  page.assistant.submit("New?");
  await back(page, "two");
  const texts = page.link.sent.flatMap(({ item }) => item?.content[0].text ?? []);
  assert.deepEqual(texts, ["Old.", "New?"]);
});

test("a sound waits with its question, and comes before it", async () => {
  const page = away();
  page.assistant.submit("Who?", SOUND);
  assert.deepEqual(page.assistant.conversation.items.map(({ kind, status }) => [kind, status]), [
    ["file", "waiting"],
    ["written", "waiting"],
  ]);
  await back(page);
  const [sound, text, asked] = page.link.sent;
  assert.equal(sound.item.content[0].type, "input_audio");
  assert.deepEqual([text.previous_item_id, text.item.content[0].text], [sound.item.id, "Who?"]);
  assert.equal(asked.type, "response.create");
});

test("a sound that is cut off by the end of the connection is told anew", async () => {
  const page = begin({}, new FakeLink("webrtc", 100)); // in pieces
  page.greet();
  const asked = page.assistant.submit("Who?", SOUND);
  await settle();
  page.link.state = "waiting";
  page.assistant.lost();
  await asked;
  assert.deepEqual(page.assistant.conversation.items.map(({ status }) => status), ["waiting", "waiting"]);
  page.greet();
  await settle();
  page.link.onevent({ type: "input_audio_buffer.committed", item_id: "named" });
  await settle();
  const { items } = page.assistant.conversation;
  assert.deepEqual(items.map(({ id, status }) => [id === "named", status]), [
    [true, "completed"],
    [false, "completed"],
  ]);
  assert.deepEqual(page.link.said.slice(-2), ["conversation.item.create", "response.create"]);
});

test("a sound that the server does not take goes back to who asked", async () => {
  const page = begin({}, new FakeLink("webrtc", 100));
  page.greet();
  const asked = page.assistant.submit("Who?", SOUND);
  await settle();
  page.link.onevent({ type: "error", error: { code: "input_audio_buffer_commit_empty", message: "" } });
  await asked;
  assert.deepEqual(page.returned.map(({ text, sound }) => [text, sound.name]), [["Who?", "a.wav"]]);
  assert.deepEqual(page.assistant.conversation.items, []);
});

test("under captions the question about a sound is its instruction", async () => {
  const page = away({ mode: "analysis", standing: true });
  page.assistant.submit("Write it down.", SOUND);
  await back(page);
  const { response } = page.link.sent.at(-1);
  assert.equal(response.metadata.about, page.assistant.conversation.items[0].id);
  assert.equal(response.input[1].content[0].text, "Write it down.");
});

test("what nobody takes is given back, and a new conversation begins without it", () => {
  const page = away();
  page.assistant.submit("One?");
  page.assistant.submit("Two?", SOUND);
  const given = page.assistant.asking.withdraw();
  assert.deepEqual(given.map(({ text, sound }) => [text, sound?.name]), [
    ["One?", undefined],
    ["Two?", "a.wav"],
  ]);
  assert.deepEqual(page.assistant.conversation.items, []);
  assert.deepEqual(page.assistant.asking.withdraw(), []);
});

test("a page that is loaded again gives back what waited", () => {
  const page = away();
  page.assistant.submit("One?");
  page.assistant.submit("", SOUND); // its sound went with the page
  const stored = JSON.parse(JSON.stringify(page.assistant.conversation.snapshot()));
  const again = new Conversation(stored);
  assert.deepEqual([again.items, again.unsent], [[], ["One?"]]);
});

test("what is said with the button held while the server is away waits, too", async () => {
  const page = away({ talk: "push" });
  page.assistant.hold();
  page.assistant.hear(FRAME);
  page.assistant.lost(); // one more attempt failed
  assert.equal(page.assistant.phase, "hearing");
  page.assistant.hear(FRAME);
  page.assistant.release();
  const { items } = page.assistant.conversation;
  assert.deepEqual(items.map(({ kind, status, seconds }) => [kind, status, seconds]), [
    ["spoken", "waiting", 0.04],
  ]);
  assert.deepEqual(await back(page), ["conversation.item.create", "response.create"]);
});

for (const [when, told] of [["while it is held", true], ["while it is committed", false]]) {
  test(`a held turn of which the server heard a part (${when}) is told whole`, async () => {
    const page = begin({ talk: "push" });
    page.greet();
    page.assistant.hold();
    page.assistant.hear(FRAME);
    if (told) page.assistant.lost(), page.greet();
    page.assistant.hear(FRAME);
    page.assistant.release();
    if (!told) await settle(), (page.link.state = "waiting"), page.assistant.lost();
    await settle();
    if (!told) await back(page);
    const { item } = page.link.sent.find(({ type }) => type === "conversation.item.create");
    assert.equal(fromBase64(item.content[0].audio).length, 2 * FRAME.length);
    assert.deepEqual(page.assistant.conversation.items.map(({ id }) => id), [item.id]);
  });
}

test("a question that the server refuses does not hold up the next one", async () => {
  const page = away();
  page.assistant.submit("One?");
  page.assistant.submit("Two?");
  await back(page);
  const { event_id } = page.link.sent.at(-1);
  page.link.onevent({ type: "error", error: { code: "conversation_full", message: "", event_id } });
  await settle();
  assert.equal(page.link.said.length, 4);
});

test("an item that the server refuses goes back to who wrote it; one that it had already does not", async () => {
  const page = begin();
  page.greet();
  await page.assistant.submit("Much too long.");
  await page.assistant.submit("Had already.");
  const [refused, , had] = page.link.sent.map(({ event_id }) => event_id);
  const complain = (code, event_id) =>
    page.link.onevent({ type: "error", error: { code, message: code, event_id } });
  complain("string_above_max_length", refused);
  complain("item_exists", had);
  assert.deepEqual(page.returned.map(({ text }) => text), ["Much too long."]);
  assert.deepEqual(shown(page.assistant), [["Had already.", "completed"]]);
  assert.deepEqual(page.assistant.asking.open, []);
  assert.deepEqual(page.notices, ["string_above_max_length"]);
});
