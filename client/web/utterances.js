// One's own voice, kept in this page: a ring of the last minutes, and what became of it.

import { RATE } from "./pcm.js";

const SECONDS = 320; // a turn has at most five minutes
const KEPT = 200; // utterances; the oldest leave

/** Remembers microphone frames by position (samples since the connection began). */
export class Utterances {
  constructor(seconds = SECONDS) {
    this.ring = new Int16Array(seconds * RATE);
    this.end = 0;
    this.kept = new Map(); // item id -> Int16Array at RATE
  }

  /** Begin to count anew: the server of a new connection does, too. */
  restart() {
    this.end = 0;
  }

  /** Take the next frame. */
  push(frame) {
    const at = this.end % this.ring.length;
    const head = frame.subarray(0, this.ring.length - at);
    this.ring.set(head, at);
    this.ring.set(frame.subarray(head.length), 0);
    this.end += frame.length;
  }

  /** Give samples `from` to `to`, as far as they are still there. */
  slice(from, to) {
    const last = Math.min(Math.round(to), this.end);
    const first = Math.max(Math.round(from), 0, this.end - this.ring.length);
    const samples = new Int16Array(Math.max(0, last - first));
    for (let i = 0; i < samples.length; i++) samples[i] = this.ring[(first + i) % this.ring.length];
    return samples;
  }

  /** Keep samples as the sound of an item. */
  keep(item, samples) {
    if (!samples.length) return;
    this.kept.set(item, samples);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
  }

  get(item) {
    return this.kept.get(item) ?? null;
  }

  /** Call an item's sound by another name. */
  rename(from, to) {
    const samples = this.kept.get(from);
    if (samples) this.kept.delete(from), this.kept.set(to, samples);
  }

  clear() {
    this.kept.clear();
  }
}
