// The page: joins the document to the assistant.

import { Assistant } from "./assistant.js";
import { chart, seconds, sparkline, table, timed } from "./chart.js";
import { Conversation } from "./conversation.js";
import { Composer } from "./composer.js";
import { halves, reason } from "./exporting.js";
import { Player } from "./files.js";
import { Inspector } from "./inspector.js";
import { keep, kept, saveAs } from "./keeping.js";
import { Link } from "./link.js";
import { Microphone, explain, obstacle } from "./microphone.js";
import { Panel } from "./panel.js";
import { fromBase64 } from "./pcm.js";
import { Readiness, readyz } from "./readiness.js";
import { load, save } from "./settings.js";
import { Speaker } from "./speaker.js";
import { TalkButton } from "./talkbutton.js";
import { diagnose, openPeer, openSocket } from "./transport.js";
import { Utterances } from "./utterances.js";
import { View, atBottom, toBottom } from "./view.js";
import { Wave } from "./wave.js";

const ASLEEP_MS = 100_000; // servers close what is quiet for two minutes
const REST_MS = 60_000;
const SPACE = matchMedia("(hover: none)").matches ? "" : ", or the space bar,"; // has it a keyboard?
const PHASES = {
  off: { free: "", push: `Hold the button${SPACE} to talk` },
  connecting: "One moment",
  ready: `Hold the button${SPACE} and speak`,
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
const inspector = new Inspector($("inspector"));
let settings = load(localStorage);

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
    used: () => composer.write(""),
    announced: (item) => announce(item),
    returned: (asks) => composer.takeBack(asks),
  },
});
const composer = new Composer({ assistant, notice });
const panel = new Panel({
  context: audio,
  stream: () => microphone.stream,
  choose,
  keyed: () => (interrupted ? startTalking() : link.ready().catch(() => {})),
});
const readiness = new Readiness({ ask: readyz, onchange: showReadiness });
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
  $("model").textContent = $("model").title = conversation.model ?? readiness.model ?? "";
  for (const save of document.querySelectorAll("#menu [data-saves]")) {
    save.hidden = conversation.items.length === 0;
  }
  showTimes(conversation.items);
  showTalk();
  keep(conversation);
}

function phaseText(phase) {
  if (phase === "listening" && assistant.captioning) return "Captioning";
  const words = PHASES[phase];
  return words[settings.talk] ?? words;
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
let interrupted = false; // the server let nobody in while somebody wanted to speak

function showLink() {
  const { state, reason } = link;
  if (state === "waiting") {
    assistant.lost();
    readiness.watch(); // it may be there already, loading its model
    if (reason.status !== 503 && link.attempts > 1) {
      notice((trouble = `${reason.message} Trying again.`));
    }
  }
  if (state === "off" && reason) ended(reason);
  if (state === "open") {
    interrupted = false;
    settled();
  }
  nameLink();
  refresh([]);
}

function nameLink() {
  const again = link.opened ? "Reconnecting" : "Connecting";
  const names = {
    off: "Not connected",
    opening: link.attempts ? again : "Connecting",
    waiting: again,
    open: { webrtc: "WebRTC", websocket: "WebSocket" }[link.transport?.kind],
  };
  const loading = readiness.loading && ["opening", "waiting"].includes(link.state);
  $("link").dataset.state = link.state;
  $("link-text").textContent = loading ? "Loading" : names[link.state];
}

/** What was last said of the connection is not so any more. */
function settled() {
  if ($("notice").firstElementChild.textContent === trouble) notice("");
}

let loaded = true; // as far as was seen

/** Say how far loading has come; connect as soon as it is through, if somebody waits for that. */
function showReadiness() {
  const { loading } = readiness;
  $("loading").hidden = !loading;
  if (loading) {
    $("loading").lastElementChild.textContent = readiness.words;
    $("loading").firstElementChild.value = readiness.known.fraction ?? 0;
    settled();
  } else if (link.state === "waiting") {
    if (readiness.known?.status === "ready" && !loaded) link.ready().catch(() => {});
    else if (link.reason.status === 503) notice((trouble = `${link.reason.message} Trying again.`));
  }
  if (readiness.known) loaded = !loading;
  nameLink();
  refresh([]);
}

function ended(error) {
  assistant.lost();
  composer.takeBack(assistant.asking.withdraw());
  interrupted = microphone.open;
  if (microphone.open) stopTalking();
  if (error.idle) return notice("The server closed the quiet connection. Speak or write to go on.");
  if (error.status !== 401) return notice(error.message);
  const message = settings.key ? "The server does not know this key." : "The server wants a key.";
  notice((trouble = message));
  return panel.askKey(message);
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
    if (error !== link.reason && !microphone.open) notice(explain(error));
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

// ---- settings -----------------------------------------------------------------------------------

function choose(changes) {
  const before = settings;
  settings = { ...settings, ...changes };
  save(localStorage, settings);
  const differs = (...names) => names.some((name) => before[name] !== settings[name]);
  if (differs("talk")) button.letGo();
  assistant.configure(settings);
  if (differs("transport", "key")) link.anew();
  if (differs("microphone", "cleaned")) {
    assistant.reopen().catch((error) => microphone.open || notice(explain(error)));
  }
  showSettings();
}

function showSettings() {
  panel.show(settings);
  for (const field of document.querySelectorAll("#mode input, #way input")) {
    field.checked = settings[field.name] === field.value;
  }
  const analysing = settings.mode === "analysis";
  $("standing").checked = settings.standing;
  $("instructions").hidden = !analysing;
  $("words-label").textContent = analysing ? "Instruction" : "Write";
  $("words").placeholder = analysing
    ? "What to do with the sound"
    : "Write, or add a sound";
  for (const text of document.querySelectorAll("#welcome [data-mode]")) {
    const { mode, talk } = text.dataset;
    text.hidden = mode !== settings.mode || Boolean(talk && talk !== settings.talk);
  }
  $("welcome-hint").textContent = obstacle() ?? "";
  inspector.turn(settings.events);
  $("show-events").hidden = !settings.events;
  refresh([]);
}

// ---- events of the document ---------------------------------------------------------------------

link.onstate = showLink;
const receive = link.onevent;
link.onevent = (event) => (inspector.log.record("received", event), receive(event));
link.onsent = (event) => inspector.log.record("sent", event);
$("stop").onclick = () => assistant.interrupt();
$("notice").lastElementChild.onclick = () => notice("");
$("mode").onchange = $("way").onchange = ({ target }) => choose({ [target.name]: target.value });
$("standing").onchange = () => choose({ standing: $("standing").checked });
$("settings-button").onclick = () => panel.open();
$("timing-button").onclick = () => (showTiming(), $("timing").showModal());
$("menu").onclick = ({ target }) => target.closest("button") && $("menu").hidePopover();
$("export-text").onclick = () => saveAs("text", assistant.conversation);
$("export-json").onclick = () => saveAs("json", assistant.conversation);
$("show-events").onclick = () => inspector.show(!inspector.shown);
$("new").onclick = () => (notice(""), assistant.reset());

// What is at the end stays in sight when the dock below it grows.
let atEnd = true;
document.addEventListener("scroll", () => (atEnd = atBottom()), { passive: true });
new ResizeObserver(() => atEnd && toBottom()).observe(document.querySelector("footer"));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.target.closest("dialog")) assistant.interrupt();
});

showSettings();
composer.write(assistant.conversation.unsent.join("\n"));
showLink();
readiness.watch();
refresh(assistant.conversation.items.map(({ id }) => id));
