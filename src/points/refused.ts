import { block } from "./names.ts";

interface Refused {
  readonly names: readonly string[];
  readonly reason: string;
}

const TWO_TENSORS = "HookedTransformer has the residual stream there and TransformerBridge the norm's output";

/** Names of other tools that stand for no point of golgi, or for two. */
export const REFUSED: readonly Refused[] = [
  { names: ["hook_tokens"], reason: "the tokens are the run's input: run.tokens has them" },
  {
    names: [block("hook_attn_in"), ...["q", "k", "v"].map((name) => block(`hook_${name}_input`))],
    reason: `${TWO_TENSORS}: say residPre or ln1.out`,
  },
  { names: [block("hook_mlp_in")], reason: `${TWO_TENSORS}: say residMid or ln2.out` },
  {
    names: [
      block("mlp.hook_mid"),
      block("mlp.ln.hook_scale"),
      block("mlp.ln.hook_normalized"),
      "mid.{i}",
      "mlp_mid.{i}",
    ],
    reason: "only SoLU models have a norm within the MLP",
  },
  { names: ["scale.{i}", "normalized.{i}"], reason: "a block has several norms: say ln1.scale.{i} or ln2.scale.{i}" },
  {
    names: ["rotary_emb.hook_cos", "rotary_emb.hook_sin", "model.rotary_emb"],
    reason: "angles are no activations; attn.rotQ and attn.rotK are what they make of q and k",
  },
  { names: ["ln_final.hook_in"], reason: "it is residPost of the last block" },
  { names: ["transformer.drop", "inpL"], reason: "it is blocks.0.residPre" },
  { names: ["transformer.h.{i}.attn.c_attn"], reason: "it gives q, k and v in one: say attn.q, attn.k or attn.v" },
  {
    names: ["model.layers.{i}.mlp.act_fn", "ffn_silu-{i}"],
    reason:
      "golgi has the gate before its activation function, mlp.pre, and its product with the other branch, mlp.post",
  },
  { names: ["kq-{i}"], reason: "llama.cpp has the products before scale and mask, golgi attn.scores after them" },
  { names: ["kqv-{i}"], reason: "llama.cpp has each head's rows last; the same numbers are attn.z" },
  { names: ["norm-{i}"], reason: "llama.cpp calls both norms of a block so: say ln1.normalized or ln2.normalized" },
  { names: ["next_token_probs"], reason: 'they are the last row of probs: read probs with logits: "last"' },
  { names: ["attn_gate.{i}"], reason: "no family that golgi runs gates what its attention gives" },
];
