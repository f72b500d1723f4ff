/** The stack at the chosen token, from the embedding at the bottom to the last layer at the top. */

import { figure, h, percent, section, token } from "./dom.js";
import { strongestFrom } from "./patterns.js";

/** @import { PageData, PageExpert, PageNeuron, PagePrediction } from "../page-data.ts" */
/** @import { Pattern } from "./patterns.js" */
/** @import { State } from "./state.js" */

const N_SHOWN = 3;

/**
 * @param {PageData} data
 * @param {State} state
 * @param {(layer: number, head: number) => Pattern} patternAt
 */
export function stackSection(data, state, patternAt) {
  const stack = h("ol", { class: "stack" });
  const captions = h(
    "div",
    { class: "level captions" },
    h("span", { class: "next" }, "would predict"),
    h("span", { class: "added" }, "length added"),
    h("span", { class: "residual" }, "residual"),
  );
  state.follow(({ position, layer }) => {
    const levels = data.predictions.map((_, level) => level);
    stack.replaceChildren(
      ...levels.toReversed().map((level) => {
        const row = levelRow(level, position, data, state, patternAt);
        row.classList.toggle("chosen", level === layer + 1);
        return row;
      }),
    );
  });
  return section(
    "The stack at this token",
    [
      "From bottom to top: what the residual stream would predict after each layer, how much ",
      h("span", { class: "term attention" }, "attention"),
      " and ",
      h("span", { class: "term mlp" }, "MLP"),
      " added to it, ",
      ...(data.experts.some((rows) => rows !== null) ? ["the experts that the token went to and their weights, "] : []),
      "the neurons with the largest values and the tokens that each pushes towards, and where heads look from here.",
    ],
    captions,
    stack,
  );
}

/**
 * @param {number} level
 * @param {number} position
 * @param {PageData} data
 * @param {State} state
 * @param {(layer: number, head: number) => Pattern} patternAt
 */
function levelRow(level, position, data, state, patternAt) {
  const { predictions, lengths, experts, neurons, model } = data;
  const layer = level - 1;
  const next = h("div", { class: "next" }, ...predictions[level][position].slice(0, N_SHOWN).map(predictionChip));
  const residual = h("div", { class: "residual", title: "Length of the residual stream" });
  residual.append(figure(lengths.residual[level][position]));
  if (layer < 0) return h("li", { class: "level" }, h("span", { class: "name" }, "embed"), next, residual);
  const longest = Math.max(...[lengths.attention, lengths.mlp].flatMap((rows) => rows.map((row) => row[position])));
  const chosen = experts[layer]?.[position];
  const edges = strongestFrom((head) => patternAt(layer, head), model.nHeads, position, N_SHOWN);
  return h(
    "li",
    { class: "level" },
    h("button", { class: "name", type: "button", click: () => state.select({ layer }) }, `L${layer}`),
    next,
    h(
      "div",
      { class: "added" },
      addedBar("attention", lengths.attention[layer][position], longest),
      addedBar("mlp", lengths.mlp[layer][position], longest),
    ),
    residual,
    ...(chosen === undefined ? [] : [h("div", { class: "experts" }, ...chosen.map(expertChip))]),
    h("div", { class: "neurons" }, ...neurons[layer][position].slice(0, N_SHOWN).map(neuronChip)),
    h(
      "div",
      { class: "looks" },
      ...edges.map(({ head, to, weight }) =>
        h(
          "button",
          { class: "chip head", type: "button", click: () => state.select({ layer, head }) },
          h("b", {}, `H${head}`),
          " → ",
          token(data.tokens[to]),
          h("span", { class: "number" }, percent(weight)),
        ),
      ),
    ),
  );
}

/** @param {PagePrediction} prediction */
function predictionChip([text, share]) {
  const chip = h("span", { class: "chip prediction" }, token(text), h("span", { class: "number" }, percent(share)));
  chip.style.setProperty("--p", `${share}`);
  return chip;
}

/** @param {"attention" | "mlp"} part @param {number} length @param {number} longest */
function addedBar(part, length, longest) {
  const bar = h("span", { class: `bar ${part}` });
  bar.style.setProperty("--p", `${length / longest || 0}`);
  const title = `Length of what ${part === "mlp" ? "the MLP" : "attention"} added`;
  return h("div", { class: "measure", title }, bar, h("span", { class: "number" }, figure(length)));
}

/** @param {PageExpert} expert */
function expertChip([expert, weight]) {
  const title = `Expert ${expert}, whose output is multiplied with ${figure(weight)}`;
  return h(
    "span",
    { class: "chip expert", title },
    h("b", {}, `E${expert}`),
    h("span", { class: "number" }, figure(weight)),
  );
}

/** @param {PageNeuron} neuron */
function neuronChip([name, value, promotes]) {
  const sign = value < 0 ? "negative" : "positive";
  const towards = promotes === null ? [] : [" → ", ...promotes.flatMap((text) => [token(text), " "])];
  return h(
    "span",
    { class: "chip neuron" },
    h("b", {}, name),
    h("span", { class: `number ${sign}` }, `${value < 0 ? "" : "+"}${figure(value)}`),
    ...towards,
  );
}
