import { largest } from "../ops/top-k/largest.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type HeadScores, headScores } from "./attention-scores.ts";
import { checkInteger, chosen, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { table } from "./text/table.ts";
import { quoteToken } from "./text/width.ts";
import { type ShownToken, showTokens } from "./tokens.ts";

export interface AttentionOptions extends ViewOptions {
  /** Layers and heads to show; all unless asked otherwise. */
  readonly layers?: readonly number[];
  readonly heads?: readonly number[];
  /** Strongest edges of each head; 3 unless asked otherwise. */
  readonly nEdges?: number;
}

/** One token looking at another. */
export interface HeadEdge {
  /** Position that looks. */
  readonly from: number;
  /** Position that is looked at. */
  readonly to: number;
  readonly weight: number;
}

/** One head over a text. */
export interface HeadAttention extends HeadScores {
  readonly layer: number;
  readonly head: number;
  /** [T][T]: the share of each row's attention on each key position; 0 where it does not see the key. */
  readonly pattern: readonly (readonly number[])[];
  /** Left out are edges to the token itself and to the first one, where heads rest that look for nothing. */
  readonly edges: readonly HeadEdge[];
}

export interface Attention {
  readonly tokens: readonly ShownToken[];
  readonly heads: readonly HeadAttention[];
  /** The scores of each head, for plots. */
  readonly rows: readonly ({ readonly layer: number; readonly head: number } & HeadScores)[];
}

/** Where each head of a text looks, and which of the known kinds of head it is like. */
export async function attention(
  model: Model,
  text: Prompt,
  options: AttentionOptions = {},
): Promise<Report<Attention>> {
  const { layers, heads, nEdges = 3, ...rest } = options;
  checkOptions("attention", rest, VIEW_OPTIONS);
  checkInteger("attention: nEdges", nEdges, 0);
  const { nLayers, nHeads } = model.config;
  const shownLayers = chosen("attention: layers", layers, nLayers);
  const shownHeads = chosen("attention: heads", heads, nHeads);
  const tokens = model.encode(text);
  const name = (layer: number): string => `blocks.${layer}.attn.pattern`;
  const run = await model.run(tokens, { ...rest, read: shownLayers.map(name), logits: "none" });
  const found = shownLayers.flatMap((layer) => {
    const pattern = run.get(name(layer));
    return shownHeads.map((head) => ({ layer, ...headAttention(pattern, head, tokens, nEdges) }));
  });
  const rows = found.map(({ pattern: _pattern, edges: _edges, ...scores }) => scores);
  const data: Attention = { tokens: showTokens(model, tokens), heads: found, rows };
  return report(data, (width) => print(data, width));
}

/** One head of a layer's pattern [nHeads, T, T]. */
export function headAttention(
  pattern: Tensor,
  head: number,
  tokens: readonly number[],
  nEdges: number,
): Omit<HeadAttention, "layer"> {
  const rows = tokens.map((_, t) => pattern.row(head, t).data as FloatArray);
  return {
    head,
    ...headScores(rows, tokens),
    pattern: rows.map((row) => Array.from(row)),
    edges: strongest(rows, nEdges),
  };
}

function strongest(rows: readonly FloatArray[], n: number): HeadEdge[] {
  const nKeys = rows.length;
  const others = new Float64Array(nKeys * nKeys);
  for (const [t, row] of rows.entries()) {
    others.set(row, t * nKeys);
    others[t * nKeys] = 0;
    others[t * nKeys + t] = 0;
  }
  const edges: HeadEdge[] = [];
  largest(others, n, (index) => {
    const [from, to] = [Math.floor(index / nKeys), index % nKeys];
    if (others[index] > 0) edges.push({ from, to, weight: others[index] });
  });
  return edges;
}

/** Heads of a table; of more, those that are most like one of the known kinds. */
const MAX_HEADS_PRINTED = 24;

function print({ tokens, heads }: Attention, width: number): string {
  const likeness = (head: HeadScores): number =>
    Math.max(head.previousToken ?? 0, head.duplicateToken ?? 0, head.induction ?? 0);
  const isCut = heads.length > MAX_HEADS_PRINTED;
  const shown = isCut ? heads.toSorted((a, b) => likeness(b) - likeness(a)).slice(0, MAX_HEADS_PRINTED) : heads;
  const edge = ({ edges: [first] }: HeadAttention): string =>
    first === undefined ? "" : `${quoteToken(tokens[first.from].text)} → ${quoteToken(tokens[first.to].text)}`;
  const lines = [
    `Attention over ${tokens.length} tokens`,
    table({
      head: ["head", "previous", "duplicate", "induction", "first", "entropy", "strongest edge"],
      rows: shown.map((head) => [
        `L${head.layer}.H${head.head}`,
        ...[head.previousToken, head.duplicateToken, head.induction, head.firstToken],
        head.entropy,
        edge(head),
      ]),
      width,
    }),
  ];
  if (isCut) lines.push(`The ${shown.length} of ${heads.length} heads that are most like a known kind.`);
  return lines.join("\n");
}
