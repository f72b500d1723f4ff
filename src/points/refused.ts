import { block } from "./names.ts";

export interface Refused {
  readonly names: readonly string[];
  readonly reason: string;
  /** In models that have this point; in others the names mean one, or nothing. */
  readonly has?: string;
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
    names: ["model.layers.{i}.mlp.act_fn", "model.layers.{i}.mlp.activation_fn", "ffn_silu-{i}"],
    reason:
      "golgi has the gate before its activation function, mlp.pre, and its product with the other branch, mlp.post",
  },
  { names: ["kq-{i}"], reason: "llama.cpp has the products before scale and mask, golgi attn.scores after them" },
  { names: ["kqv-{i}"], reason: "llama.cpp has each head's rows last; the same numbers are attn.z" },
  { names: ["norm-{i}"], reason: "llama.cpp calls both norms of a block so: say ln1.normalized or ln2.normalized" },
  { names: ["next_token_probs"], reason: 'they are the last row of probs: read probs with logits: "last"' },
  {
    names: [block("attn.hook_q"), "q.{i}", "query.{i}", block("attn.hook_rot_q"), "rot_q.{i}"],
    reason: "TransformerBridge orders the numbers of a rotated query otherwise: say attn.q or attn.rotQ",
    has: block("attn.kvLatent"),
  },
  {
    names: [block("attn.hook_k"), "k.{i}", "key.{i}", block("attn.hook_rot_k"), "rot_k.{i}"],
    reason: "keys of latent attention are in two parts: say attn.k or attn.kRope",
    has: block("attn.kvLatent"),
  },
  {
    names: ["Qcur-{i}", "Kcur-{i}", "Vcur-{i}"],
    reason: "in latent attention llama.cpp has what stands for them beside its cache: say attn.rotQ, attn.k or attn.v",
    has: block("attn.kvLatent"),
  },
  {
    names: [block("mlp.hook_router_scores")],
    reason:
      "only of gpt-oss TransformerBridge gives something there: say router.logits, router.scores or router.weights",
  },
  {
    names: [block("mlp.hook_experts"), block("mlp.hook_expert")],
    reason: "each expert has hooks of its own: say experts.post, or experts.17.post for one of them",
  },
  {
    names: ["ffn_moe_weights-{i}", "ffn_moe_weights_sum-{i}"],
    reason:
      "llama.cpp has the weights there before they are normalised and scaled, where they are: say router.weights for what comes of them",
  },
  {
    names: ["ffn_moe_weights_norm-{i}"],
    reason: "llama.cpp has the weights there before they are scaled: say router.weights for what comes of them",
    has: block("router.biasedScores"),
  },
  {
    names: ["ffn_shexp_gate-{i}", "shared_expert_gate-{i}", "model.layers.{i}.mlp.shared_expert_gate"],
    reason: "it is the gate before its sigmoid, golgi has shared.gate after it",
  },
  {
    names: ["model.layers.{i}.self_attn.q_a_proj", "model.layers.{i}.self_attn.kv_a_proj_with_mqa", "kv_cmpr_pe-{i}"],
    reason:
      "golgi has the latents after their norms, attn.qLatent and attn.kvLatent, and attn.kRope after its rotation",
  },
  {
    names: ["model.layers.{i}.self_attn.kv_b_proj"],
    reason: "it gives keys and values of each head in one: say attn.k or attn.v",
  },
  {
    names: ["model.layers.{i}.self_attn.qkv_proj"],
    reason: "it gives q, k and v in one: say attn.q, attn.k or attn.v",
  },
  {
    names: ["model.layers.{i}.mlp.gate_up_proj"],
    reason: "it gives both branches in one: say mlp.pre or mlp.preLinear",
  },
  { names: ["attn_gate.{i}"], reason: "no family that golgi runs gates what its attention gives" },
];
