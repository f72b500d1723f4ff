/** All heads as small patterns, from which one is chosen. */

import { h } from "./dom.js";
import { drawMap, onThemeChange, rampOf } from "./maps.js";
import { stepOf } from "./state.js";

/** @import { PageData } from "../page-data.ts" */
/** @import { Pattern } from "./patterns.js" */
/** @import { State } from "./state.js" */

/** Up to so many heads a layer, their names stand below them; the numbers alone where there are more. */
const N_NAMED = 16;

/** Pixels of a small pattern to a side; each shows the strongest of the pairs that it stands for. */
const N_PIXELS = 40;

/**
 * @param {PageData} data
 * @param {State} state
 * @param {(layer: number, head: number) => Pattern} patternAt
 */
export function headPicker({ model, tokens }, state, patternAt) {
  const { nLayers, nHeads } = model;
  const size = Math.min(N_PIXELS, tokens.length);
  const buttons = Array.from({ length: nLayers }, (_, layer) =>
    Array.from({ length: nHeads }, (_, head) => {
      const name = `L${layer} H${head}`;
      return h(
        "button",
        { type: "button", tabindex: -1, "aria-label": name, title: name, click: () => state.select({ layer, head }) },
        h("canvas", { width: size, height: size }),
      );
    }),
  );
  const drawLayer = (/** @type {number} */ layer) => {
    const ramp = rampOf("attention");
    for (const [head, button] of buttons[layer].entries()) {
      const small = strongestOf(patternAt(layer, head), tokens.length, size);
      const canvas = /** @type {HTMLCanvasElement} */ (button.firstChild);
      // The root brings out what is faint.
      drawMap(canvas, (to, from) => Math.sqrt(small[from * size + to]), ramp);
    }
  };
  // A layer at a time, so that the page can be used meanwhile.
  const draw = () => {
    for (const layer of buttons.keys()) setTimeout(drawLayer, 0, layer);
  };
  const rows = buttons.map((row, layer) => h("div", { class: "heads-row" }, h("span", {}, `L${layer}`), ...row));
  const numbers = Array.from({ length: nHeads }, (_, head) => h("span", {}, nHeads > N_NAMED ? `${head}` : `H${head}`));
  const element = h(
    "div",
    { class: "heads", role: "group", "aria-label": "Heads" },
    ...rows.toReversed(),
    h("div", { class: "heads-row" }, h("span", {}), ...numbers),
  );
  element.style.setProperty("--heads", `${nHeads}`);
  element.addEventListener("keydown", (event) => {
    const step = stepOf(event);
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    state.select({ layer: state.selected.layer + step[1], head: state.selected.head + step[0] });
    buttons[state.selected.layer][state.selected.head].focus();
  });
  onThemeChange(draw);
  draw();
  let chosen = buttons[0][0];
  state.follow(({ layer, head }) => {
    chosen.classList.remove("chosen");
    chosen.tabIndex = -1;
    chosen.setAttribute("aria-pressed", "false");
    chosen = buttons[layer][head];
    chosen.classList.add("chosen");
    chosen.tabIndex = 0;
    chosen.setAttribute("aria-pressed", "true");
  });
  return h("div", { class: "scroller" }, element);
}

/**
 * A pattern made small: [size, size], of each pixel's pairs the largest.
 * @param {Pattern} pattern
 * @param {number} nTokens
 * @param {number} size
 */
function strongestOf(pattern, nTokens, size) {
  const small = new Float32Array(size * size);
  const pixelOf = (/** @type {number} */ position) => Math.floor((position * size) / nTokens);
  for (let from = 0; from < nTokens; from++) {
    for (let to = 0; to <= from; to++) {
      const pixel = pixelOf(from) * size + pixelOf(to);
      small[pixel] = Math.max(small[pixel], pattern(from, to));
    }
  }
  return small;
}
