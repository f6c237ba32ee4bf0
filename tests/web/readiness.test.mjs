// How far the server is: asked once where it is ready, and again while it loads.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Readiness } from "../../client/web/readiness.js";

function place(answers) {
  const timers = [];
  const told = [];
  const readiness = new Readiness({
    ask: async () => answers.shift(),
    clock: { setTimeout: (act) => timers.push(act), clearTimeout() {} },
    onchange: () => told.push(readiness.loading ? readiness.words : (readiness.known?.status ?? "silent")),
  });
  return { readiness, timers, told };
}

test("a server that is ready is asked once, and names its model", async () => {
  const { readiness, timers, told } = place([{ status: "ready", model: "demo" }]);
  await readiness.watch();
  assert.deepEqual([told, timers.length, readiness.model], [["ready"], 0, "demo"]);
});

test("loading is followed to its end, also through a start that is silent", async () => {
  const loading = { status: "loading", stage: "weights", fraction: 0.426 };
  const { readiness, timers, told } = place([loading, null, { status: "ready", model: "demo" }]);
  await readiness.watch();
  await timers.shift()();
  await timers.shift()();
  assert.deepEqual(told, ["The model is being loaded: weights, 43 %.", "silent", "ready"]);
  assert.equal(timers.length, 0);
});

for (const [known, words] of [
  [{ status: "loading", stage: "failed" }, "The model cannot be loaded."],
  [
    { status: "loading", stage: "starting", fraction: 0, reason: "the worker died: signal 9" },
    "The model is being loaded: starting, 0 % (the worker died: signal 9).",
  ],
  [
    { status: "loading", stage: "weights", fraction: 0.5, reason: "The model is not loaded: weights, 50%." },
    "The model is being loaded: weights, 50 %.",
  ],
  [
    { status: "stalled", stage: "stalled", reason: "the worker gives no sign of life" },
    "The model does not answer: the worker gives no sign of life.",
  ],
]) {
  test(`what goes on is said in words: ${words}`, async () => {
    const { readiness, told, timers } = place([known]);
    await readiness.watch();
    assert.deepEqual([told, timers.length], [[words], 1]);
  });
}

test("a server that does not answer, or is full, is not asked for ever", async () => {
  const { readiness, timers } = place([null, { status: "busy" }]);
  await readiness.watch();
  await readiness.watch();
  assert.equal(timers.length, 0);
});
