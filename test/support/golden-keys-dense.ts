import { type Counterpart, inBlock } from "./counterpart.ts";

type Counterparts = Readonly<Record<string, Counterpart>>;

const layer = "model.layers.{i}";

/** Of Phi-3, whose projections are fused. */
export const DENSE_FAMILIES: Counterparts = {
  [`out:${layer}.self_attn.qkv_proj`]: { ...inBlock("attn.q", "attn.k", "attn.v"), arrange: "sideBySide" },
  [`out:${layer}.mlp.gate_up_proj`]: { ...inBlock("mlp.pre", "mlp.preLinear"), arrange: "sideBySide" },
};

/** What the norm after attention and that after the MLP take and give. */
const AFTER: Counterparts = {
  [`out:${layer}.self_attn.o_proj`]: inBlock("attn.out"),
  [`in:${layer}.post_attention_layernorm`]: inBlock("attn.out"),
  [`out:${layer}.post_attention_layernorm`]: inBlock("ln1Post.out", "attn.contribution"),
  [`out:${layer}.mlp.down_proj`]: inBlock("mlp.out"),
  [`out:${layer}.mlp`]: inBlock("mlp.out"),
  [`out:${layer}.post_feedforward_layernorm`]: inBlock("ln2Post.out", "mlp.contribution"),
};

/** Gemma 2 and 3, which have norms before them as well; in Gemma 3 q and k are laid out head by head before their norms. */
const GEMMA_2: Counterparts = {
  ...AFTER,
  [`in:${layer}.pre_feedforward_layernorm`]: inBlock("residMid"),
  [`out:${layer}.pre_feedforward_layernorm`]: inBlock("ln2.out"),
  [`out:${layer}.self_attn.q_norm`]: { ...inBlock("attn.qNorm.out"), arrange: "headsFirst" },
  [`out:${layer}.self_attn.k_norm`]: { ...inBlock("attn.kNorm.out"), arrange: "headsFirst" },
};

const OLMO_2: Counterparts = { ...AFTER, [`in:${layer}.mlp`]: inBlock("residMid") };

/** The names that stand for other points than in most families, in a golden of these keys. */
export function renamed(keys: readonly string[]): Counterparts {
  const has = (module: string): boolean => keys.some((key) => key.endsWith(`.${module}`));
  if (has("pre_feedforward_layernorm")) return GEMMA_2;
  return has("post_feedforward_layernorm") ? OLMO_2 : {};
}
