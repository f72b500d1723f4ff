import { matmul, matmulPerHead, softmax, splitHeads } from "../ops/index.ts";
import type { Value } from "../tape/value.ts";
import { type Aliases, aliasesOf } from "./aliases.ts";
import { block } from "./names.ts";
import { normRows } from "./norm-rows.ts";
import { SPARSE_ROWS } from "./sparse-rows.ts";

/**
 * The vocabulary of what can be read: one row per point, from which name look-up, shapes, docs and tests follow.
 * `{i}` is a layer. Meanings and shapes are TransformerLens' unless the formula says otherwise.
 */
export interface PointRow {
  readonly name: string;
  /** Sizes by name; T is tokens, S the keys up to the last position. */
  readonly axes: readonly string[];
  readonly formula: string;
  /** Names that other tools give it: aliases.ts. */
  readonly aliases: Aliases;
  /** A derived point exists only while it is read; it follows from named values and weights of the same model. */
  readonly derive?: Derivation;
  /** How it follows from other values in families that do not compute it. */
  readonly deriveIfAbsent?: Derivation;
  /** What stands at keys that a row does not see, for points laid out over keys. */
  readonly invisible?: number;
}

export interface Derivation {
  /** The points that it is computed from, so that it is absent where they are. */
  readonly from: readonly string[];
  /** `at` and `weight` take names with `{i}` already filled in by the caller's scope. */
  readonly build: (at: (point: string) => Value, weight: (name: string) => Value) => Value;
  /** What to edit instead of it, as a sentence. */
  readonly instead: string;
  /** The point each piece of which, times a number, makes that piece of this one times that number. */
  readonly scalesWith?: string;
  /** Whether that holds of single elements as well, since the two points have the same ones. */
  readonly scalesByElement?: boolean;
}

export type Row = Omit<PointRow, "aliases">;

const D = ["T", "dModel"];
const Q = ["T", "nHeads", "headDim"];
const KV = ["T", "nKvHeads", "headDim"];
const FF = ["T", "dFf"];
const KEYS = ["nHeads", "T", "S"];

/** Keys or values of all heads, from the latent of multi-head latent attention. */
function fromLatent(weight: "wK" | "wV"): Derivation {
  return {
    from: [block("attn.kvLatent"), block("attn.q")],
    build: (at, weightOf) => {
      const rows = matmul(at(block("attn.kvLatent")), weightOf(block(`attn.${weight}`))); // [T, nHeads * dim]
      const nHeads = at(block("attn.q")).shape[1] as number;
      return splitHeads(rows, { nHeads, headDim: (rows.shape[1] as number) / nHeads });
    },
    instead: "Edit attn.kvLatent.",
  };
}

const ROWS: readonly Row[] = [
  { name: "embed", axes: D, formula: "the token's embedding" },
  { name: "posEmbed", axes: D, formula: "the position's learned embedding" },
  { name: block("residPre"), axes: D, formula: "the residual stream before the block" },
  ...normRows(block("ln1"), D, "the norm before attention"),
  { name: block("attn.q"), axes: Q, formula: "ln1.out · wQᵀ + bQ, before q norm and rotation" },
  ...normRows(block("attn.qLatentNorm"), ["T", "qLoraRank"], "the norm of the queries' latent"),
  {
    name: block("attn.qLatent"),
    axes: ["T", "qLoraRank"],
    formula: "what queries are projected from in latent attention, after its norm",
  },
  ...normRows(block("attn.kvLatentNorm"), ["T", "kvLoraRank"], "the norm of the latent of keys and values"),
  {
    name: block("attn.kvLatent"),
    axes: ["T", "kvLoraRank"],
    formula: "the latent that keys and values of all heads follow from, after its norm, as the cache holds it",
  },
  {
    name: block("attn.kRope"),
    axes: ["T", "qkRopeHeadDim"],
    formula: "the key that all heads share, after the rotary embedding, as the cache holds it; pairs lie side by side",
  },
  {
    name: block("attn.k"),
    axes: KV,
    formula:
      "ln1.out · wKᵀ + bK, before k norm and rotation; query head h reads head ⌊h / (nHeads / nKvHeads)⌋; in latent attention kvLatent · wKᵀ, beside which each head has kRope",
    deriveIfAbsent: fromLatent("wK"),
  },
  {
    name: block("attn.v"),
    axes: KV,
    formula: "ln1.out · wVᵀ + bV; in latent attention kvLatent · wVᵀ",
    deriveIfAbsent: fromLatent("wV"),
  },
  ...normRows(block("attn.qNorm"), Q, "the norm of each query head (in OLMo of all heads of a row together)"),
  ...normRows(block("attn.kNorm"), KV, "the norm of each key head (in OLMo of all heads of a row together)"),
  { name: block("attn.rotQ"), axes: Q, formula: "q after its norm, if any, and the rotary embedding" },
  { name: block("attn.rotK"), axes: KV, formula: "k after its norm, if any, and the rotary embedding" },
  {
    name: block("attn.scores"),
    axes: KEYS,
    formula: "scale · rotQ · rotK; −inf at keys that the row does not see",
    invisible: Number.NEGATIVE_INFINITY,
  },
  {
    name: block("attn.pattern"),
    axes: KEYS,
    formula: "softmax of scores over keys; a row adds up to 1, less the share of the head's sink where it has one",
    invisible: 0,
  },
  { name: block("attn.z"), axes: Q, formula: "Σ over keys of pattern · v" },
  {
    name: block("attn.result"),
    axes: ["T", "nHeads", "dModel"],
    formula: "z · wOᵀ of each head alone; Σ over heads + bO = attn.out",
    derive: {
      from: [block("attn.z")],
      build: (at, weight) => matmulPerHead(at(block("attn.z")), weight(block("attn.wO"))),
      scalesWith: block("attn.z"),
      instead: "It may be scaled by a number or set to 0, as attn.z then is; otherwise edit attn.z or attn.out.",
    },
  },
  { name: block("attn.out"), axes: D, formula: "z · wOᵀ + bO" },
  ...normRows(block("ln1Post"), D, "the norm after attention"),
  { name: block("attn.contribution"), axes: D, formula: "what attention adds to the residual stream" },
  { name: block("residMid"), axes: D, formula: "residPre + attn.contribution" },
  ...normRows(block("ln2"), D, "the norm before the MLP"),
  {
    name: block("mlp.pre"),
    axes: FF,
    formula:
      "what the activation function is applied to: ln2.out · wGateᵀ in a gated MLP, ln2.out · wUpᵀ + bUp otherwise",
  },
  { name: block("mlp.preLinear"), axes: FF, formula: "ln2.out · wUpᵀ, the branch without an activation function" },
  {
    name: block("mlp.post"),
    axes: FF,
    formula: "fn(pre) · preLinear in a gated MLP, fn(pre) otherwise: the value of each neuron",
  },
  ...SPARSE_ROWS,
  {
    name: block("mlp.out"),
    axes: D,
    formula: "post · wDownᵀ + bDown; in a sparse layer experts.sum + shared.contribution",
  },
  ...normRows(block("ln2Post"), D, "the norm after the MLP"),
  { name: block("mlp.contribution"), axes: D, formula: "what the MLP adds to the residual stream" },
  { name: block("residPost"), axes: D, formula: "residMid + mlp.contribution; the next block's residPre" },
  ...normRows("lnFinal", D, "the final norm"),
  {
    name: "logitsBeforeSoftcap",
    axes: ["R", "vocabSize"],
    formula: "lnFinal.out · unembedᵀ, in families that cap what follows",
  },
  {
    name: "logits",
    axes: ["R", "vocabSize"],
    formula:
      "lnFinal.out · unembedᵀ for the rows whose logits are wanted; cap · tanh(logitsBeforeSoftcap / cap) where the family caps them",
  },
  {
    name: "probs",
    axes: ["R", "vocabSize"],
    formula: "softmax of logits",
    derive: { from: ["logits"], build: (at) => softmax(at("logits")), instead: "Edit logits." },
  },
];

/** The vocabulary, in the order in which a model computes it. */
export const POINTS: readonly PointRow[] = ROWS.map((row) => ({ ...row, aliases: aliasesOf(row.name) }));
