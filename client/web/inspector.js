// The event log in the document: a list beside the conversation, in which each event can be opened.

import { copyButton, copyFrom } from "./copying.js";
import { EventLog, toJson } from "./eventlog.js";
import { make } from "./view.js";

const NEAR_END = 40; // pixels

/** Shows the events of a log in `element`, which the page holds. */
export class Inspector {
  constructor(element) {
    this.element = element;
    this.list = element.querySelector("ol");
    this.filter = element.querySelector("input");
    this.rows = new Map(); // by entry number
    this.log = new EventLog({ onchange: () => this.#later() });
    const [copy, clear, hide] = element.querySelectorAll("header button");
    copy.onclick = () => copyFrom(copy, toJson(this.log.matching(this.filter.value)));
    clear.onclick = () => this.log.clear();
    hide.onclick = () => this.show(false);
    this.filter.oninput = () => this.#later();
  }

  get shown() {
    return !this.element.hidden;
  }

  /** Record and be shown, or neither. */
  turn(on) {
    if (this.log.on === on) return;
    this.log.turn(on);
    this.show(on);
  }

  /** Be seen or not; recording goes on. */
  show(yes) {
    this.element.hidden = !yes;
    document.body.classList.toggle("inspected", yes);
    if (yes) this.#later();
  }

  #later() {
    if (this.drawing || !this.shown) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const { list } = this;
    const atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - NEAR_END;
    const entries = this.log.matching(this.filter.value);
    const wanted = new Set(entries.map(({ n }) => n));
    for (const [n, { row }] of this.rows) {
      if (!wanted.has(n)) row.remove(), this.rows.delete(n);
    }
    let before = null;
    for (const entry of entries) {
      const { row, count } = this.rows.get(entry.n) ?? this.#row(entry);
      count.textContent = entry.count > 1 ? `× ${entry.count}` : "";
      const place = before ? before.nextSibling : list.firstChild;
      if (row !== place) list.insertBefore(row, place);
      before = row;
    }
    this.element.querySelector(".none").hidden = entries.length > 0;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  #row(entry) {
    const time = new Date(entry.at).toISOString().slice(11, 23);
    const count = make("span", "count");
    const way = make("span", `way ${entry.way}`, entry.way === "sent" ? "↑" : "↓");
    const words = make("span", "hidden", entry.way);
    const summary = make("summary", "", way, words, make("code", "", entry.type), count, make("time", "", time));
    const details = make("details", "", summary);
    details.ontoggle = () => {
      if (!details.open || details.children.length > 1) return;
      const json = JSON.stringify(entry.event, null, 2);
      const text = make("pre", "", json);
      text.tabIndex = 0; // it scrolls
      details.append(make("div", "opened", text, copyButton("Copy the event", () => json)));
    };
    const made = { row: make("li", "", details), count };
    this.rows.set(entry.n, made);
    return made;
  }
}
