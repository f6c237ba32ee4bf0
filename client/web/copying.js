// Copying to the clipboard, also where the browser keeps its clipboard from pages (plain http).

const SAID_MS = 1500;

/** Copy a text; tell whether that went well. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const field = document.createElement("textarea");
  const focused = document.activeElement;
  field.value = text;
  field.className = "hidden";
  (focused?.closest("dialog") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return done;
}

/** Make a button that copies what `text()` gives when it is pressed, and says so. */
export function copyButton(name, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", name);
  button.onclick = () => copyFrom(button, text());
  return button;
}

/** Copy a text and say on the button how that went, for a moment. */
export async function copyFrom(button, text) {
  const [words, name] = [button.textContent, button.getAttribute("aria-label")];
  if (button.dataset.said) return;
  button.dataset.said = "yes";
  button.textContent = (await copy(text)) ? "Copied" : "Not allowed";
  button.removeAttribute("aria-label");
  setTimeout(() => {
    button.textContent = words;
    if (name) button.setAttribute("aria-label", name);
    delete button.dataset.said;
  }, SAID_MS);
}
