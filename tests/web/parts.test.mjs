// The small parts without a browser: samples, resampling, what is said on the wire, settings.

import assert from "node:assert/strict";
import { test } from "node:test";

import { roundUp, seconds, timed } from "../../client/web/chart.js";
import { loudness as scaled, microphones } from "../../client/web/devices.js";
import { mono } from "../../client/web/files.js";
import { explain, obstacle } from "../../client/web/microphone.js";
import { fromBase64, level, peaks, toBase64, toFloat32, toInt16 } from "../../client/web/pcm.js";
import { Resampler } from "../../client/web/resample.js";
import { DEFAULTS, load, save, sound } from "../../client/web/settings.js";
import { Speaker } from "../../client/web/speaker.js";
import { iceServers } from "../../client/web/transport.js";
import { Utterances } from "../../client/web/utterances.js";
import * as wire from "../../client/web/wire.js";

const tone = (hz, rate, length) =>
  Float32Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));
const loudness = (samples) => Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);

test("samples survive the wire", () => {
  const samples = Int16Array.from({ length: 20_000 }, (_, i) => (i * 7919) % 65536 - 32768);
  assert.deepEqual(fromBase64(toBase64(samples)), samples);
  assert.deepEqual(toInt16(toFloat32(Int16Array.of(0, 100, -100))), Int16Array.of(0, 100, -100));
  assert.deepEqual(toInt16(Float32Array.of(2, -2)), Int16Array.of(32767, -32767));
});

test("loudness is drawn relative to the loudest", () => {
  const samples = Int16Array.from({ length: 100 }, (_, i) => (i < 50 ? 0 : 16384));
  assert.deepEqual(peaks(samples, 2), [0, 1]);
  assert.equal(level(samples.subarray(50)), 0.5);
  assert.equal(level(new Int16Array(0)), 0);
});

test("microphones are listed by name, the browser's own choice left out", async () => {
  const all = [
    { kind: "audioinput", deviceId: "default", label: "Default - Desk" },
    { kind: "audioinput", deviceId: "a", label: "Desk" },
    { kind: "audioinput", deviceId: "b", label: "" },
    { kind: "audiooutput", deviceId: "c", label: "Ears" },
  ];
  const names = [{ id: "a", name: "Desk" }, { id: "b", name: "Microphone 2" }];
  assert.deepEqual(await microphones({ enumerateDevices: async () => all }), names);
  assert.deepEqual(await microphones(null), []); // a page on plain http
  assert.deepEqual([0, 0.001, 1].map((value) => Math.round(scaled(value) * 100)), [0, 0, 100]);
});

for (const rate of [48000, 44100, 16000, 96000]) {
  test(`resampling from ${rate} keeps tones below the limit and stops those above`, () => {
    const inside = new Resampler(rate, 24000).push(tone(3000, rate, rate));
    assert.ok(Math.abs(inside.length - 24000) < 40);
    const middle = inside.subarray(1000, 23000);
    const ideal = tone(3000, 24000, 24000).subarray(1000, 23000);
    assert.ok(loudness(middle.map((x, i) => x - ideal[i])) < 0.003);
    if (rate < 32000) return;
    const outside = new Resampler(rate, 24000).push(tone(14500, rate, rate));
    assert.ok(loudness(outside.subarray(1000)) < 0.003);
  });
}

test("resampling does not depend on how the sound was cut", () => {
  const whole = new Resampler(44100, 24000).push(tone(500, 44100, 5000));
  const cut = new Resampler(44100, 24000);
  const pieces = [];
  for (let at = 0; at < 5000; at += 128) {
    pieces.push(...cut.push(tone(500, 44100, 5000).subarray(at, at + 128)));
  }
  assert.deepEqual(Float32Array.from(pieces), whole);
});

test("turn detection says who answers", () => {
  const free = wire.turnDetection(DEFAULTS);
  assert.deepEqual([free.create_response, free.silence_duration_ms], [true, 500]);
  assert.equal(wire.turnDetection({ ...DEFAULTS, talk: "push" }), null);
  const analysis = { ...DEFAULTS, mode: "analysis", detection: "semantic_vad", eagerness: "high" };
  const captions = wire.turnDetection({ ...analysis, standing: true });
  assert.equal(wire.turnDetection(analysis).create_response, false);
  assert.deepEqual([captions.eagerness, captions.interrupt_response], ["high", false]);
  assert.equal(wire.sessionUpdate(DEFAULTS).session.audio.input.format.rate, 24000);
});

test("the session is configured as chosen; what was not chosen is left to the server", () => {
  const { session } = wire.sessionUpdate(DEFAULTS);
  assert.deepEqual([session.instructions, session.temperature, session.max_output_tokens], [null, null, null]);
  const chosen = { ...DEFAULTS, prompt: " Be brief. ", temperature: "0", longest: "64" };
  const update = wire.sessionUpdate(chosen).session;
  assert.deepEqual([update.instructions, update.temperature, update.max_output_tokens], ["Be brief.", 0, 64]);
});

test("what a caption says is not written down a second time", () => {
  const transcription = (more) => wire.sessionUpdate({ ...DEFAULTS, ...more }).session.audio.input.transcription;
  assert.ok(transcription({}));
  assert.ok(transcription({ standing: true })); // which is for analysis alone
  assert.equal(transcription({ mode: "analysis", standing: true }), null);
});

test("items and responses are what OpenAI Realtime wants", () => {
  const samples = Int16Array.of(1, 2);
  const { item, previous_item_id } = wire.userItem({ samples, text: "Who?", after: "u" });
  assert.equal(previous_item_id, "u");
  assert.deepEqual(item.content.map(({ type }) => type), ["input_audio", "input_text"]);
  assert.notEqual(wire.newId(), wire.newId());
  const { response } = wire.asideAbout("u", "Who?");
  assert.deepEqual(response.input[0], { type: "item_reference", id: "u" });
  assert.equal(response.conversation, "none");
  assert.equal(wire.asideAbout("u", "").response.input.length, 1);
});

test("of stored settings is kept what is understood", () => {
  const store = new Map();
  const storage = { getItem: (key) => store.get(key) ?? null, setItem: (k, v) => store.set(k, v) };
  assert.deepEqual(load(storage), { ...DEFAULTS });
  save(storage, { ...DEFAULTS, hangover: 800, transport: "webrtc" });
  assert.deepEqual([load(storage).hangover, load(storage).transport], [800, "webrtc"]);
  store.set("realtime.settings", "{nonsense");
  assert.deepEqual(load(storage), { ...DEFAULTS });
  assert.deepEqual(sound({ hangover: 1e9, mode: "evil", aloud: "yes", other: 1 }), { ...DEFAULTS });
  assert.deepEqual(sound({ temperature: "3", longest: "many", prompt: "x".repeat(4001) }), { ...DEFAULTS });
  const chosen = { temperature: "0.7", longest: "64", prompt: "Be brief.", microphone: "id", events: true };
  assert.deepEqual(sound(chosen), { ...DEFAULTS, ...chosen });
  const forbidden = { getItem: () => { throw new Error(); }, setItem: () => { throw new Error(); } };
  assert.deepEqual(load(forbidden), { ...DEFAULTS });
  save(forbidden, DEFAULTS);
});

test("one's own voice is found again by position", () => {
  const utterances = new Utterances(1 / 240); // 100 samples
  for (let at = 0; at < 250; at += 25) {
    utterances.push(Int16Array.from({ length: 25 }, (_, i) => at + i));
  }
  assert.deepEqual([...utterances.slice(200, 203)], [200, 201, 202]);
  assert.deepEqual([...utterances.slice(0, 152)], [150, 151]); // the rest is overwritten
  assert.deepEqual([...utterances.slice(248, 900)], [248, 249]);
  utterances.keep("a", utterances.slice(160, 170));
  utterances.rename("a", "b");
  assert.equal(utterances.get("a"), null);
  assert.equal(utterances.get("b").length, 10);
});

test("why there is no microphone is said in words", () => {
  assert.match(obstacle({ isSecureContext: false }), /https/);
  assert.match(obstacle({ isSecureContext: true, navigator: {} }), /no microphone/);
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "Odd"]) {
    assert.match(explain({ name, message: "odd" }), /microphone/i);
  }
});

test("ICE servers are read from Link headers", () => {
  const link =
    '<stun:stun.example:3478>; rel="ice-server", <turn:t.example?transport=udp>; ' +
    'rel="ice-server"; username="u"; credential="p, q"; credential-type="password", </x>; rel="y"';
  assert.deepEqual(iceServers(link), [
    { urls: "stun:stun.example:3478" },
    { urls: "turn:t.example?transport=udp", username: "u", credential: "p, q" },
  ]);
  assert.deepEqual(iceServers(null), []);
});

test("axes end at round numbers", () => {
  assert.deepEqual([0.7, 430, 500, 1200].map(roundUp), [1, 500, 500, 2000]);
  assert.deepEqual([seconds(430), seconds(1234), seconds(12345)], ["430 ms", "1.23 s", "12.3 s"]);
  assert.equal(timed([{ timing: null }, { timing: { first: 1 } }]).length, 1);
});

/** The browser's voice, spoken by the test. */
class Voice {
  said = [];
  cancelled = 0;
  speak(utterance) {
    this.said.push(utterance);
  }
  cancel() {
    this.cancelled++;
  }
}
class Words {
  constructor(text) {
    this.text = text;
  }
}

test("answers are read sentence by sentence, and what was heard is known", () => {
  globalThis.document = { documentElement: { lang: "en" } };
  const voice = new Voice();
  const speaker = new Speaker(voice, Words);
  let done = 0;
  speaker.ondone = () => done++;
  speaker.follow("a", "One is first. Two fol", false);
  assert.deepEqual(voice.said.map(({ text }) => text), ["One is first. "]);
  speaker.follow("a", "One is first. Two follows it.", true);
  assert.deepEqual(voice.said.map(({ text }) => text), ["One is first. ", "Two follows it."]);
  voice.said[0].onend();
  voice.said[1].onboundary({ charIndex: 4 });
  assert.deepEqual(speaker.stop(), { item: "a", chars: 18 });
  assert.equal(voice.cancelled, 1);
  assert.equal(speaker.stop(), null);
  voice.said[1].onend(); // late
  speaker.follow("b", "Yes.", true);
  voice.said[2].onend();
  assert.deepEqual([speaker.speaking, done], [false, 1]);
});

test("a browser without a voice reads nothing", () => {
  const speaker = new Speaker(undefined, undefined);
  speaker.follow("a", "One.", true);
  assert.equal(speaker.stop(), null);
});

test("channels are mixed evenly, unless they cancel each other out", () => {
  const of = (...channels) => ({
    length: channels[0].length,
    numberOfChannels: channels.length,
    getChannelData: (at) => Float32Array.from(channels[at]),
  });
  assert.deepEqual([...mono(of([0.5, -0.5], [0, 0]))], [0.25, -0.25]);
  assert.deepEqual([...mono(of([0.25, -0.25], [-0.5, 0.5]))], [-0.5, 0.5]);
  assert.deepEqual([...mono(of([0, 0], [0, 0]))], [0, 0]);
});
