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

/** Mix the channels evenly, or take the loudest where they cancel each other out. */
export function mono(sound) {
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  if (channels.length === 1) return channels[0];
  const mixed = new Float32Array(sound.length);
  for (const samples of channels) {
    for (let i = 0; i < mixed.length; i++) mixed[i] += samples[i] / channels.length;
  }
  const powers = channels.map(power);
  const unrelated = powers.reduce((a, b) => a + b, 0) / channels.length ** 2;
  if (power(mixed) >= unrelated / 2) return mixed;
  return channels[powers.indexOf(Math.max(...powers))];
}

function power(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return sum / Math.max(1, samples.length);
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
