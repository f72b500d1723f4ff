import { matmul, mergeHeads, norm, selectHeads, splitHeads } from "../ops/index.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { input } from "../tape/builder.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type HeadAttention, headAttention } from "./attention.ts";
import type { HeadScores } from "./attention-scores.ts";
import type { Entry } from "./extremes.ts";
import { kvHeadOf, raisedByEmbeddings, raisedByValues, writtenLengths } from "./head-ov.ts";
import {
  checkInteger,
  checkWithoutText,
  chosenComponent,
  type LayerComponent,
  VIEW_OPTIONS,
  type ViewOptions,
} from "./options.ts";
import { type Report, report } from "./report.ts";
import { table } from "./text/table.ts";
import { quoteToken } from "./text/width.ts";
import { type ShownToken, showToken, showTokens } from "./tokens.ts";
import type { View } from "./view.ts";

export interface HeadOptions extends ViewOptions {
  /** A text to watch it on. Without one its weights alone are asked. */
  readonly on?: Prompt;
  /** Tokens of each list, and keys of each query; 5 unless asked otherwise. */
  readonly k?: number;
}

/** A token that a head raises when it attends to a source. */
export interface RaisedToken extends ShownToken {
  /** What full attention to the source adds to its logit, times the final norm's divisor. */
  readonly value: number;
}

/** What a head would write if all its attention were on one source. */
export interface HeadSource extends ShownToken {
  /** In the text; undefined without one. */
  readonly position?: number;
  readonly promotes: readonly RaisedToken[];
  /** Whether the source's own token is among those. */
  readonly isCopied: boolean;
}

/** Where a token looks, and how much comes of it. */
export interface HeadQuery extends ShownToken {
  readonly position: number;
  readonly keys: readonly { readonly position: number; readonly weight: number }[];
  /** Of the weighted sum of values, and of what it becomes in the residual stream. */
  readonly zNorm: number;
  readonly resultNorm: number;
}

export interface HeadRow extends ShownToken {
  readonly position?: number;
  readonly promotes: string;
  readonly value: number;
}

export interface Head {
  readonly address: string;
  readonly layer: number;
  readonly head: number;
  /** The key and value head that it reads; several query heads share one where queries are grouped. */
  readonly kvHead: number;
  /**
   * The text's positions, with their values (`attn.v`) as they are there; without a text the first tokens of the
   * vocabulary, with the values that their embeddings alone give through the norm's gain (Elhage et al. 2021).
   */
  readonly sources: readonly HeadSource[];
  /** Share of the sources that are copied. */
  readonly copying: number;
  readonly queries: readonly HeadQuery[];
  /** Pattern, scores and strongest edges over the text. */
  readonly attention?: Omit<HeadAttention, "layer" | "head">;
  /** The sources with the token that each raises most, for plots. */
  readonly rows: readonly HeadRow[];
}

/** Tokens of the vocabulary that are asked where there is no text. */
const N_VOCABULARY_SOURCES = 512;

/** One attention head, `L3.H2`: what it copies, and over a text where it looks and what it writes. */
export async function head(model: Model, address: string, options: HeadOptions = {}): Promise<Report<Head>> {
  const { on, k = 5, ...runOptions } = options;
  checkOptions("head", runOptions, VIEW_OPTIONS);
  checkInteger("head: k", k, 1, model.config.vocabSize + 1);
  const component = chosenComponent(model, "head", address, "blocks.{i}.attn.z");
  const tokens = on === undefined ? undefined : model.encode(on);
  const found =
    tokens === undefined
      ? await inWeights(model, component, k, runOptions)
      : await onText(model, component, tokens, k, runOptions);
  const { layer, index } = component;
  const { sources } = found;
  const data: Head = {
    address: component.address,
    layer,
    head: index,
    kvHead: kvHeadOf(model, component),
    copying: sources.filter(({ isCopied }) => isCopied).length / sources.length,
    ...found,
    rows: sources.map(({ promotes: [first], isCopied: _isCopied, ...source }) => {
      return { ...source, promotes: first.text, value: first.value };
    }),
  };
  return report(data, (width) => print(data, width));
}

type Found = Pick<Head, "sources" | "queries" | "attention">;

async function inWeights(model: Model, component: LayerComponent, k: number, options: ViewOptions): Promise<Found> {
  checkWithoutText("head", options);
  const n = Math.min(N_VOCABULARY_SOURCES, model.config.vocabSize);
  const raised = await raisedByEmbeddings(model, component, n, k);
  return { sources: raised.map((entries, token) => sourceOf(model, token, entries)), queries: [] };
}

async function onText(
  model: Model,
  component: LayerComponent,
  tokens: readonly number[],
  k: number,
  options: ViewOptions,
): Promise<Found> {
  const pattern = `blocks.${component.layer}.attn.pattern`;
  const view = valuesView(model, component);
  const run = await model.runDerived(tokens, view, { ...options, read: [pattern], logits: "none" });
  const { v, z, zNorms } = view.present(run);
  const raised = await raisedByValues(model, component, v, k);
  const resultNorms = await writtenLengths(model, component, z);
  const { head: _head, ...attention } = headAttention(run.get(pattern), component.index, tokens, k);
  const shown = showTokens(model, tokens);
  return {
    sources: raised.map((entries, position) => ({ position, ...sourceOf(model, tokens[position], entries) })),
    queries: attention.pattern.map((weights, position) => ({
      ...shown[position],
      position,
      keys: strongestKeys(weights, k),
      zNorm: zNorms[position],
      resultNorm: resultNorms[position],
    })),
    attention,
  };
}

/** The head's values and their weighted sums at every token, [T, headDim]. */
function valuesView(model: Model, head: LayerComponent): View<{ v: Tensor; z: Tensor; zNorms: FloatArray }> {
  const { layer, index } = head;
  const [v, z, latent, wV] = ["v", "z", "kvLatent", "wV"].map((name) => `blocks.${layer}.attn.${name}`);
  const { nHeads, headDim, vHeadDim = headDim } = model.config;
  const isLatent = model.tape.points.has(latent);
  return {
    key: `head ${layer}`,
    points: [isLatent ? latent : v, z],
    ints: { head: Int32Array.of(index), kvHead: Int32Array.of(kvHeadOf(model, head)) },
    build({ at, weight }) {
      // In latent attention the values of all heads follow from what the cache holds.
      const values = isLatent ? splitHeads(matmul(at(latent), weight(wV)), { nHeads, headDim: vHeadDim }) : at(v);
      const ofHead = mergeHeads(selectHeads(at(z), input("head", "int", [1])));
      const ofKvHead = mergeHeads(selectHeads(values, input("kvHead", "int", [1])));
      return { "head.z": ofHead, "head.v": ofKvHead, "head.zNorms": norm(ofHead) };
    },
    present: (run) => ({
      v: run.derived("head.v"),
      z: run.derived("head.z"),
      zNorms: run.derived("head.zNorms").data as FloatArray,
    }),
  };
}

function sourceOf(model: Model, token: number, raised: readonly Entry[]): HeadSource {
  return {
    ...showToken(model, token),
    promotes: raised.map(({ index, value }) => ({ ...showToken(model, index), value })),
    isCopied: raised.some(({ index }) => index === token),
  };
}

function strongestKeys(weights: readonly number[], k: number): HeadQuery["keys"] {
  return weights
    .map((weight, position) => ({ position, weight }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, k);
}

const MAX_TOKENS_PRINTED = 40;
/** Below this, two decimals show nothing. */
const SMALLEST_SHARE = 0.005;

function print({ address, head, kvHead, sources, copying, queries, attention }: Head, width: number): string {
  const shared = head === kvHead ? "" : `, which reads key and value head ${kvHead}`;
  const percent = `${(100 * copying).toFixed(0)}%`;
  const k = sources[0].promotes.length;
  const lines = [
    `Head ${address}${shared}`,
    `It copies ${percent} of ${sources.length} sources: their own token is among the ${k} that it raises most.`,
    ...(attention === undefined ? [] : ["", scoresTable(attention, width)]),
  ];
  const raised = ({ promotes }: HeadSource): string => promotes.map(({ text }) => quoteToken(text)).join(" ");
  const keys = ({ keys }: HeadQuery): string =>
    keys
      .filter(({ weight }) => weight >= SMALLEST_SHARE)
      .map(({ position, weight }) => `${quoteToken(sources[position].text)} ${weight.toFixed(2)}`)
      .join("  ");
  const shown = sources.slice(0, MAX_TOKENS_PRINTED);
  lines.push(
    "",
    table({
      head: ["source", "raises"],
      rows: shown.map((source) => [quoteToken(source.text), raised(source)]),
      width,
    }),
  );
  if (queries.length > 0) {
    lines.push(
      "",
      table({
        head: ["token", "|z|", "|result|", "looks at"],
        rows: queries.slice(0, MAX_TOKENS_PRINTED).map((query) => {
          return [quoteToken(query.text), query.zNorm, query.resultNorm, keys(query)];
        }),
        width,
      }),
    );
  }
  if (shown.length < sources.length) lines.push(`The first ${shown.length} of ${sources.length}.`);
  return lines.join("\n");
}

function scoresTable(scores: HeadScores, width: number): string {
  const { previousToken, duplicateToken, induction, firstToken, entropy } = scores;
  return table({
    head: ["previous", "duplicate", "induction", "first", "entropy"],
    rows: [[previousToken, duplicateToken, induction, firstToken, entropy]],
    width,
  });
}
