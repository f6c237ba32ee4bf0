// The round button: on and off when hands-free; held, or tapped twice, in push-to-talk.

const TAP_MS = 300; // a shorter press stays down until the next one

/** Turns presses of a pointer, of keys and of the space bar anywhere into talking. */
export class TalkButton {
  constructor(button, { held, open, start, stop, hold, release }) {
    Object.assign(this, { button, held, open, start, stop, hold, release });
    this.since = null; // when it went down
    this.latched = false;
    button.onpointerdown = (event) => {
      if (event.button) return;
      button.setPointerCapture(event.pointerId);
      this.press();
    };
    button.onpointerup = button.onpointercancel = () => this.unpress();
    button.oncontextmenu = (event) => event.preventDefault(); // a long press is talking
    button.onkeydown = (event) => this.#key(event, ["Enter", " "]);
    button.onkeyup = ({ key }) => (key === "Enter" || key === " ") && this.unpress();
    document.addEventListener("keydown", (event) => {
      if (held() && !writing(event.target)) this.#key(event, [" "]);
    });
    document.addEventListener("keyup", ({ key, target }) => {
      if (key === " " && !writing(target)) this.unpress();
    });
  }

  #key(event, keys) {
    if (!keys.includes(event.key)) return;
    event.preventDefault();
    if (!event.repeat) this.press();
  }

  async press() {
    if (!this.held()) return this.open() ? this.stop() : this.start();
    if (this.latched) return this.letGo();
    this.since = performance.now();
    if (!this.open()) await this.start();
    if (this.since === null) return null; // let go before the microphone was there
    if (this.open()) return this.hold();
    return this.letGo();
  }

  unpress() {
    if (this.since === null || this.latched) return;
    if (performance.now() - this.since < TAP_MS) this.latched = true;
    else this.letGo();
  }

  letGo() {
    this.latched = false;
    this.since = null;
    this.release();
  }
}

function writing(target) {
  return target.closest?.("input, textarea, select, button, summary, dialog");
}
