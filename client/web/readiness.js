// Whether the server has its model: asked when the page opens, and again while it is being loaded.

const AGAIN_MS = 1000;

/** Ask the server; give {status, model, stage, fraction, reason}, or null if it does not answer. */
export async function readyz() {
  try {
    const answer = await fetch(new URL("readyz", document.baseURI), { cache: "no-store" });
    return await answer.json();
  } catch {
    return null;
  }
}

/** Knows how far the server is; `onchange()` is called when that becomes known. */
export class Readiness {
  constructor({ ask, onchange, clock = globalThis }) {
    Object.assign(this, { ask, onchange, clock, known: null, model: null });
    this.asking = false;
    this.following = false; // it was loading when it was last heard of
  }

  /** The server is there and its model is not. */
  get loading() {
    return this.known?.status === "loading" || this.known?.status === "stalled";
  }

  /** Say for people how far loading has come. */
  get words() {
    const { status, stage = "starting", fraction = 0, reason = "" } = this.known;
    if (status === "stalled") return `The model does not answer: ${reason || "nobody knows why"}.`;
    // A server that has nothing to add says that the model is not loaded.
    const why = reason && !reason.startsWith("The model is not loaded") ? ` (${reason})` : "";
    if (stage === "failed") return `The model cannot be loaded${why}.`;
    return `The model is being loaded: ${stage}, ${Math.round(100 * fraction)} %${why}.`;
  }

  /** Ask now, and again until the model is there. */
  async watch() {
    this.clock.clearTimeout(this.timer);
    if (this.asking) return;
    this.asking = true;
    this.known = await this.ask();
    this.asking = false;
    this.model = this.known?.model ?? this.model;
    // A server that loads its model may be too busy to answer, or be started anew.
    if (this.known) this.following = this.loading;
    if (this.following) this.timer = this.clock.setTimeout(() => this.watch(), AGAIN_MS);
    this.onchange();
  }
}
