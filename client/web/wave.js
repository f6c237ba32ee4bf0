// The microphone's sound as it comes: bars that run outwards from the button.

const BAR = 3;
const GAP = 3;
const HISTORY = 200;

/** Draws levels on a canvas while there are any. */
export class Wave {
  constructor(canvas, button) {
    Object.assign(this, { canvas, button, levels: [], drawing: false, active: false });
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
  }

  /** Take the level (0 to 1) of the next 20 ms. */
  push(value) {
    const loudness = Math.min(1, Math.max(0, (20 * Math.log10(value + 1e-5) + 60) / 50));
    this.smooth = Math.max(loudness, (this.smooth ?? 0) * 0.85);
    this.count = ((this.count ?? 0) + 1) % 2; // one bar for 40 ms
    if (this.count) return;
    this.levels.unshift(loudness);
    this.levels.length = Math.min(this.levels.length, HISTORY);
    this.#wake();
  }

  clear() {
    this.levels = [];
    this.smooth = 0;
    this.#wake();
  }

  #wake() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (canvas.width !== width * ratio) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
    }
    this.button.style.setProperty("--level", this.calm.matches ? 0 : this.smooth.toFixed(3));
    const brush = canvas.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.clearRect(0, 0, width, height);
    brush.fillStyle = getComputedStyle(canvas).color;
    const from = this.button.offsetWidth / 2 + 14;
    const most = Math.floor((width / 2 - from) / (BAR + GAP));
    for (let i = 0; i < Math.min(most, this.levels.length); i++) {
      const tall = Math.max(3, this.levels[i] * height * 0.8);
      brush.globalAlpha = (1 - i / most) ** 1.2;
      for (const x of [width / 2 + from + i * (BAR + GAP), width / 2 - from - i * (BAR + GAP) - BAR]) {
        brush.beginPath();
        brush.roundRect(x, (height - tall) / 2, BAR, tall, BAR / 2);
        brush.fill();
      }
    }
  }
}
