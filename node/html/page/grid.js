/** What each layer would predict at each token: the logit lens over the whole text. */

import { h, legend, percent, quoted, section, token } from "./dom.js";
import { stepOf } from "./state.js";

/** @import { PageData } from "../page-data.ts" */
/** @import { State } from "./state.js" */

/**
 * @param {PageData} data
 * @param {State} state
 */
export function lensSection(data, state) {
  const grid = lensGrid(data, state);
  const chosen = h("div", { class: "chosen-cell" });
  state.follow(({ position, layer }) => {
    const list = data.predictions[layer + 1][position];
    chosen.replaceChildren(
      h("h3", {}, `L${layer} after `, token(data.tokens[position]), " would go on with"),
      h("ol", { class: "bars" }, ...list.map(([text, share]) => predictionBar(text, share))),
    );
  });
  return section(
    "What each layer would say next",
    [
      "The logit lens: each layer's residual stream, read as if it were the last. Columns are tokens, rows are layers, from the embedding at the bottom to the last layer at the top. A ring marks the token that really came next. ",
      legend("lens", "0%", "100%"),
    ],
    grid,
    chosen,
  );
}

/** @param {string} text @param {number} share */
function predictionBar(text, share) {
  const bar = h("span", { class: "bar lens" });
  bar.style.setProperty("--p", `${share}`);
  return h("li", {}, token(text), h("span", { class: "number" }, percent(share)), bar);
}

/**
 * @param {PageData} data
 * @param {State} state
 */
function lensGrid({ tokens, nPromptTokens, predictions }, state) {
  const cells = predictions.map((row, level) =>
    row.map(([[text, share]], position) => {
      const cell = h("td", { title: `${levelName(level)}, token ${position}: ${quoted(text)} ${percent(share)}` });
      cell.append(token(text));
      cell.style.setProperty("--p", `${share}`);
      cell.className = `${share > 0.5 ? "strong" : ""} ${text === tokens[position + 1] ? "hit" : ""}`;
      Object.assign(cell.dataset, { level, position });
      return cell;
    }),
  );
  const rows = cells.map((row, level) => h("tr", {}, h("th", { scope: "row" }, levelName(level)), ...row));
  const heads = tokens.map((text, position) => {
    const head = h("th", { scope: "col", class: position < nPromptTokens ? "prompt" : "generated" }, token(text));
    head.dataset.position = `${position}`;
    return head;
  });
  const table = h(
    "table",
    { class: "lens-grid" },
    h("tbody", {}, ...rows.toReversed()),
    h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "token"), ...heads)),
  );
  const scroller = h("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": "Predictions" }, table);
  scroller.addEventListener("click", ({ target }) => {
    const cell = /** @type {HTMLElement} */ (target).closest("td, th");
    const { level, position } = /** @type {HTMLElement | null} */ (cell)?.dataset ?? {};
    if (position === undefined) return;
    state.select({ position: Number(position), ...(level === undefined ? {} : { layer: Number(level) - 1 }) });
  });
  scroller.addEventListener("keydown", (event) => {
    const step = stepOf(event);
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const { position, layer } = state.selected;
    state.select({ position: position + step[0], layer: layer + step[1] });
  });
  let [column, cell] = [heads[0], cells[0][0]];
  state.follow(({ position, layer }) => {
    for (const old of [column, cell]) old.classList.remove("chosen");
    [column, cell] = [heads[position], cells[layer + 1][position]];
    for (const now of [column, cell]) now.classList.add("chosen");
    // Not before the page is laid out.
    requestAnimationFrame(() => bringIntoSight(scroller, position));
  });
  return scroller;
}

/** A level is the embedding or a layer. @param {number} level */
function levelName(level) {
  return level === 0 ? "embed" : `L${level - 1}`;
}

/** Pixels from one column to the next, as the style has them: asking the browser would have it lay out the page again. */
const PITCH = 58;

/** Scrolls sideways only, since the page should stay where its reader put it. @param {HTMLElement} scroller @param {number} column */
function bringIntoSight(scroller, column) {
  const [left, right] = [(column - 1) * PITCH, (column + 4) * PITCH];
  if (left < scroller.scrollLeft) scroller.scrollLeft = left;
  else if (right > scroller.scrollLeft + scroller.clientWidth) scroller.scrollLeft = right - scroller.clientWidth;
}
