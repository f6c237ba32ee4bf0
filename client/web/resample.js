// From the microphone's rate to the session's: a windowed sinc, exact for rational ratios.

const ZERO_CROSSINGS = 16; // on each side of a sample; more is steeper
const PASSBAND = 0.94; // of the lower of the two Nyquist frequencies

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Resamples a stream, piece by piece; what comes out does not depend on how it was cut. */
export class Resampler {
  constructor(from, to) {
    const shared = gcd(from, to);
    this.step = from / shared; // input samples that `phases` output samples cover
    this.phases = to / shared;
    const slower = Math.max(1, from / to);
    this.half = Math.ceil(ZERO_CROSSINGS * slower);
    this.tables = Array.from({ length: this.phases }, (_, i) => this.#table(i / this.phases, slower));
    this.held = new Float32Array(this.half); // silence before the beginning
    this.at = 0; // of the next output sample in `held`, less `half`, in phases
  }

  #table(fraction, slower) {
    const cutoff = PASSBAND / slower;
    const table = new Float32Array(2 * this.half);
    let sum = 0;
    for (let k = 0; k < table.length; k++) {
      const x = k - this.half + 1 - fraction;
      const window = Math.cos((Math.PI / 2) * (x / (this.half + 1))) ** 2;
      sum += table[k] = sinc(cutoff * x) * window;
    }
    return table.map((value) => value / sum);
  }

  /** Take more samples, give what can be told from them. */
  push(samples) {
    const input = new Float32Array(this.held.length + samples.length);
    input.set(this.held);
    input.set(samples, this.held.length);
    const output = [];
    for (;;) {
      const whole = Math.floor(this.at / this.phases);
      if (whole + 2 * this.half >= input.length) break;
      const table = this.tables[this.at % this.phases];
      let sum = 0;
      for (let k = 0; k < table.length; k++) sum += table[k] * input[whole + k + 1];
      output.push(sum);
      this.at += this.step;
    }
    const used = Math.min(Math.floor(this.at / this.phases), input.length);
    this.held = input.slice(used);
    this.at -= used * this.phases;
    return Float32Array.from(output);
  }
}
