// Sound files to ask about, and sounds to play.

import { RATE, toFloat32, toInt16 } from "./pcm.js";

const LONGEST_S = 240; // what fits into one event, at 24 kHz

/** Decode a file to the session's rate, mono; throws an Error with words for the user. */
export async function decode(file) {
  const bytes = await file.arrayBuffer();
  const probe = new OfflineAudioContext(1, 1, RATE); // decodes to its own rate
  let sound;
  try {
    sound = await probe.decodeAudioData(bytes);
  } catch {
    throw new Error(`${file.name} is no audio file that this browser can read.`);
  }
  if (sound.duration > LONGEST_S) {
    throw new Error(`${file.name} is longer than ${LONGEST_S / 60} minutes.`);
  }
  return toInt16(mono(sound));
}

function mono(sound) {
  const mixed = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const samples = sound.getChannelData(channel);
    for (let i = 0; i < mixed.length; i++) mixed[i] += samples[i] / sound.numberOfChannels;
  }
  return mixed;
}

/** Plays one sound at a time. */
export class Player {
  constructor(context) {
    this.context = context;
    this.playing = null;
  }

  /** Play samples; `onstop` is called when they end or something else is played. */
  play(samples, onstop) {
    this.stop();
    const context = this.context();
    context.resume();
    const buffer = context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(toFloat32(samples), 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.onended = () => this.playing?.source === source && this.stop();
    source.start();
    this.playing = { source, onstop };
  }

  stop() {
    if (!this.playing) return;
    const { source, onstop } = this.playing;
    this.playing = null;
    source.stop();
    onstop();
  }
}
