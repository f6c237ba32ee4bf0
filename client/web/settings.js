// What a person chose, kept in this browser only.

const KEY = "realtime.settings";

export const DEFAULTS = Object.freeze({
  mode: "conversation", // or "analysis": an instruction goes with what is heard
  talk: "free", // or "push": the button (or the space bar) is held while speaking
  standing: false, // the instruction stays, and each utterance is answered by itself (captions)
  detection: "server_vad", // or "semantic_vad"
  hangover: 500, // ms of silence that end an utterance (server_vad)
  eagerness: "auto", // low, medium, high (semantic_vad)
  transport: "auto", // "webrtc", "websocket"
  key: "",
  aloud: false,
  transcribe: true,
  cleaned: false,
  microphone: "", // deviceId; empty: the browser's choice
  prompt: "", // the system prompt; empty: the server's own, as are these:
  temperature: "", // 0 to 2
  longest: "", // tokens of an answer
  events: false, // the inspector of what is said on the wire
});

const CHOICES = {
  mode: ["conversation", "analysis"],
  talk: ["free", "push"],
  detection: ["server_vad", "semantic_vad"],
  eagerness: ["auto", "low", "medium", "high"],
  transport: ["auto", "webrtc", "websocket"],
};

const RANGES = { hangover: [200, 2000], temperature: [0, 2], longest: [1, 4096] };
const LONGEST_PROMPT = 4000; // characters: what servers take, in every script

function understood(name, value) {
  if (!(name in DEFAULTS) || typeof value !== typeof DEFAULTS[name]) return false;
  if (CHOICES[name]) return CHOICES[name].includes(value);
  if (name === "prompt") return value.length <= LONGEST_PROMPT;
  if (!RANGES[name] || value === "") return true;
  const [least, most] = RANGES[name];
  return value >= least && value <= most;
}

/** Keep of what was stored only what is understood. */
export function sound(stored) {
  const settings = { ...DEFAULTS };
  for (const [name, value] of Object.entries(stored ?? {})) {
    if (understood(name, value)) settings[name] = value;
  }
  return settings;
}

/** Read the settings; a browser that keeps nothing has the defaults. */
export function load(storage) {
  try {
    return sound(JSON.parse(storage.getItem(KEY) ?? "{}"));
  } catch {
    return { ...DEFAULTS };
  }
}

/** Keep the settings, if this browser keeps anything. */
export function save(storage, settings) {
  try {
    storage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Private windows and full disks: the settings live as long as the page.
  }
}
