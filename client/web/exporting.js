// The conversation as files: JSON for programs, text for people.

/** Give what of an item's text stays in the conversation, and what was cut off. */
export function halves(item) {
  const kept = item.kept ?? item.text.length;
  return [item.text.slice(0, kept), item.text.slice(kept)];
}

/** Write the conversation as JSON. */
export function toJson(conversation, { model, exported }) {
  const items = conversation.items.map((item) => {
    const [kept, cut] = halves(item);
    return {
      id: item.id,
      role: item.role,
      said: item.kind === "written" ? undefined : item.kind,
      file: item.file ?? undefined,
      seconds: item.seconds ?? undefined,
      transcript: item.transcript ?? undefined,
      text: kept,
      cut_off: cut || undefined,
      status: item.status,
      interrupted_by: item.cut ?? undefined,
      about: item.about ?? undefined,
      time: new Date(item.time).toISOString(),
      first_token_ms: round(item.timing?.first),
      tokens_per_second: round(item.timing?.rate),
    };
  });
  return JSON.stringify({ exported, model, items }, null, 2) + "\n";
}

/** Write the conversation as text. */
export function toText(conversation, { model, exported }) {
  const lines = [`Conversation with ${model}, ${exported}`, ""];
  for (const item of conversation.items) {
    lines.push(`${item.role === "user" ? "You" : "Assistant"}: ${words(item)}`);
  }
  return lines.join("\n") + "\n";
}

function words(item) {
  const [kept, cut] = halves(item);
  if (item.role === "assistant") {
    return item.cut ? `${kept} [${reason(item)}${cut ? `: ${cut.trim()}` : ""}]` : kept;
  }
  const sound = item.kind === "written" ? "" : `(${item.file ?? "spoken"}${length(item)})`;
  return [sound, item.transcript && `"${item.transcript}"`, kept].filter(Boolean).join(" ");
}

function length(item) {
  return item.seconds ? `, ${item.seconds.toFixed(1)} s` : "";
}

/** Say in words why an answer is not whole. */
export function reason(item) {
  return {
    speech: "interrupted when you spoke",
    asked: "stopped",
    length: "ended at the length limit",
    failed: "failed",
    lost: "lost with the connection",
  }[item.cut];
}

function round(value) {
  return value == null ? undefined : Math.round(value * 10) / 10;
}
