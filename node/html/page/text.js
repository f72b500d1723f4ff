/** The text, token by token, and what is chosen in it. */

import { h, percent, quoted, token, visible } from "./dom.js";
import { stepOf } from "./state.js";

/** @import { PageData } from "../page-data.ts" */
/** @import { State } from "./state.js" */

/**
 * The tokens as running text, of which one is chosen by pointer or keys.
 * @param {PageData} data
 * @param {State} state
 * @param {string} label
 */
export function runningText({ tokens, nPromptTokens }, state, label) {
  const spans = tokens.map((text, position) =>
    h("span", { class: position < nPromptTokens ? "word prompt" : "word generated", role: "option" }, flowing(text)),
  );
  const element = h("div", { class: "text", role: "listbox", tabindex: 0, "aria-label": label }, ...spans);
  element.addEventListener("click", ({ target }) => {
    const position = spans.indexOf(/** @type {HTMLSpanElement} */ (target));
    if (position >= 0) state.select({ position });
  });
  element.addEventListener("keydown", (event) => {
    const [step] = stepOf(event) ?? [0];
    if (step === 0) return;
    event.preventDefault();
    event.stopPropagation();
    state.select({ position: state.selected.position + step });
  });
  let chosen = spans[0];
  state.follow(({ position }) => {
    chosen.classList.remove("chosen");
    chosen.setAttribute("aria-selected", "false");
    chosen = spans[position];
    chosen.classList.add("chosen");
    chosen.setAttribute("aria-selected", "true");
  });
  return { element, spans };
}

/** A token as it stands in its text: a line break is one. @param {string} text */
function flowing(text) {
  return visible(text).replaceAll("↵", "↵\n");
}

/**
 * The bar that stays in sight: which token is chosen, what came after it, and a step to either side.
 * @param {PageData} data
 * @param {State} state
 */
export function positionBar({ tokens, nPromptTokens, predictions }, state) {
  const step = (/** @type {string} */ sign, /** @type {string} */ label, /** @type {number} */ by) =>
    h(
      "button",
      { type: "button", "aria-label": label, click: () => state.select({ position: state.selected.position + by }) },
      sign,
    );
  const what = h("span", { class: "what" });
  state.follow(({ position }) => {
    const next = tokens[position + 1];
    const [likeliest, probability] = predictions[predictions.length - 1][position][0];
    const came =
      next === undefined
        ? ["and nothing came after it"]
        : [position + 1 < nPromptTokens ? "the prompt goes on with " : "the model went on with ", token(next)];
    what.replaceChildren(
      h("span", { class: "index" }, `token ${position}`),
      token(tokens[position]),
      h("span", { class: "came" }, ...came),
      next === likeliest
        ? h("span", { class: "guess" }, `as predicted, ${percent(probability)}`)
        : h("span", { class: "guess" }, "predicted: ", token(likeliest), ` ${percent(probability)}`),
    );
    what.setAttribute("aria-label", `Token ${position}, ${quoted(tokens[position])}`);
  });
  return h("nav", { class: "position" }, step("←", "Previous token", -1), what, step("→", "Next token", 1));
}
