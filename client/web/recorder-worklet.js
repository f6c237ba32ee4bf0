// Runs on the audio thread: the microphone's first channel as frames of 20 ms, int16, 24 kHz.

import { RATE, toInt16 } from "./pcm.js";
import { Resampler } from "./resample.js";

const FRAME = RATE / 50;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.frame = new Float32Array(FRAME);
    this.filled = 0;
  }

  process([input]) {
    if (input.length) this.#collect(this.resampler.push(input[0]));
    return true;
  }

  #collect(samples) {
    for (const sample of samples) {
      this.frame[this.filled++] = sample;
      if (this.filled < FRAME) continue;
      const frame = toInt16(this.frame);
      this.port.postMessage(frame, [frame.buffer]);
      this.filled = 0;
    }
  }
}

registerProcessor("recorder", Recorder);
