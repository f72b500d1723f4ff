import { type Counterpart, inBlock } from "./counterpart.ts";

const attn = "model.layers.{i}.self_attn";

/** Of DeepSeek-V2 and V3. */
export const LATENT_FAMILIES: Readonly<Record<string, Counterpart>> = {
  [`out:${attn}.q_a_layernorm`]: inBlock("attn.qLatent", "attn.qLatentNorm.out"),
  [`out:${attn}.q_b_proj`]: inBlock("attn.q"),
  [`out:${attn}.kv_a_layernorm`]: inBlock("attn.kvLatent", "attn.kvLatentNorm.out"),
  // It takes the latents for a head, which is the leading axis of what it gives.
  [`out:${attn}.kv_b_proj`]: { ...inBlock("attn.k", "attn.v"), arrange: "headBesideHead" },
  // Nothing scales what the shared experts give.
  "out:model.layers.{i}.mlp.shared_experts": inBlock("shared.out", "shared.contribution"),
};
