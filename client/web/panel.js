// The settings dialog: fields and what they stand for, the key that a server wants, the microphone.

import { Meter, microphones } from "./devices.js";
import { explain, obstacle } from "./microphone.js";
import { make } from "./view.js";

const $ = (id) => document.getElementById(id);

/** Shows settings; `choose(changes)` is told what was chosen, `keyed()` that a key was given. */
export class Panel {
  constructor({ context, stream, choose, keyed }) {
    Object.assign(this, { stream, choose, keyed, dialog: $("settings"), asked: false });
    this.meter = new Meter(context, (value) => this.#level(value));
    this.dialog.onchange = ({ target }) => this.#changed(target);
    this.dialog.oninput = ({ target }) => target.name === "hangover" && this.#hangover(target.value);
    this.dialog.onclose = () => this.#closed();
    $("try").onclick = () => this.#try();
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#list());
  }

  open() {
    if (this.dialog.open) return;
    this.dialog.showModal();
    this.#list();
    this.#measure();
  }

  /** Say that the server wants a key, or another one, where it can be given. */
  askKey(message) {
    this.asked = true;
    $("key-trouble").textContent = message;
    $("key-trouble").hidden = false;
    this.open();
    const field = this.dialog.querySelector("[name=key]");
    field.scrollIntoView({ block: "center" }); // with what is said below it
    field.focus({ preventScroll: true });
    field.select();
  }

  /** Bring the fields up to date. */
  show(settings) {
    this.settings = settings;
    for (const field of this.dialog.querySelectorAll("input, select, textarea")) {
      if (field.type === "checkbox") field.checked = settings[field.name];
      else field.value = settings[field.name];
    }
    for (const part of this.dialog.querySelectorAll("[data-for]")) {
      part.hidden = part.dataset.for !== settings.detection;
    }
    this.#hangover(settings.hangover);
  }

  #hangover(ms) {
    $("hangover-value").textContent = `${ms} ms`;
  }

  #changed(field) {
    if (!field.reportValidity()) return;
    const value = field.type === "checkbox" ? field.checked : field.value;
    this.choose({ [field.name]: field.type === "range" ? Number(value) : value });
    if (field.name === "microphone" && this.meter.own) this.#start();
  }

  #closed() {
    this.meter.stop();
    this.#say("Try it");
    const asked = this.asked;
    this.asked = false;
    $("key-trouble").hidden = true;
    if (!asked || this.dialog.returnValue !== "done") return;
    this.choose({ key: this.dialog.querySelector("[name=key]").value });
    if (this.settings.key) this.keyed();
  }

  // ---- the microphone ---------------------------------------------------------------------------

  async #list() {
    const field = $("microphone");
    const known = await microphones();
    const { microphone } = this.settings;
    const gone = microphone && !known.some(({ id }) => id === microphone);
    if (gone) known.push({ id: microphone, name: "Not connected now" });
    const options = known.map(({ id, name }) => Object.assign(make("option", "", name), { value: id }));
    field.replaceChildren(field.options[0], ...options);
    field.value = microphone;
  }

  /** Show the level of the microphone that is open, if one is. */
  #measure() {
    const stream = this.stream();
    if (stream) this.meter.watch(stream);
    $("try").hidden = Boolean(stream);
  }

  #try() {
    if (!this.meter.running) return this.#start();
    this.meter.stop();
    return this.#say("Try it");
  }

  async #start() {
    const problem = obstacle();
    try {
      if (problem) throw new Error(problem);
      await this.meter.start(this.settings.microphone);
      if (!this.dialog.open) return this.meter.stop();
      this.#say("Stop");
      return this.#list();
    } catch (error) {
      return this.#say("Try it", problem ?? explain(error));
    }
  }

  #say(button, trouble = "") {
    $("try").textContent = button;
    $("microphone-trouble").textContent = trouble;
    $("microphone-trouble").hidden = !trouble;
  }

  #level(value) {
    $("level").style.setProperty("--level", value.toFixed(3));
    $("level").setAttribute("aria-valuenow", Math.round(100 * value));
  }
}
