// The conversation outlives a reload (in this tab), and can be saved as a file.

import { toJson, toText } from "./exporting.js";

const KEY = "realtime.conversation";
const PAUSE_MS = 200; // changes come in bursts
const FILE_KEPT_MS = 10_000;

/** Give what an earlier load of this page kept. */
export function kept(storage = sessionStorage) {
  try {
    return JSON.parse(storage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

let waiting = null;

/** Keep the conversation, soon. */
export function keep(conversation, storage = sessionStorage) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    try {
      storage.setItem(KEY, JSON.stringify(conversation.snapshot()));
    } catch {
      // A full or forbidden store: the conversation lives as long as the page.
    }
  }, PAUSE_MS);
}

/** Save the conversation as "text" or "json". */
export function saveAs(kind, conversation) {
  const exported = new Date().toISOString();
  const facts = { model: conversation.model ?? "no model yet", exported };
  const name = `conversation-${exported.slice(0, 19).replaceAll(":", "-")}`;
  if (kind === "json") download(`${name}.json`, toJson(conversation, facts), "application/json");
  else download(`${name}.txt`, toText(conversation, facts), "text/plain");
}

function download(name, text, type) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(new Blob([text], { type }));
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), FILE_KEPT_MS);
}
