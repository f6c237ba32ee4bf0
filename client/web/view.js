// The conversation in the document: one list element per item, changed where the item changed.

import { seconds } from "./chart.js";
import { copyButton } from "./copying.js";
import { halves, reason } from "./exporting.js";
import { peaks } from "./pcm.js";

const SVG = "http://www.w3.org/2000/svg";
const BARS_PER_S = 14;
const PLAY = "M7 4.500v11l9-5.500z";
const PAUSE = "M6 4.500h3v11H6zM11.500 4.500h3v11h-3z";

/** Make an element: `make("p", "class", "text" or children...)`. */
export function make(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Draw a sound as bars, as long as it lasts. */
export function waveform(samples, length) {
  const count = Math.max(8, Math.min(64, Math.round(length * BARS_PER_S)));
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${count * 4} 24`);
  drawing.setAttribute("class", "waveform");
  drawing.setAttribute("aria-hidden", "true");
  drawing.style.width = `${count * 4}px`;
  const levels = samples ? peaks(samples, count) : Array(count).fill(0.12);
  levels.forEach((value, i) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = Math.max(2.5, 22 * value ** 0.7);
    const place = { x: i * 4 + 0.75, y: 12 - height / 2, width: 2.5, height, rx: 1.25 };
    for (const [key, at] of Object.entries(place)) bar.setAttribute(key, at);
    drawing.append(bar);
  });
  return drawing;
}

function symbol(path) {
  const drawing = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "path");
  drawing.setAttribute("viewBox", "0 0 20 20");
  drawing.setAttribute("class", "symbol");
  drawing.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}

/** Shows items; `onplay(item, button)` is what a sound's button does. */
export class View {
  constructor(list, { sound, onplay }) {
    Object.assign(this, { list, sound, onplay, shown: new Map() });
  }

  /** Bring the elements of `ids` up to date with the conversation. */
  show(conversation, ids) {
    const follow = atBottom();
    for (const id of new Set(ids)) {
      const item = conversation.find(id);
      if (item) this.#show(conversation, item);
      else this.#remove(id);
    }
    if (follow) toBottom();
  }

  #remove(id) {
    this.shown.get(id)?.remove();
    this.shown.delete(id);
  }

  #show(conversation, item) {
    const before = this.shown.get(item.id);
    const element = before ?? make("li");
    element.className = [item.role, item.kind, item.status, item.forgotten && "forgotten"]
      .filter(Boolean)
      .join(" ");
    if (item.role === "assistant") this.#answer(element, item);
    else this.#said(element, item);
    this.shown.set(item.id, element);
    const items = conversation.items;
    const next = items.slice(items.indexOf(item) + 1).find(({ id }) => this.shown.has(id));
    const behind = next ? this.shown.get(next.id) : null;
    // An item that got the id of another one stands where it stood itself.
    if (!before || element.nextElementSibling !== behind) this.list.insertBefore(element, behind);
  }

  #answer(element, item) {
    if (!element.firstChild) {
      const who = make("span", "hidden", "Answer: ");
      element.append(make("p", "words", who, make("span"), make("s")), make("p", "meta"));
    }
    const [kept, cut] = halves(item);
    const [words, meta] = element.children;
    words.children[1].textContent = kept;
    words.children[2].textContent = cut;
    words.children[2].hidden = !cut;
    words.classList.toggle("broken", Boolean(item.cut) && !cut);
    const facts = this.#facts(item);
    const drawn = facts.map(({ textContent }) => textContent).join();
    if (element.drawn === drawn) return; // the focus may be on its button
    element.drawn = drawn;
    meta.replaceChildren(...facts);
  }

  #facts(item) {
    const facts = [];
    if (item.cut) {
      const words = reason(item);
      facts.push(make("strong", "", words[0].toUpperCase() + words.slice(1)));
    }
    if (item.failure) facts.push(make("span", "", item.failure));
    if (item.timing && item.status !== "in_progress") {
      const { first, rate } = item.timing;
      facts.push(make("span", "", `${seconds(first)} to the first token`));
      if (rate) facts.push(make("span", "", `${Math.round(rate)} tokens/s`));
    }
    if (item.forgotten) facts.push(make("span", "", "no longer in the model’s memory"));
    const whole = item.text && item.status !== "in_progress";
    if (whole) facts.push(copyButton("Copy the answer", () => halves(item)[0]));
    return facts;
  }

  #said(element, item) {
    const parts = [];
    if (item.kind !== "written") parts.push(this.#playable(element, item));
    if (item.transcript) parts.push(make("p", "transcript", item.transcript));
    if (item.text) parts.push(make("p", "words", make("span", "hidden", "You: "), item.text));
    if (item.status === "waiting") parts.push(make("p", "note pending", "Waiting for the server"));
    element.replaceChildren(...parts);
  }

  #playable(element, item) {
    const samples = this.sound(item);
    const drawn = element.querySelector(".sound");
    // A drawing that is complete stays: it may be playing, or hold the focus.
    if (drawn && drawn.drawnFrom === samples && drawn.drawnAs === item.status) return drawn;
    const length = item.seconds ?? 1;
    const button = make("button", "sound", symbol(PLAY), waveform(samples, length));
    if (item.file) button.append(make("span", "file", item.file));
    if (item.seconds) button.append(make("span", "length", `${item.seconds.toFixed(1)} s`));
    const what = item.file ? item.file : "what you said";
    button.setAttribute("aria-label", `Play ${what}`);
    button.disabled = ["speaking", "heard", "waiting"].includes(item.status);
    button.onclick = () => this.onplay(item, button);
    Object.assign(button, { drawnFrom: samples, drawnAs: item.status });
    return button;
  }

  /** Show that a sound plays, or that it does not. */
  static playing(button, yes) {
    button.classList.toggle("playing", yes);
    button.querySelector(".symbol path").setAttribute("d", yes ? PAUSE : PLAY);
  }
}

/** Tell whether the end of the conversation is in sight. */
export function atBottom() {
  const { scrollHeight } = document.documentElement;
  return window.innerHeight + window.scrollY > scrollHeight - 120;
}

export function toBottom() {
  window.scrollTo({ top: document.documentElement.scrollHeight });
}
