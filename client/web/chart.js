// How long answers took, as a small picture: bars for the first token, dots for tokens per second.

const SVG = "http://www.w3.org/2000/svg";
const SHOWN = 16; // turns
const WIDTH = 480;
const HEIGHT = 160;
const LEFT = 44;
const BOTTOM = 22;

function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Give the answers that have a time, the last ones only. */
export function timed(items, count = SHOWN) {
  return items.filter((item) => item.timing).slice(-count);
}

/** Find a round number not below the largest value: the top of an axis. */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((times) => times * power).find((top) => top >= value * 0.999);
}

/** Write milliseconds for people. */
export function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
}

/** Draw the last few first-token times, tiny. */
export function sparkline(items) {
  const shown = timed(items, 12);
  const top = Math.max(...shown.map((item) => item.timing.first), 1);
  const bars = shown.map((item, i) => {
    const height = Math.max(2, (18 * item.timing.first) / top);
    return element("rect", { x: i * 5, y: 20 - height, width: 3, height, rx: 1.5, class: "bar" });
  });
  return element("svg", { viewBox: `0 0 ${shown.length * 5 - 2} 20`, class: "spark", "aria-hidden": "true" }, ...bars);
}

/** Draw the chart; a table beside it says the same to those who cannot see it. */
export function chart(items) {
  const shown = timed(items);
  const top = roundUp(Math.max(...shown.map((item) => item.timing.first), 100));
  const fastest = roundUp(Math.max(...shown.map((item) => item.timing.rate ?? 0), 10));
  const y = (fraction) => 10 + (HEIGHT - BOTTOM - 10) * (1 - fraction);
  const step = (WIDTH - LEFT - 40) / Math.max(shown.length, 8);
  const x = (i) => LEFT + 8 + i * step;
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", "aria-hidden": "true" };
  const drawing = element("svg", box);
  for (const fraction of [0, 0.5, 1]) {
    const line = { x1: LEFT, x2: WIDTH - 40, y1: y(fraction), y2: y(fraction), class: "grid" };
    const label = { x: LEFT - 8, y: y(fraction) + 4, class: "axis", "text-anchor": "end" };
    const right = { x: WIDTH - 34, y: y(fraction) + 4, class: "axis rate" };
    drawing.append(
      element("line", line),
      element("text", label, fraction ? seconds(top * fraction) : "0"),
      element("text", right, String(Math.round(fastest * fraction))),
    );
  }
  shown.forEach(({ timing }, i) => {
    const height = y(0) - y(timing.first / top);
    const bar = { x: x(i), y: y(timing.first / top), width: step * 0.5, height, rx: 2, class: "bar" };
    drawing.append(element("rect", bar));
    if (timing.rate) {
      const at = { cx: x(i) + step * 0.25, cy: y(timing.rate / fastest), r: 3.5, class: "dot" };
      drawing.append(element("circle", at));
    }
    const label = { x: x(i) + step * 0.25, y: HEIGHT - 4, class: "axis", "text-anchor": "middle" };
    drawing.append(element("text", label, String(i + 1)));
  });
  return drawing;
}

/** The chart's numbers as a table. */
export function table(items) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const name of ["Answer", "First token", "Tokens per second"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
  const body = made.createTBody();
  for (const item of timed(items)) {
    const row = body.insertRow();
    row.insertCell().textContent = item.text;
    row.insertCell().textContent = seconds(item.timing.first);
    row.insertCell().textContent = item.timing.rate ? Math.round(item.timing.rate) : "all at once";
  }
  return made;
}
