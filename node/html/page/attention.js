/** Where heads look: the chosen head's pattern, the text in its light, and each layer's strongest edges. */

import { h, legend, percent, quoted, section, token } from "./dom.js";
import { headPicker } from "./heads.js";
import { cellAt, drawMap, onThemeChange, place, rampOf } from "./maps.js";
import { stepOf } from "./state.js";
import { runningText } from "./text.js";

/** @import { PageData } from "../page-data.ts" */
/** @import { Pattern } from "./patterns.js" */
/** @import { State } from "./state.js" */

/** Up to so many tokens the map's sides have room for their texts. */
const N_LABELLED = 64;
/** Up to so many heads a layer, all of them have room beside the chosen one's pattern. */
const N_BESIDE = 16;

/**
 * @param {PageData} data
 * @param {State} state
 * @param {(layer: number, head: number) => Pattern} patternAt
 */
export function attentionSection(data, state, patternAt) {
  const title = h("h3", {});
  state.follow(({ layer, head }) => {
    title.textContent = `Layer ${layer}, head ${head}`;
  });
  return section(
    "Where heads look",
    [
      "A head's pattern: each row is a token that looks, each column one that it looks at, and a row's shares add up to 100%. Colours follow the square root of a share, so that faint attention shows too. Choose a head among all, and a row by its token. ",
      legend("attention", "0%", "100%"),
    ],
    h(
      "div",
      { class: data.model.nHeads > N_BESIDE ? "heads-view many" : "heads-view" },
      h("div", { class: "pattern" }, title, patternMap(data, state, patternAt)),
      h(
        "div",
        { class: "choice" },
        h("h3", {}, "All heads"),
        headPicker(data, state, patternAt),
        edgeList(data, state),
      ),
    ),
    litText(data, state, patternAt),
  );
}

/**
 * @param {PageData} data
 * @param {State} state
 * @param {(layer: number, head: number) => Pattern} patternAt
 */
function patternMap({ tokens }, state, patternAt) {
  const n = tokens.length;
  const canvas = h("canvas", { width: n, height: n, tabindex: 0, role: "img" });
  const mark = h("span", { class: "mark" });
  const readout = h("output", { class: "readout" });
  const sides = n > N_LABELLED ? [] : ["from", "to"].map((side) => labels(side, tokens));
  const chosen = () => patternAt(state.selected.layer, state.selected.head);
  const draw = () => {
    const pattern = chosen();
    drawMap(canvas, (to, from) => Math.sqrt(pattern(from, to)), rampOf("attention"));
  };
  const read = (/** @type {number} */ from, /** @type {number} */ to) => {
    const share = to > from ? "cannot look ahead to" : `${percent(chosen()(from, to))} →`;
    readout.textContent = `${from} ${quoted(tokens[from])} ${share} ${to} ${quoted(tokens[to])}`;
  };
  const readRow = () => {
    const { position } = state.selected;
    const pattern = chosen();
    let best = 0;
    for (let to = 1; to <= position; to++) if (pattern(position, to) > pattern(position, best)) best = to;
    read(position, best);
  };
  canvas.addEventListener("pointermove", (event) => {
    const { column, row } = cellAt(event, canvas);
    read(row, column);
  });
  canvas.addEventListener("pointerleave", readRow);
  canvas.addEventListener("click", (event) => state.select({ position: cellAt(event, canvas).row }));
  canvas.addEventListener("keydown", (event) => {
    const step = stepOf(event);
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    state.select({ position: state.selected.position - step[1] + step[0] });
  });
  onThemeChange(draw);
  let drawn = "";
  state.follow(({ layer, head, position }) => {
    canvas.setAttribute("aria-label", `Attention pattern of layer ${layer}, head ${head}`);
    if (drawn !== `${layer} ${head}`) draw();
    drawn = `${layer} ${head}`;
    place(mark, 0, position / n, (position + 1) / n, 1 / n);
    for (const [i, side] of sides.entries()) {
      for (const [at, label] of [...side.children].entries()) {
        label.classList.toggle("chosen", i === 0 && at === position);
      }
    }
    readRow();
  });
  const grid = h("div", { class: `square ${sides.length > 0 ? "labelled" : ""}` });
  grid.append(...sides, h("div", { class: "map" }, canvas, mark));
  grid.style.setProperty("--n", `${n}`);
  return h("div", {}, grid, readout);
}

/** @param {string} side @param {readonly string[]} tokens */
function labels(side, tokens) {
  return h(
    "div",
    { class: `labels ${side}`, "aria-hidden": "true" },
    ...tokens.map((text) => h("span", {}, token(text))),
  );
}

/**
 * The text with each token as bright as the chosen head's attention to it, seen from the chosen token.
 * @param {PageData} data
 * @param {State} state
 * @param {(layer: number, head: number) => Pattern} patternAt
 */
function litText(data, state, patternAt) {
  const title = h("h3", {});
  const { element, spans } = runningText(data, state, "The text in the light of the chosen head");
  element.classList.add("lit");
  state.follow(({ layer, head, position }) => {
    title.replaceChildren(`What L${layer} H${head} sees from `, token(data.tokens[position]));
    const pattern = patternAt(layer, head);
    for (const [to, span] of spans.entries()) {
      const share = pattern(position, to);
      span.style.setProperty("--p", `${Math.sqrt(share)}`);
      span.classList.toggle("strong", share > 0.3);
      span.classList.toggle("ahead", to > position);
      span.title = to > position ? "" : percent(share);
    }
  });
  return h("div", { class: "sees" }, title, element);
}

/**
 * The chosen layer's strongest edges in the whole text.
 * @param {PageData} data
 * @param {State} state
 */
function edgeList({ edges, tokens }, state) {
  const title = h("h3", {});
  const list = h("ul", { class: "edges" });
  let shown = -1;
  state.follow(({ layer }) => {
    if (layer === shown) return;
    shown = layer;
    title.textContent = `Strongest in L${layer}`;
    const items = edges[layer].map(([head, from, to, weight]) =>
      h(
        "li",
        {},
        h(
          "button",
          { class: "chip head", type: "button", click: () => state.select({ head, position: from }) },
          h("b", {}, `H${head}`),
          " ",
          token(tokens[from]),
          " → ",
          token(tokens[to]),
          h("span", { class: "number" }, percent(weight)),
        ),
      ),
    );
    list.replaceChildren(
      ...(items.length > 0 ? items : [h("li", {}, "none but to the token itself and to the first")]),
    );
  });
  return h("div", { class: "strongest" }, title, list);
}
