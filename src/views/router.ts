import { sparseSizes } from "../config/model-config.ts";
import { RequestError } from "../errors.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { type Attribution, attribute } from "./attribution.ts";
import { isSparse, range } from "./components.ts";
import type { Target } from "./direction.ts";
import { bySize } from "./extremes.ts";
import { chosen, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { type RouterRow, routerRows } from "./router-rows.ts";
import { printRouter } from "./router-text.ts";
import { type ShownToken, showTokens } from "./tokens.ts";

export interface RouterOptions extends ViewOptions {
  /** Sparse layers to look at; all unless asked otherwise. */
  readonly layers?: readonly number[];
  /** What to tell the experts' parts of; the logit of the token that the model predicts unless asked otherwise. */
  readonly of?: Target;
  /** Position whose logit that is; the last unless asked otherwise. */
  readonly position?: number;
}

/** How many tokens of the text went to an expert. */
export interface ExpertLoad {
  readonly expert: number;
  readonly nTokens: number;
  /** Of all tokens. */
  readonly share: number;
}

/** What an expert adds to a logit. */
export interface ExpertPart {
  readonly expert: number;
  readonly value: number;
}

export interface RouterLayer {
  readonly layer: number;
  /** Of every expert, in order. */
  readonly load: readonly ExpertLoad[];
  /** What the layer adds to the logit, with the final norm's divisor held fixed. */
  readonly logit: {
    readonly routed: number;
    readonly shared?: number;
    /** The chosen experts, the largest first; they add up to `routed`. */
    readonly experts: readonly ExpertPart[];
  };
}

export interface Router {
  readonly tokens: readonly ShownToken[];
  readonly position: number;
  readonly nExperts: number;
  readonly nExpertsPerToken: number;
  /** What parts are told of, and the model's own number. */
  readonly label: string;
  readonly value: number;
  readonly layers: readonly RouterLayer[];
  /** One for each layer and token. */
  readonly rows: readonly RouterRow[];
}

/**
 * Where the routers of sparse layers sent each token: the experts and their weights, how close the choice was, how it was
 * spread over the text, and what routed and shared experts gave to the layer's output and to a logit.
 */
export async function router(model: Model, text: Prompt, options: RouterOptions = {}): Promise<Report<Router>> {
  const { layers: asked, of, position, ...runOptions } = options;
  checkOptions("router", options, [...OPTIONS, ...VIEW_OPTIONS]);
  const layers = sparseLayers("router", model, asked);
  const tokens = model.encode(text);
  const parts = await attribute("router", model, tokens, { ...runOptions, of, position, kinds: ["expert", "shared"] });
  const view = routerRows(model, layers);
  const rows = view.present(await model.runDerived(tokens, view, { ...runOptions, logits: "none" }));
  const { nExperts, nExpertsPerToken } = sparseSizes(model.config);
  const data: Router = {
    ...{ tokens: showTokens(model, tokens), position: parts.position, nExperts, nExpertsPerToken },
    ...{ label: parts.label, value: parts.value },
    layers: layers.map((layer, i) => ({
      layer,
      load: loadOf(rows[i], nExperts),
      logit: logitOf(parts, layer),
    })),
    rows: rows.flat(),
  };
  return report(data, (width) => printRouter(data, width));
}

const OPTIONS = ["layers", "of", "position"] satisfies (keyof RouterOptions)[];

/** The layers asked for, which must have experts; all that have some where undefined. */
export function sparseLayers(view: string, model: Model, asked: readonly number[] | undefined): readonly number[] {
  const { nLayers } = model.config;
  const sparse = range(nLayers).filter((layer) => isSparse(model, layer));
  if (sparse.length === 0) {
    throw new RequestError("request.option", {
      path: view,
      expected: "a router sends tokens to experts",
      got: `a model of the family ${model.architecture}, all of whose MLPs are dense`,
    });
  }
  const layers = asked === undefined ? sparse : chosen(`${view}: layers`, asked, nLayers);
  const dense = layers.find((layer) => !sparse.includes(layer));
  if (dense === undefined) return layers;
  throw new RequestError("request.option", {
    path: `${view}: layers`,
    expected: `a layer must have experts, as ${sparse.length === 1 ? "has" : "have"} ${listed(sparse)}`,
    got: `${dense}, whose MLP is dense`,
  });
}

/** Runs of numbers as `3 to 60`. */
function listed(layers: readonly number[]): string {
  const starts = layers.filter((layer) => !layers.includes(layer - 1));
  const ends = layers.filter((layer) => !layers.includes(layer + 1));
  return starts.map((start, i) => (start === ends[i] ? `${start}` : `${start} to ${ends[i]}`)).join(", ");
}

function loadOf(rows: readonly RouterRow[], nExperts: number): ExpertLoad[] {
  const counts = new Array<number>(nExperts).fill(0);
  for (const { experts } of rows) for (const { expert } of experts) counts[expert]++;
  return counts.map((nTokens, expert) => ({ expert, nTokens, share: nTokens / rows.length }));
}

function logitOf({ components }: Attribution, layer: number): RouterLayer["logit"] {
  const own = components.filter((component) => component.layer === layer);
  const experts = own.flatMap(({ expert, value }) => (expert === undefined ? [] : [{ expert, value }]));
  const shared = own.find(({ kind }) => kind === "shared");
  return {
    routed: experts.reduce((total, { value }) => total + value, 0),
    ...(shared && { shared: shared.value }),
    experts: experts.sort(bySize),
  };
}
