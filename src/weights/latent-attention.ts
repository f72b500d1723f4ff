import { matrices, ofHeads, stored, storedIn, WeightSpec } from "./schema.ts";

interface LatentSizes {
  readonly dModel: number;
  readonly nHeads: number;
  readonly qLoraRank: number | undefined;
  readonly kvLoraRank: number;
  readonly qkNopeHeadDim: number;
  readonly qkRopeHeadDim: number;
  readonly vHeadDim: number;
  readonly attentionBias: boolean;
}

/**
 * Declares the weights of one layer's multi-head latent attention. Checkpoints have the projection to the latent and to
 * the key that all heads share as one, and that from the latent to keys and values as one, head by head; newer GGUF
 * files have the latter apart, the keys' with each head's matrix transposed.
 */
export function latentAttentionWeights(layer: string, ggufLayer: string, c: LatentSizes) {
  const { dModel, nHeads, qLoraRank, kvLoraRank, qkNopeHeadDim: nope, qkRopeHeadDim: rope, vHeadDim: vDim } = c;
  const at = storedIn(`${layer}.self_attn`, ggufLayer);
  const [dQ, dZ] = [nHeads * (nope + rope), nHeads * vDim];
  const latent = { rows: [0, kvLoraRank] } as const;
  const shared = { rows: [kvLoraRank, kvLoraRank + rope] } as const;
  const fused = (tensor: string, rows: readonly [number, number]) => ofHeads(tensor, nHeads, nope + vDim, rows);
  const [fusedHere, fusedInGguf] = [`${layer}.self_attn.kv_b_proj.weight`, `${ggufLayer}.attn_kv_b.weight`];
  const [keys, values] = [[0, nope] as const, [nope, nope + vDim] as const];
  return {
    ...(qLoraRank === undefined
      ? { wQ: at("q_proj.weight", "attn_q.weight", [dQ, dModel]) }
      : {
          wQLatent: at("q_a_proj.weight", "attn_q_a.weight", [qLoraRank, dModel]),
          qLatentNorm: { gain: at("q_a_layernorm.weight", "attn_q_a_norm.weight", [qLoraRank]) },
          wQ: at("q_b_proj.weight", "attn_q_b.weight", [dQ, qLoraRank]),
        }),
    wKvLatent: at("kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight", [kvLoraRank, dModel], latent),
    kvLatentNorm: { gain: at("kv_a_layernorm.weight", "attn_kv_a_norm.weight", [kvLoraRank]) },
    wKRope: at("kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight", [rope, dModel], shared),
    wK: new WeightSpec(
      [nHeads * nope, kvLoraRank],
      [fused(fusedHere, keys)],
      [matrices(`${ggufLayer}.attn_k_b.weight`, nHeads, { transposed: true }), fused(fusedInGguf, keys)],
    ),
    wV: new WeightSpec(
      [dZ, kvLoraRank],
      [fused(fusedHere, values)],
      [matrices(`${ggufLayer}.attn_v_b.weight`, nHeads), fused(fusedInGguf, values)],
    ),
    wO: at("o_proj.weight", "attn_output.weight", [dModel, dZ]),
    // llama.cpp has no biases of these families.
    ...(c.attentionBias && {
      ...(qLoraRank !== undefined && { bQLatent: stored(`${layer}.self_attn.q_a_proj.bias`, [qLoraRank]) }),
      bKvLatent: stored(`${layer}.self_attn.kv_a_proj_with_mqa.bias`, [kvLoraRank], latent),
      bKRope: stored(`${layer}.self_attn.kv_a_proj_with_mqa.bias`, [rope], shared),
      bO: stored(`${layer}.self_attn.o_proj.bias`, [dModel]),
    }),
  };
}
