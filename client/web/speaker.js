// Reads answers aloud through the browser's own voices, sentence by sentence as they come.

const SENTENCE = /^[\s\S]*?(?:[.!?…;:]["')\]]*\s+|\n+|[。！？；]+)/;

/** Speaks one answer at a time and knows how much of it was heard. */
export class Speaker {
  constructor(synthesis, Utterance) {
    this.synthesis = synthesis;
    this.Utterance = Utterance;
    this.ondone = () => {};
    this.#forget();
  }

  get able() {
    return Boolean(this.synthesis && this.Utterance);
  }

  get speaking() {
    return this.item !== null;
  }

  #forget() {
    this.item = null;
    this.queued = 0; // characters given to the browser
    this.heard = 0; // characters that it has spoken
    this.pending = 0; // sentences that it has not finished
    this.whole = false;
  }

  /** The answer `item` reads `text` so far; `whole`: and nothing will follow. */
  follow(item, text, whole) {
    if (!this.able) return;
    if (item !== this.item) {
      this.stop();
      this.item = item;
    }
    for (;;) {
      const rest = text.slice(this.queued);
      const sentence = SENTENCE.exec(rest)?.[0] ?? (whole ? rest : "");
      if (!sentence.trim()) break;
      this.#say(sentence);
    }
    this.whole = whole;
    this.#settle();
  }

  #say(sentence) {
    const from = this.queued;
    const item = this.item;
    const utterance = new this.Utterance(sentence);
    utterance.lang = document.documentElement.lang;
    utterance.onboundary = ({ charIndex }) => {
      if (this.item === item) this.heard = Math.max(this.heard, from + charIndex);
    };
    utterance.onend = utterance.onerror = () => {
      if (this.item !== item) return;
      this.heard = Math.max(this.heard, from + sentence.length);
      this.pending--;
      this.#settle();
    };
    this.queued += sentence.length;
    this.pending++;
    this.synthesis.speak(utterance);
  }

  #settle() {
    if (this.item === null || !this.whole || this.pending) return;
    this.#forget();
    this.ondone();
  }

  /** Fall silent; give {item, chars} of what was being said, or null. */
  stop() {
    if (this.item === null) return null;
    const { item, heard: chars } = this;
    this.#forget();
    this.synthesis.cancel();
    return { item, chars };
  }
}
