import { matmulPerHead, softmax } from "../ops/index.ts";
import type { Value } from "../tape/value.ts";

/**
 * The vocabulary of what can be read: one row per point, from which name look-up, shapes, docs and tests follow.
 * `{i}` is a layer. Meanings and shapes are TransformerLens' unless the formula says otherwise.
 */
export interface PointRow {
  readonly name: string;
  /** Sizes by name; T is tokens, S the keys up to the last position. */
  readonly axes: readonly string[];
  readonly formula: string;
  /** Names that other tools give it. */
  readonly aliases: readonly string[];
  /** A derived point exists only while it is read; it follows from named values and weights of the same model. */
  readonly derive?: Derivation;
  /** What stands at keys that a row does not see, for points laid out over keys. */
  readonly invisible?: number;
}

interface Derivation {
  /** The points that it is computed from, so that it is absent where they are. */
  readonly from: readonly string[];
  /** `at` and `weight` take names with `{i}` already filled in by the caller's scope. */
  readonly build: (at: (point: string) => Value, weight: (name: string) => Value) => Value;
}

const D = ["T", "dModel"];
const Q = ["T", "nHeads", "headDim"];
const KV = ["T", "nKvHeads", "headDim"];
const FF = ["T", "dFf"];
const KEYS = ["nHeads", "T", "S"];
const block = (name: string): string => `blocks.{i}.${name}`;

/** The three points of a norm, and what TransformerLens calls two of them. */
function normRows(scope: string, axes: readonly string[], what: string, transformerLens?: string): PointRow[] {
  const alias = (hook: string): string[] => (transformerLens === undefined ? [] : [`${transformerLens}.${hook}`]);
  return [
    {
      name: `${scope}.scale`,
      axes: [...axes.slice(0, -1), "1"],
      formula: `√(mean(x²) + eps), the divisor of ${what}; x is centred first in a LayerNorm`,
      aliases: alias("hook_scale"),
    },
    {
      name: `${scope}.normalized`,
      axes,
      formula: `x / scale in ${what}, before gain and bias`,
      aliases: alias("hook_normalized"),
    },
    { name: `${scope}.out`, axes, formula: `${what}, gain and bias included: what the next part reads`, aliases: [] },
  ];
}

export const POINTS: readonly PointRow[] = [
  { name: "embed", axes: D, formula: "the token's embedding", aliases: ["hook_embed", "embeddings"] },
  { name: "posEmbed", axes: D, formula: "the position's learned embedding", aliases: ["hook_pos_embed"] },
  {
    name: block("residPre"),
    axes: D,
    formula: "the residual stream before the block",
    aliases: [block("hook_resid_pre"), "resid_pre.{i}"],
  },
  ...normRows(block("ln1"), D, "the norm before attention", block("ln1")),
  {
    name: block("attn.q"),
    axes: Q,
    formula: "ln1.out · wQᵀ + bQ, before q norm and rotation",
    aliases: [block("attn.hook_q")],
  },
  {
    name: block("attn.k"),
    axes: KV,
    formula: "ln1.out · wKᵀ + bK, before k norm and rotation; query head h reads head ⌊h / (nHeads / nKvHeads)⌋",
    aliases: [block("attn.hook_k")],
  },
  { name: block("attn.v"), axes: KV, formula: "ln1.out · wVᵀ + bV", aliases: [block("attn.hook_v"), "value.{i}"] },
  ...normRows(block("attn.qNorm"), Q, "the norm of each query head"),
  ...normRows(block("attn.kNorm"), KV, "the norm of each key head"),
  {
    name: block("attn.rotQ"),
    axes: Q,
    formula: "q after its norm, if any, and the rotary embedding",
    aliases: [block("attn.hook_rot_q")],
  },
  {
    name: block("attn.rotK"),
    axes: KV,
    formula: "k after its norm, if any, and the rotary embedding",
    aliases: [block("attn.hook_rot_k")],
  },
  {
    name: block("attn.scores"),
    axes: KEYS,
    formula: "scale · rotQ · rotK; −inf at keys that the row does not see",
    aliases: [block("attn.hook_attn_scores"), "attn_scores.{i}"],
    invisible: Number.NEGATIVE_INFINITY,
  },
  {
    name: block("attn.pattern"),
    axes: KEYS,
    formula: "softmax of scores over keys; a row adds up to 1",
    aliases: [block("attn.hook_pattern"), "attn_probs.{i}"],
    invisible: 0,
  },
  { name: block("attn.z"), axes: Q, formula: "Σ over keys of pattern · v", aliases: [block("attn.hook_z"), "z.{i}"] },
  {
    name: block("attn.result"),
    axes: ["T", "nHeads", "dModel"],
    formula: "z · wOᵀ of each head alone; Σ over heads + bO = attn.out",
    aliases: [block("attn.hook_result")],
    derive: {
      from: [block("attn.z")],
      build: (at, weight) => matmulPerHead(at(block("attn.z")), weight(block("attn.wO"))),
    },
  },
  { name: block("attn.out"), axes: D, formula: "z · wOᵀ + bO", aliases: ["attn_out.{i}"] },
  {
    name: block("attn.contribution"),
    axes: D,
    formula: "what attention adds to the residual stream",
    aliases: [block("hook_attn_out"), "attn_out_post.{i}"],
  },
  {
    name: block("residMid"),
    axes: D,
    formula: "residPre + attn.contribution",
    aliases: [block("hook_resid_mid"), "resid_mid.{i}"],
  },
  ...normRows(block("ln2"), D, "the norm before the MLP", block("ln2")),
  {
    name: block("mlp.pre"),
    axes: FF,
    formula:
      "what the activation function is applied to: ln2.out · wGateᵀ in a gated MLP, ln2.out · wUpᵀ + bUp otherwise",
    aliases: [block("mlp.hook_pre"), "mlp_pre.{i}"],
  },
  {
    name: block("mlp.preLinear"),
    axes: FF,
    formula: "ln2.out · wUpᵀ, the branch without an activation function",
    aliases: [block("mlp.hook_pre_linear"), "mlp_pre_linear.{i}"],
  },
  {
    name: block("mlp.post"),
    axes: FF,
    formula: "fn(pre) · preLinear in a gated MLP, fn(pre) otherwise: the value of each neuron",
    aliases: [block("mlp.hook_post"), "mlp_act.{i}"],
  },
  { name: block("mlp.out"), axes: D, formula: "post · wDownᵀ + bDown", aliases: ["mlp_out.{i}"] },
  {
    name: block("mlp.contribution"),
    axes: D,
    formula: "what the MLP adds to the residual stream",
    aliases: [block("hook_mlp_out"), "mlp_out_post.{i}"],
  },
  {
    name: block("residPost"),
    axes: D,
    formula: "residMid + mlp.contribution; the next block's residPre",
    aliases: [block("hook_resid_post"), "resid_post.{i}"],
  },
  ...normRows("lnFinal", D, "the final norm", "ln_final"),
  {
    name: "logits",
    axes: ["R", "vocabSize"],
    formula: "lnFinal.out · unembedᵀ for the rows whose logits are wanted",
    aliases: ["unembed.hook_out", "lm_head"],
  },
  {
    name: "probs",
    axes: ["R", "vocabSize"],
    formula: "softmax of logits",
    aliases: [],
    derive: { from: ["logits"], build: (at) => softmax(at("logits")) },
  },
];

/** A row's name with its layer filled in. */
export function atLayer(name: string, layer: number | undefined): string {
  return layer === undefined ? name : name.replace("{i}", `${layer}`);
}
