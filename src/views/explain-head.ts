import { matmul, matmulTransposed, mergeHeads, norm, selectHeads, splitHeads } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import { input } from "../tape/builder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkPlainPart, range } from "./components.ts";
import type { ExplainRequest } from "./explain-request.ts";
import type { LayerComponent } from "./options.ts";
import { routeOf } from "./route.ts";
import { bar } from "./text/picture.ts";
import { table } from "./text/table.ts";
import { clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showToken } from "./tokens.ts";
import { buildWritten, presentWritten, printWritten, type Written } from "./written.ts";

/** What a head took from one position. */
export interface SourcePosition extends ShownToken {
  readonly position: number;
  /** Share of the head's attention. */
  readonly weight: number;
  /** Length of the value vector there. */
  readonly valueLength: number;
  /** weight · valueLength as a share of the sum of these over all positions. */
  readonly share: number;
  /** Component of weight · value along what the head writes, as a share of that; over all positions they add up to 1. */
  readonly shareOfResult: number;
}

export interface HeadExplanation {
  readonly kind: "head";
  readonly address: string;
  readonly layer: number;
  readonly head: number;
  /** The key-value head that it reads. */
  readonly kvHead: number;
  readonly position: number;
  readonly token: ShownToken;
  /** The head's value, Σ weight · value over the positions. */
  readonly z: readonly number[];
  /** Every position that the head saw, the one it took most from first. */
  readonly sources: readonly SourcePosition[];
  /** Largest difference of any element of `z` from that sum: rounding, and edits. */
  readonly remainder: number;
  /** How many sources the text lists. */
  readonly nTerms: number;
  readonly written: Written;
  /** The sources, for plots. */
  readonly rows: readonly SourcePosition[];
}

/** Which positions a head read, and how much of what it writes came from each. */
export async function explainHead(
  model: Model,
  { address, layer, index: head }: LayerComponent,
  { tokens, position, counts, run: options }: ExplainRequest,
): Promise<HeadExplanation> {
  const part = `blocks.${layer}.attn`;
  checkPlainPart("explain", model, layer, "attn");
  const route = routeOf(model, layer, "attn");
  const read = [`${part}.pattern`, `${part}.z`, `${part}.result`, "lnFinal.scale", ...route.points];
  const run = await model.run(tokens, {
    ...options,
    read: [...read.map((at) => ({ at, positions: position })), { at: `${part}.v`, positions: [0, position + 1] }],
    logits: "none",
  });
  const v = run.get(`${part}.v`); // [S, nKvHeads, headDim]
  const [, nKvHeads, headDim] = v.shape;
  const { nHeads, dModel, vocabSize } = model.config;
  const kvHead = Math.floor(head / (nHeads / nKvHeads));
  const weights = run.get(`${part}.pattern`).row(head, 0).data;
  const result = run.get(`${part}.result`).row(0, head).data;
  const nKeys = position + 1;
  const outputs = await model.evaluate(
    (scope) => {
      const values = mergeHeads(selectHeads(input("v", "float", v.shape), input("kvHead", "int", [1]))); // [S, headDim]
      const written = input("result", "float", [1, dModel]);
      const perHead = splitHeads(matmulTransposed(written, scope.weight(`${part}.wO`)), { nHeads, headDim });
      const direction = mergeHeads(selectHeads(perHead, input("head", "int", [1]))); // [1, headDim]
      return {
        lengths: norm(values), // [S]
        along: matmul(values, direction), // [S, 1]
        z: matmulTransposed(input("weights", "float", [1, nKeys]), values), // [1, headDim]
        ...buildWritten(scope, route.forth(scope, written), Math.min(counts.nTokens, vocabSize)),
        resultLength: norm(written),
      };
    },
    { kvHead: Int32Array.of(kvHead), head: Int32Array.of(head) },
    { v: v.data, result, weights, ...route.inputs(run) },
  );
  const output = (name: string): Tensor => outputs.get(name) as Tensor;
  const written = presentWritten(model, output, run.get("lnFinal.scale").at(0, 0));
  const [lengths, along, resultLength] = [output("lengths").data, output("along").data, output("resultLength").at(0)];
  const seen = range(nKeys);
  const total = seen.reduce((sum, s) => sum + weights[s] * lengths[s], 0);
  const sources = seen
    .filter((s) => weights[s] !== 0)
    .map((s) => ({
      ...{ position: s, ...showToken(model, tokens[s]), weight: weights[s], valueLength: lengths[s] },
      share: (weights[s] * lengths[s]) / total,
      shareOfResult: (weights[s] * along[s]) / resultLength ** 2,
    }))
    .sort((a, b) => b.share - a.share);
  const z = Array.from(run.get(`${part}.z`).row(0, head).data);
  const mixed = output("z").data;
  return {
    ...{ kind: "head", address, layer, head, kvHead, position, token: showToken(model, tokens[position]), z, sources },
    remainder: z.reduce((largest, value, i) => Math.max(largest, Math.abs(value - mixed[i])), 0),
    nTerms: counts.nTerms,
    written,
    rows: sources,
  };
}

const BAR_WIDTH = 16;

export function printHead(data: HeadExplanation, width: number): string {
  const { address, kvHead, position, token, sources, remainder, nTerms, written } = data;
  const rows = sources.slice(0, nTerms).map(({ position: at, text, weight, valueLength, share, shareOfResult }) => {
    return [at, quoteToken(text), weight, valueLength, share, shareOfResult, bar(share, BAR_WIDTH)];
  });
  const head = ["from", "token", "weight", "|v|", "share", "of result", ""];
  const hidden = sources.length - rows.length;
  return [
    clip(
      `${address} at position ${position} ${quoteToken(token.text)}: Σ weight · v of key-value head ${kvHead}`,
      width,
    ),
    "",
    table({ head, rows, width }),
    ...(hidden === 0 ? [] : [`and ${hidden} other positions`]),
    `largest difference from z: ${remainder.toExponential(1)}`,
    "",
    printWritten(written, width),
  ].join("\n");
}
