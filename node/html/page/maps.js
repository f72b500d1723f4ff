/** Heat maps: an image of one pixel a value, which the browser enlarges. */

import { figure, h, legend, quoted, section } from "./dom.js";
import { stepOf } from "./state.js";

/** @import { PageData } from "../page-data.ts" */
/** @import { State } from "./state.js" */

/**
 * The colours of a scale, 256 of them, as pixels; the theme's, so they are asked for at each drawing.
 * @param {string} kind
 */
export function rampOf(kind) {
  const stops = getComputedStyle(document.documentElement).getPropertyValue(`--ramp-${kind}`).split(",");
  const context = /** @type {CanvasRenderingContext2D} */ (
    h("canvas", { width: 256, height: 1 }).getContext("2d", { willReadFrequently: true })
  );
  const gradient = context.createLinearGradient(0, 0, 256, 0);
  for (const [i, stop] of stops.entries()) gradient.addColorStop(i / (stops.length - 1), stop.trim());
  context.fillStyle = gradient;
  context.fillRect(0, 0, 256, 1);
  return new Uint32Array(context.getImageData(0, 0, 256, 1).data.buffer);
}

/**
 * @param {HTMLCanvasElement} canvas of one pixel a value
 * @param {(column: number, row: number) => number} shareAt 0 to 1; rows from the top
 * @param {Uint32Array} ramp
 */
export function drawMap(canvas, shareAt, ramp) {
  const { width, height } = canvas;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      pixels[row * width + column] = ramp[Math.round(255 * Math.min(1, Math.max(0, shareAt(column, row))))];
    }
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/** Calls back when the page turns from light to dark or back. @param {() => void} redraw */
export function onThemeChange(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/**
 * The column and row, from the top, of a map that a pointer is at.
 * @param {MouseEvent} event
 * @param {HTMLCanvasElement} canvas
 */
export function cellAt({ clientX, clientY }, canvas) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const within = (/** @type {number} */ share, /** @type {number} */ n) =>
    Math.min(n - 1, Math.max(0, Math.floor(share * n)));
  return {
    column: within((clientX - left) / width, canvas.width),
    row: within((clientY - top) / height, canvas.height),
  };
}

/**
 * @param {PageData} data
 * @param {State} state
 */
export function lengthsSection(data, state) {
  const { residual, attention, mlp } = data.lengths;
  return section(
    "How long the vectors are",
    [
      "The residual stream after each layer, and what attention and MLP added to it: the length of each vector, on a logarithmic scale of colours. A first token that stands out is usual: heads that look for nothing rest there.",
    ],
    lengthMap("residual", "Residual stream", residual, data, state),
    lengthMap("attention", "Added by attention", attention, data, state),
    lengthMap("mlp", "Added by the MLP", mlp, data, state),
  );
}

/**
 * A map of layers, from bottom to top, over tokens.
 * @param {string} kind
 * @param {string} title
 * @param {readonly (readonly number[])[]} rows [level][position]; the embedding is a level where there is one more than layers
 * @param {PageData} data
 * @param {State} state
 */
function lengthMap(kind, title, rows, { tokens, model }, state) {
  const hasEmbedding = rows.length > model.nLayers;
  const values = rows.flat().filter((value) => value > 0);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const shareOf = (/** @type {number} */ value) =>
    value > 0 ? Math.log(value / low) / (Math.log(high / low) || 1) : 0;
  const canvas = h("canvas", {
    width: tokens.length,
    height: rows.length,
    tabindex: 0,
    role: "img",
    "aria-label": title,
  });
  canvas.style.setProperty("--rows", `${rows.length}`);
  const mark = h("span", { class: "mark" });
  const readout = h("output", { class: "readout" });
  const draw = () => drawMap(canvas, (column, row) => shareOf(rows[rows.length - 1 - row][column]), rampOf(kind));
  const read = (/** @type {number} */ level, /** @type {number} */ position) => {
    const name = hasEmbedding ? (level === 0 ? "embed" : `L${level - 1}`) : `L${level}`;
    readout.textContent = `${name} at token ${position}, ${quoted(tokens[position])}: ${figure(rows[level][position])}`;
  };
  const readSelected = () => read(state.selected.layer + (hasEmbedding ? 1 : 0), state.selected.position);
  canvas.addEventListener("pointermove", (event) => {
    const { column, row } = cellAt(event, canvas);
    read(rows.length - 1 - row, column);
  });
  canvas.addEventListener("pointerleave", readSelected);
  canvas.addEventListener("click", (event) => {
    const { column, row } = cellAt(event, canvas);
    state.select({ position: column, layer: rows.length - 1 - row - (hasEmbedding ? 1 : 0) });
  });
  canvas.addEventListener("keydown", (event) => {
    const step = stepOf(event);
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    state.select({ position: state.selected.position + step[0], layer: state.selected.layer + step[1] });
  });
  onThemeChange(draw);
  draw();
  state.follow(({ position, layer }) => {
    const row = rows.length - 1 - (layer + (hasEmbedding ? 1 : 0));
    place(mark, position / tokens.length, row / rows.length, 1 / tokens.length, 1 / rows.length);
    readSelected();
  });
  const levels = [`L${model.nLayers - 1}`, hasEmbedding ? "embed" : "L0"];
  return h(
    "figure",
    { class: "length-map" },
    h("figcaption", {}, h("h3", {}, title), readout, legend(kind, figure(low), figure(high))),
    h("div", { class: "levels" }, ...levels.map((level) => h("span", {}, level))),
    h("div", { class: "map" }, canvas, mark),
  );
}

/**
 * Lays a mark over a part of a map, in shares of its width and height.
 * @param {HTMLElement} mark
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 */
export function place(mark, left, top, width, height) {
  const share = (/** @type {number} */ value) => `${100 * value}%`;
  Object.assign(mark.style, { left: share(left), top: share(top), width: share(width), height: share(height) });
}
