// What the page says to the server: OpenAI Realtime client events, built from plain values.

import { RATE, toBase64 } from "./pcm.js";

const PREFIX_PADDING_MS = 300;
const THRESHOLD = 0.5;

/** Tell whether each utterance is answered by itself, outside the conversation. */
export function captioning(settings) {
  return settings.mode === "analysis" && settings.standing;
}

/** Tell whether the server answers by itself at the end of speech. */
export function answersItself(settings) {
  return settings.talk === "free" && settings.mode === "conversation";
}

/** Build turn_detection; null is push-to-talk. */
export function turnDetection(settings) {
  if (settings.talk === "push") return null;
  const common = {
    create_response: answersItself(settings),
    interrupt_response: !captioning(settings), // captions go on
  };
  if (settings.detection === "semantic_vad") {
    return { type: "semantic_vad", eagerness: settings.eagerness, ...common };
  }
  return {
    type: "server_vad",
    threshold: THRESHOLD,
    prefix_padding_ms: PREFIX_PADDING_MS,
    silence_duration_ms: settings.hangover,
    ...common,
  };
}

/** Configure the session as the settings say; null is what the server itself has chosen. */
export function sessionUpdate(settings) {
  // A caption says already what was heard.
  const transcribe = settings.transcribe && !captioning(settings);
  return {
    type: "session.update",
    session: {
      type: "realtime",
      output_modalities: ["text"],
      instructions: settings.prompt.trim() || null,
      temperature: number(settings.temperature),
      max_output_tokens: number(settings.longest),
      audio: {
        input: {
          format: { type: "audio/pcm", rate: RATE },
          turn_detection: turnDetection(settings),
          transcription: transcribe ? { model: "qwen2-audio" } : null,
        },
      },
    },
  };
}

function number(written) {
  return written === "" ? null : Number(written);
}

/** Give the ms of silence before the server says that speech stopped, where that is known. */
export function hangover(session) {
  const detection = session?.audio?.input?.turn_detection;
  return detection?.type === "server_vad" ? (detection.silence_duration_ms ?? 0) : 0;
}

let made = 0;

/** Make an item id that no other page makes. */
export function newId() {
  const noise = crypto.getRandomValues(new Uint32Array(2));
  return `item_${noise[0].toString(36)}${noise[1].toString(36)}${(made++).toString(36)}`;
}

export function append(samples) {
  return { type: "input_audio_buffer.append", audio: toBase64(samples) };
}

/** Put what the user said and wrote, as one item. */
export function userItem({ id = newId(), samples = null, text = "", after }) {
  const content = [];
  if (samples) content.push({ type: "input_audio", audio: toBase64(samples) });
  if (text) content.push({ type: "input_text", text });
  const item = { id, type: "message", role: "user", content };
  return { type: "conversation.item.create", item, ...(after && { previous_item_id: after }) };
}

/** Put what the assistant had said. */
export function assistantItem({ id, text }) {
  const content = [{ type: "output_text", text }];
  const item = { id, type: "message", role: "assistant", content };
  return { type: "conversation.item.create", item };
}

/** Ask about one item by itself: the answer stays outside the conversation. */
export function asideAbout(item, text) {
  const written = { type: "message", role: "user", content: [{ type: "input_text", text }] };
  const input = [{ type: "item_reference", id: item }, ...(text ? [written] : [])];
  const response = { conversation: "none", metadata: { about: item }, input };
  return { type: "response.create", response };
}

/** Keep of an answer only what was heard: `chars` characters (text_chars is this server's own). */
export function truncate(item, chars) {
  const type = "conversation.item.truncate";
  return { type, item_id: item, content_index: 0, audio_end_ms: 0, text_chars: chars };
}
