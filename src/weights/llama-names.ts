/** Weights of one layer that most families have under the names of Llama, and of it in GGUF. */
import type { storedIn } from "./schema.ts";

type AtLayer = ReturnType<typeof storedIn>;

interface HeadSizes {
  readonly dModel: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
}

/** The projections of grouped-query attention. */
export function attentionWeights(at: AtLayer, { dModel, nHeads, nKvHeads, headDim }: HeadSizes) {
  const [dQ, dKv] = [nHeads * headDim, nKvHeads * headDim];
  return {
    wQ: at("self_attn.q_proj.weight", "attn_q.weight", [dQ, dModel]),
    wK: at("self_attn.k_proj.weight", "attn_k.weight", [dKv, dModel]),
    wV: at("self_attn.v_proj.weight", "attn_v.weight", [dKv, dModel]),
    wO: at("self_attn.o_proj.weight", "attn_output.weight", [dModel, dQ]),
  };
}

/** A gated MLP. */
export function gatedMlpWeights(at: AtLayer, { dModel, dFf }: { readonly dModel: number; readonly dFf: number }) {
  return {
    wGate: at("mlp.gate_proj.weight", "ffn_gate.weight", [dFf, dModel]),
    wUp: at("mlp.up_proj.weight", "ffn_up.weight", [dFf, dModel]),
    wDown: at("mlp.down_proj.weight", "ffn_down.weight", [dModel, dFf]),
  };
}
