// The page: joins the document to the assistant.

import { Assistant } from "./assistant.js";
import { chart, seconds, sparkline, table, timed } from "./chart.js";
import { Conversation } from "./conversation.js";
import { halves, reason } from "./exporting.js";
import { Player, decode } from "./files.js";
import { keep, kept, saveAs } from "./keeping.js";
import { Link } from "./link.js";
import { Microphone, explain, obstacle } from "./microphone.js";
import { RATE, fromBase64 } from "./pcm.js";
import { load, save } from "./settings.js";
import { Speaker } from "./speaker.js";
import { TalkButton } from "./talkbutton.js";
import { diagnose, openPeer, openSocket } from "./transport.js";
import { Utterances } from "./utterances.js";
import { View, atBottom, make, toBottom, waveform } from "./view.js";
import { Wave } from "./wave.js";

const ASLEEP_MS = 100_000; // servers close what is quiet for two minutes
const REST_MS = 60_000;
const PRESETS = ["What does the person say?", "What's that sound?", "Is the speaker a man or a woman?"];
const PHASES = {
  off: "",
  connecting: "One moment",
  ready: "Hold the button, or the space bar, and speak",
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  answering: "Answering",
};

const $ = (id) => document.getElementById(id);
let context = null;
const audio = () => (context ??= new AudioContext({ latencyHint: "interactive" }));
const wave = new Wave($("wave"), $("talk"));
const player = new Player(audio);
const utterances = new Utterances();
let settings = load(localStorage);
let attachment = null;

const microphone = new Microphone(
  audio,
  (frame) => assistant.hear(frame),
  () => {
    stopTalking();
    notice("The microphone is gone.");
  },
);
const link = new Link({
  open: { webrtc: openPeer, websocket: openSocket },
  diagnose,
  asleep: () => !microphone.open && performance.now() - assistant.last > ASLEEP_MS,
  options: () => ({
    key: settings.key,
    transport: settings.transport,
    resume: assistant.conversation.resume,
    track: microphone.track,
  }),
});
const assistant = new Assistant({
  link,
  microphone,
  utterances,
  speaker: new Speaker(window.speechSynthesis, window.SpeechSynthesisUtterance),
  conversation: new Conversation(kept()),
  settings,
  now: () => performance.now(),
  on: {
    changed: (ids) => refresh(ids),
    noticed: (text) => notice(text),
    level: (value) => wave.push(value),
    used: () => setWords(""),
    announced: (item) => announce(item),
  },
});
const view = new View($("conversation"), {
  sound: (item) => utterances.get(item.id),
  onplay: (item, button) => play(item, button),
});

// ---- showing ------------------------------------------------------------------------------------

function refresh(ids) {
  const { conversation } = assistant;
  view.show(conversation, ids);
  const { phase } = assistant;
  $("welcome").hidden = conversation.items.length > 0;
  $("phase").dataset.phase = phase;
  document.body.dataset.phase = phase;
  $("phase-text").textContent = phaseText(phase);
  $("stop").hidden = phase !== "answering" && phase !== "thinking";
  $("model").textContent = conversation.model ?? "";
  showTimes(conversation.items);
  showTalk();
  keep(conversation);
}

function phaseText(phase) {
  if (phase === "listening" && settings.mode === "analysis" && settings.standing) {
    return "Listening. Each utterance gets its caption";
  }
  return PHASES[phase];
}

let shownTime = null; // the answer whose time was last drawn

function showTimes(items) {
  const last = timed(items, 1)[0];
  $("timing-button").hidden = !last;
  if (!last || last === shownTime) return;
  shownTime = last;
  $("spark").replaceChildren(sparkline(items));
  $("last-timing").textContent = seconds(last.timing.first);
}

function showTiming() {
  $("chart").replaceChildren(chart(assistant.conversation.items));
  $("chart-table").replaceChildren(table(assistant.conversation.items));
}

function showTalk() {
  const on = settings.talk === "push" ? assistant.holding !== null : microphone.open;
  $("talk").setAttribute("aria-pressed", String(on));
  const free = microphone.open ? "Stop the microphone" : "Start the microphone";
  $("talk-label").textContent = settings.talk === "push" ? "Hold to talk" : free;
}

let trouble = null; // what was last said of the connection

function showLink() {
  const names = {
    off: "Not connected",
    opening: link.attempts ? "Reconnecting" : "Connecting",
    waiting: "Reconnecting",
    open: { webrtc: "WebRTC", websocket: "WebSocket" }[link.transport?.kind],
  };
  $("link").dataset.state = link.state;
  $("link-text").textContent = names[link.state];
  if (link.state === "waiting") assistant.lost();
  if (link.state === "waiting" && link.attempts > 1) {
    notice((trouble = `${link.reason.message} Trying again.`));
  }
  if (link.state === "off" && link.reason) ended(link.reason);
  if (link.state === "open" && $("notice").firstElementChild.textContent === trouble) notice("");
  refresh([]);
}

function ended(error) {
  assistant.lost();
  if (microphone.open) stopTalking();
  if (error.idle) return notice("The server closed the quiet connection. Speak or write to go on.");
  if (error.status !== 401) return notice(error.message);
  notice(settings.key ? "The server does not know this key." : "The server wants a key.");
  return openSettings();
}

function notice(text) {
  $("notice").hidden = !text;
  $("notice").firstElementChild.textContent = text;
}

/** Tell screen readers of a complete answer; the list itself would tell each token. */
function announce(item) {
  if (settings.aloud) return; // it is being read already
  const [text] = halves(item);
  $("announcer").textContent = item.cut ? `${text} ${reason(item)}.` : text;
}

// ---- talking ------------------------------------------------------------------------------------

async function startTalking() {
  const problem = obstacle();
  if (problem) return notice(problem);
  notice("");
  try {
    await assistant.listen();
  } catch (error) {
    // What is wrong with the connection says the connection itself.
    if (!microphone.open) notice(explain(error));
  }
  return refresh([]);
}

function stopTalking() {
  assistant.mute();
  wave.clear();
}

const button = new TalkButton($("talk"), {
  held: () => settings.talk === "push",
  open: () => microphone.open,
  start: startTalking,
  stop: stopTalking,
  hold: () => assistant.hold(),
  release: () => {
    assistant.release();
    rest();
  },
});

let resting = null;

/** In push-to-talk, let go of a microphone that nobody has used for a while. */
function rest() {
  clearTimeout(resting);
  resting = setTimeout(() => {
    if (settings.talk === "push" && assistant.holding === null) stopTalking();
  }, REST_MS);
}

async function play(item, button) {
  if (button.classList.contains("playing")) return player.stop();
  let samples = utterances.get(item.id);
  if (!samples) {
    await link.ready();
    const sound = await assistant.retrieve(item.id);
    if (!sound) return notice("This sound is not kept any more.");
    samples = fromBase64(sound);
    utterances.keep(item.id, samples);
  }
  View.playing(button, true);
  return player.play(samples, () => View.playing(button, false));
}

// ---- writing and files --------------------------------------------------------------------------

function setWords(text) {
  $("words").value = text;
  grow();
}

function grow() {
  const words = $("words");
  words.style.height = "auto";
  words.style.height = `${Math.min(words.scrollHeight, 160)}px`;
  assistant.instruction = words.value.trim();
  $("send").disabled = !assistant.instruction && !attachment;
}

async function attach(file) {
  if (!file) return;
  try {
    const samples = await decode(file);
    attachment = { name: file.name, samples };
    notice("");
  } catch (error) {
    return notice(error.message);
  }
  const length = attachment.samples.length / RATE;
  const remove = make("button", "quiet", "Remove");
  remove.type = "button";
  remove.onclick = () => detach();
  $("attachment").replaceChildren(
    waveform(attachment.samples, length),
    make("span", "file", file.name),
    make("span", "length", `${length.toFixed(1)} s`),
    remove,
  );
  $("attachment").hidden = false;
  grow();
  return $("words").focus();
}

function detach() {
  attachment = null;
  $("attachment").hidden = true;
  $("file").value = "";
  grow();
}

async function submit() {
  const text = $("words").value.trim();
  const sound = attachment;
  if (!text && !sound) return;
  if (!(settings.mode === "analysis" && settings.standing)) setWords("");
  detach();
  try {
    await assistant.submit(text, sound);
  } catch (error) {
    if (error.status !== 401) notice(error.message);
    if (!$("words").value) setWords(text); // nothing that was written is lost
  }
}

// ---- settings -----------------------------------------------------------------------------------

function choose(changes) {
  const before = settings;
  settings = { ...settings, ...changes };
  save(localStorage, settings);
  if (before.talk !== settings.talk) button.letGo();
  assistant.configure(settings);
  const anew = before.transport !== settings.transport || before.key !== settings.key;
  if (anew && link.wanted) {
    link.stop();
    link.peers = true;
    link.ready().catch(() => {});
  }
  showSettings();
}

function showSettings() {
  for (const field of document.querySelectorAll("#mode input, #way input")) {
    field.checked = settings[field.name] === field.value;
  }
  for (const field of $("settings").querySelectorAll("input, select")) {
    if (field.type === "checkbox") field.checked = settings[field.name];
    else field.value = settings[field.name];
  }
  for (const part of $("settings").querySelectorAll("[data-for]")) {
    part.hidden = part.dataset.for !== settings.detection;
  }
  $("hangover-value").textContent = `${settings.hangover} ms`;
  const analysing = settings.mode === "analysis";
  $("standing").checked = settings.standing;
  $("instructions").hidden = !analysing;
  $("words-label").textContent = analysing ? "Instruction" : "Write";
  $("words").placeholder = analysing
    ? "What to do with the sound"
    : "Write, or add a sound";
  for (const text of document.querySelectorAll("#welcome [data-mode]")) {
    text.hidden = text.dataset.mode !== settings.mode;
  }
  $("welcome-hint").textContent = obstacle() ?? "";
  refresh([]);
}

function openSettings() {
  if (!$("settings").open) $("settings").showModal();
}

function changed({ target }) {
  const value = target.type === "checkbox" ? target.checked : target.value;
  choose({ [target.name]: target.type === "range" ? Number(value) : value });
}

// ---- events of the document ---------------------------------------------------------------------

link.onstate = showLink;
$("stop").onclick = () => assistant.interrupt();
$("notice").lastElementChild.onclick = () => notice("");
$("composer").onsubmit = (event) => (event.preventDefault(), submit());
$("words").oninput = grow;
$("words").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
};
$("attach").onclick = () => $("file").click();
$("file").onchange = () => attach($("file").files[0]);
$("mode").onchange = $("way").onchange = $("settings").onchange = changed;
$("settings").oninput = ({ target }) => {
  if (target.name === "hangover") $("hangover-value").textContent = `${target.value} ms`;
};
$("standing").onchange = () => choose({ standing: $("standing").checked });
$("settings-button").onclick = openSettings;
$("timing-button").onclick = () => (showTiming(), $("timing").showModal());
$("menu").onclick = ({ target }) => target.closest("button") && $("menu").hidePopover();
$("export-text").onclick = () => saveAs("text", assistant.conversation);
$("export-json").onclick = () => saveAs("json", assistant.conversation);
$("new").onclick = () => (notice(""), assistant.reset());

for (const text of PRESETS) {
  const preset = make("button", "preset", text);
  preset.type = "button";
  preset.onclick = () => (setWords(text), $("words").focus());
  $("presets").append(preset);
}

// What is at the end stays in sight when the dock below it grows.
let atEnd = true;
document.addEventListener("scroll", () => (atEnd = atBottom()), { passive: true });
new ResizeObserver(() => atEnd && toBottom()).observe(document.querySelector("footer"));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.target.closest("dialog")) assistant.interrupt();
});

let inside = 0; // elements that the dragged file is over
document.addEventListener("dragenter", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  inside++;
  $("drop").hidden = false;
});
document.addEventListener("dragleave", () => ($("drop").hidden = --inside > 0 ? false : true));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  $("drop").hidden = true;
  attach(event.dataTransfer.files[0]);
});

showSettings();
grow();
showLink();
refresh(assistant.conversation.items.map(({ id }) => id));
