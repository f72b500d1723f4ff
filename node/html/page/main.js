/** The page, put together. */

import { attentionSection } from "./attention.js";
import { h, section } from "./dom.js";
import { lensSection } from "./grid.js";
import { lengthsSection } from "./maps.js";
import { patternsOf } from "./patterns.js";
import { stackSection } from "./stack.js";
import { addressOf, createState, selectionOf, stepOf } from "./state.js";
import { positionBar, runningText } from "./text.js";

/** @import { PageData } from "../page-data.ts" */

/** A burst of selections is one address; browsers refuse to set it too often. */
const ADDRESS_DELAY_MS = 300;

/** @type {PageData} */
const data = JSON.parse(document.getElementById("trace")?.textContent ?? "");
const { model, tokens, nPromptTokens, edits } = data;
const limits = { nTokens: tokens.length, nLayers: model.nLayers, nHeads: model.nHeads };
const [strongest] = data.edges[model.nLayers - 1] ?? [];
const state = createState(limits, { position: data.position, layer: model.nLayers - 1, head: strongest?.[0] ?? 0 });
state.select(selectionOf(location.hash));
const patternAt = patternsOf(data);

document
  .getElementById("page")
  ?.replaceChildren(
    header(),
    positionBar(data, state),
    section(
      "The text",
      [
        "Choose a token to look at, here or with the arrow keys anywhere on the page. ",
        h("span", { class: "term prompt" }, `${nPromptTokens} tokens of prompt`),
        ", ",
        h("span", { class: "term generated" }, `${tokens.length - nPromptTokens} that the model wrote`),
        ".",
      ],
      runningText(data, state, "The text").element,
    ),
    stackSection(data, state, patternAt),
    lensSection(data, state),
    attentionSection(data, state, patternAt),
    lengthsSection(data, state),
    footer(),
  );

function header() {
  const { name, architecture, backend, sizes } = model;
  const facts = [architecture, sizes, `${tokens.length} tokens`, `${backend} backend`];
  const edited = edits.map((edit) => h("li", {}, h("code", {}, edit)));
  return h(
    "header",
    {},
    h("p", { class: "kicker" }, "golgi trace"),
    h("h1", {}, name),
    h("p", { class: "facts" }, facts.join(" · ")),
    ...(edited.length === 0 ? [] : [h("div", { class: "edits" }, "Edited", h("ul", {}, ...edited))]),
  );
}

function footer() {
  return h(
    "footer",
    {},
    "Attention is kept in steps of 1/255, other numbers to four digits. The tokens that a neuron pushes towards are worked out for the strongest neurons of each layer. This file is complete: it loads nothing.",
  );
}

document.addEventListener("keydown", (event) => {
  const [step] = stepOf(event) ?? [0];
  if (step === 0 || !Number.isFinite(step)) return;
  event.preventDefault();
  state.select({ position: state.selected.position + step });
});

let pending = 0;
state.follow((selected) => {
  clearTimeout(pending);
  pending = setTimeout(() => history.replaceState(null, "", `#${addressOf(selected)}`), ADDRESS_DELAY_MS);
});
