import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { checkedTokens, type DiffSide, sideOf } from "./diff-sides.ts";
import { type Report, report } from "./report.ts";
import { sparseLayers } from "./router.ts";
import { type RouterRow, routerRows } from "./router-rows.ts";
import { table } from "./text/table.ts";
import { asManyAsFit, clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showTokens } from "./tokens.ts";

export interface RouterDiffOptions {
  /** Sparse layers to look at; all unless asked otherwise. */
  readonly layers?: readonly number[];
  readonly signal?: AbortSignal;
}

/** One layer's router at one token in both runs. */
export interface RoutingChange {
  readonly layer: number;
  readonly position: number;
  readonly text: string;
  /** Experts that the token went to in a only, and in b only; as many. */
  readonly left: readonly number[];
  readonly came: readonly number[];
  /** How far the weakest chosen expert was ahead, as in `router`. */
  readonly marginA: number | null;
  readonly marginB: number | null;
}

export interface RouterLayerDiff {
  readonly layer: number;
  /** Tokens that went to other experts. */
  readonly nTokensChanged: number;
  /** Experts that left, over all tokens. */
  readonly nChanged: number;
}

export interface RouterDiff {
  readonly tokens: readonly ShownToken[];
  readonly layers: readonly RouterLayerDiff[];
  /** Over all tokens and layers: choices of a that b did not make, and all choices of a. */
  readonly nChanged: number;
  readonly nChoices: number;
  /** Where experts changed, in the order in which they are computed. */
  readonly changes: readonly RoutingChange[];
  /** One for each layer and token, for plots. */
  readonly rows: readonly RoutingChange[];
}

/**
 * Which tokens go to other experts in one of two runs of a text: a model with and without edits, or two models of one shape,
 * such as a quantised one and its original.
 */
export async function routerDiff(
  a: DiffSide,
  b: DiffSide,
  text: Prompt,
  options: RouterDiffOptions = {},
): Promise<Report<RouterDiff>> {
  checkOptions("routerDiff", options, ["layers", "signal"]);
  const [first, second] = [sideOf("routerDiff: a", a), sideOf("routerDiff: b", b)];
  const tokens = checkedTokens("routerDiff", first.model, second.model, text);
  const layers = sparseLayers("routerDiff", first.model, options.layers);
  const rowsOf = async ({ model, edits }: { model: Model; edits: typeof first.edits }): Promise<RouterRow[][]> => {
    const view = routerRows(model, layers);
    return view.present(await model.runDerived(tokens, view, { edits, signal: options.signal, logits: "none" }));
  };
  const [rowsA, rowsB] = [await rowsOf(first), await rowsOf(second)];
  const rows = rowsA.map((ofLayer, i) => ofLayer.map((row, position) => changeOf(row, rowsB[i][position])));
  const nLeft = (list: readonly RoutingChange[]): number => list.reduce((total, { left }) => total + left.length, 0);
  const all = rows.flat();
  const data: RouterDiff = {
    tokens: showTokens(first.model, tokens),
    layers: rows.map((ofLayer, i) => ({
      layer: layers[i],
      nTokensChanged: ofLayer.filter(({ left }) => left.length > 0).length,
      nChanged: nLeft(ofLayer),
    })),
    nChanged: nLeft(all),
    nChoices: rowsA.flat().reduce((total, { experts }) => total + experts.length, 0),
    changes: all.filter(({ left }) => left.length > 0),
    rows: all,
  };
  return report(data, (width) => print(data, width));
}

function changeOf(a: RouterRow, b: RouterRow): RoutingChange {
  const [ofA, ofB] = [a, b].map(({ experts }) => experts.map(({ expert }) => expert));
  return {
    ...{ layer: a.layer, position: a.position, text: a.text },
    left: ofA.filter((expert) => !ofB.includes(expert)),
    came: ofB.filter((expert) => !ofA.includes(expert)),
    ...{ marginA: a.margin, marginB: b.margin },
  };
}

/** Changes that are listed. */
const MAX_PRINTED = 40;

function print({ tokens, layers, nChanged, nChoices, changes }: RouterDiff, width: number): string {
  const share = ((100 * nChanged) / nChoices).toPrecision(3);
  const all = `${nChanged} of ${nChoices} choices of experts (${share}%) are others in b`;
  const title = clip(
    `Two runs of ${tokens.length} tokens: ${nChanged === 0 ? "all experts are the same" : all}`,
    width,
  );
  if (nChanged === 0) return title;
  const names = (experts: readonly number[]): string =>
    asManyAsFit(
      experts.map((expert) => `E${expert}`),
      width,
    );
  const more = changes.length - MAX_PRINTED;
  return [
    title,
    table({
      head: ["layer", "tokens", "experts"],
      rows: layers
        .filter((layer) => layer.nChanged > 0)
        .map(({ layer, nTokensChanged, nChanged }) => [`L${layer}`, nTokensChanged, nChanged]),
      width,
    }),
    "",
    "Where, with the margins of the choice in both runs",
    table({
      head: ["layer", "at", "token", "left", "came", "in a", "in b"],
      rows: changes.slice(0, MAX_PRINTED).map(({ layer, position, text, left, came, marginA, marginB }) => {
        return [`L${layer}`, position, quoteToken(text), names(left), names(came), marginA, marginB];
      }),
      width,
    }),
    ...(more > 0 ? [`${more} more`] : []),
  ].join("\n");
}
