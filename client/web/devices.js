// The microphones there are, and how loud the one in use is.

import { level } from "./pcm.js";

const EACH_MS = 50;
const FULL = 32768; // what pcm.js takes for the largest

/** List the microphones as [{id, name}]; browsers name them once one was allowed. */
export async function microphones(devices = navigator.mediaDevices) {
  const all = (await devices?.enumerateDevices?.().catch(() => [])) ?? [];
  const heard = all.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
  return heard
    .filter(({ deviceId }) => deviceId !== "default" && deviceId !== "communications")
    .map(({ deviceId, label }, i) => ({ id: deviceId, name: label || `Microphone ${i + 1}` }));
}

/** Measures a stream: `onlevel` gets 0 to 1, twenty times a second, and 0 at the end. */
export class Meter {
  constructor(context, onlevel) {
    Object.assign(this, { context, onlevel, own: null, source: null });
  }

  get running() {
    return this.source !== null;
  }

  /** Listen to a microphone for the picture only; throws what getUserMedia throws. */
  async start(microphone) {
    this.stop();
    const audio = microphone ? { deviceId: microphone } : true;
    const own = await navigator.mediaDevices.getUserMedia({ audio });
    this.watch(own);
    this.own = own;
  }

  /** Measure a stream that is somebody else's. */
  watch(stream) {
    this.stop();
    const context = this.context();
    context.resume();
    const analyser = new AnalyserNode(context, { fftSize: 2048 });
    this.source = context.createMediaStreamSource(stream);
    this.source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      this.onlevel(loudness(level(samples) * FULL));
    }, EACH_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.source?.disconnect();
    for (const track of this.own?.getTracks() ?? []) track.stop();
    this.source = this.own = null;
    this.onlevel(0);
  }
}

/** Put a level (0 to 1) on a scale as ears have it: 60 dB below full is 0. */
export function loudness(value) {
  return Math.min(1, Math.max(0, 1 + Math.log10(Math.max(value, 1e-6)) / 3));
}
