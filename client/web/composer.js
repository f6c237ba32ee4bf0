// Writing, and sounds that are dropped or picked: what is sent together with one press.

import { decode } from "./files.js";
import { RATE } from "./pcm.js";
import { make, waveform } from "./view.js";

const PRESETS = ["What does the person say?", "What's that sound?", "Is the speaker a man or a woman?"];
const TALLEST = 160; // pixels

const $ = (id) => document.getElementById(id);

/** Holds what is being written; `assistant.submit` gets it. `notice(text)` tells what went wrong. */
export class Composer {
  constructor({ assistant, notice }) {
    Object.assign(this, { assistant, notice, attachment: null });
    $("composer").onsubmit = (event) => (event.preventDefault(), this.submit());
    $("words").oninput = () => this.#grow();
    $("words").onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    };
    $("attach").onclick = () => $("file").click();
    $("file").onchange = () => this.attach($("file").files[0]);
    for (const text of PRESETS) {
      const preset = make("button", "preset", text);
      preset.type = "button";
      preset.onclick = () => (this.write(text), $("words").focus());
      $("presets").append(preset);
    }
    this.#takeDrops();
  }

  /** Put other words into the field. */
  write(text) {
    $("words").value = text;
    this.#grow();
  }

  #grow() {
    const words = $("words");
    words.style.height = "auto";
    words.style.height = `${Math.min(words.scrollHeight, TALLEST)}px`;
    this.assistant.instruction = words.value.trim();
    $("send").disabled = !this.assistant.instruction && !this.attachment;
  }

  /** Send what is there. */
  submit() {
    const text = $("words").value.trim();
    const sound = this.attachment;
    if (!text && !sound) return;
    if (!this.assistant.captioning) this.write("");
    this.#detach();
    this.assistant.submit(text, sound);
  }

  /** Take back what could not be sent: nothing that was written is lost. */
  takeBack(asks) {
    const written = asks.map(({ text }) => text);
    const there = $("words").value;
    const lines = [...written, written.includes(there) ? "" : there].filter(Boolean);
    if (lines.length) this.write(lines.join("\n"));
    const sound = asks.findLast((ask) => ask.sound)?.sound;
    if (sound && !this.attachment) this.#attached({ ...sound, name: sound.name ?? "What you said" });
  }

  async attach(file) {
    if (!file) return;
    try {
      this.#attached({ name: file.name, samples: await decode(file) });
      this.notice("");
    } catch (error) {
      return this.notice(error.message);
    }
    $("words").focus();
  }

  #attached(sound) {
    this.attachment = sound;
    const length = sound.samples.length / RATE;
    const remove = make("button", "quiet", "Remove");
    remove.type = "button";
    remove.onclick = () => this.#detach();
    $("attachment").replaceChildren(
      waveform(sound.samples, length),
      make("span", "file", sound.name),
      make("span", "length", `${length.toFixed(1)} s`),
      remove,
    );
    $("attachment").hidden = false;
    this.#grow();
  }

  #detach() {
    this.attachment = null;
    $("attachment").hidden = true;
    $("file").value = "";
    this.#grow();
  }

  #takeDrops() {
    let inside = 0; // elements that the dragged file is over
    document.addEventListener("dragenter", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      inside++;
      $("drop").hidden = false;
    });
    document.addEventListener("dragleave", () => ($("drop").hidden = --inside <= 0));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      inside = 0;
      $("drop").hidden = true;
      this.attach(event.dataTransfer.files[0]);
    });
  }
}
