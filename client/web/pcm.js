// Samples and their forms on the wire: int16 mono at the session's rate.

export const RATE = 24000; // samples a second, what OpenAI Realtime calls audio/pcm

/** Turn samples between -1 and 1 into int16. */
export function toInt16(floats) {
  const samples = new Int16Array(floats.length);
  for (let i = 0; i < floats.length; i++) {
    samples[i] = Math.round(Math.max(-1, Math.min(1, floats[i])) * 32767);
  }
  return samples;
}

/** Turn int16 into samples between -1 and 1. */
export function toFloat32(samples) {
  const floats = new Float32Array(samples.length);
  for (let i = 0; i < samples.length; i++) floats[i] = samples[i] / 32768;
  return floats;
}

/** Write samples as base64 of their little-endian bytes. */
export function toBase64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/** Read samples from base64. */
export function fromBase64(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
}

/** Give `count` loudnesses (0 to 1, root of the mean square, loudest = 1) for a picture. */
export function peaks(samples, count) {
  const width = samples.length / count;
  const levels = Array.from({ length: count }, (_, i) => {
    return level(samples.subarray(Math.floor(i * width), Math.floor((i + 1) * width)));
  });
  const most = Math.max(...levels, 0.01);
  return levels.map((value) => value / most);
}

/** Give the loudness of some samples, 0 to 1. */
export function level(samples) {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += samples[i] * samples[i];
  return samples.length ? Math.sqrt(sum / samples.length) / 32768 : 0;
}
