import { block } from "./names.ts";
import { expertPart } from "./sparse-rows.ts";

/**
 * What other tools call golgi's points: one table per tool, from a point to its names there. `{i}` is a layer.
 * Where a tool uses a name for two tensors, and where it has a name for none of golgi's, see refused.ts.
 */
export const TOOLS = ["transformerLens", "bridge", "huggingFace", "ggml", "interpEngine", "nnterp"] as const;

export type Tool = (typeof TOOLS)[number];

/** A name, and the models in which it has this meaning: those that have, or lack, another point, of the block or of none. */
export interface Alias {
  readonly name: string;
  readonly has?: string;
  readonly lacks?: string;
}

/** A point's names, by tool. */
export type Aliases = Readonly<Partial<Record<Tool, readonly Alias[]>>>;

const gated = (name: string): Alias => ({ name, has: block("mlp.preLinear") });
const plain = (name: string): Alias => ({ name, lacks: block("mlp.preLinear") });
const unrotated = (name: string): Alias => ({ name, lacks: block("attn.rotQ") });
const normed = (name: string): Alias => ({ name, has: block("attn.qNorm.out") });
const unlatent = (name: string): Alias => ({ name, lacks: block("attn.kvLatent") });
const latent = (name: string): Alias => ({ name, has: block("attn.kvLatent") });
const sparse = (name: string): Alias => ({ name, has: block("router.logits") });
/** In families with a norm after attention, and in those without one. */
const postNormed = (name: string): Alias => ({ name, has: block("ln1Post.out") });
const unpostNormed = (name: string): Alias => ({ name, lacks: block("ln1Post.out") });
const BEFORE_CAP = "logitsBeforeSoftcap";
/** The unembedding's own output: only where no cap follows are these the logits. */
const uncapped = (name: string): Alias => ({ name, lacks: BEFORE_CAP });

type Names = Readonly<Record<string, readonly (string | Alias)[]>>;

/**
 * Hooks of HookedTransformer, and the names that its get_act_name takes, with the layer behind a dot: `("pattern", 5)`
 * is `pattern.5`, `("scale", 5, "ln1")` is `ln1.scale.5`. `attn_out.5` and `mlp_out.5` are interp-engine's.
 */
const transformerLens: Names = {
  embed: ["hook_embed"],
  posEmbed: ["hook_pos_embed", "pos_embed"],
  [block("residPre")]: [block("hook_resid_pre"), "resid_pre.{i}"],
  [block("ln1.scale")]: [block("ln1.hook_scale"), "ln1.scale.{i}"],
  [block("ln1.normalized")]: [block("ln1.hook_normalized"), "ln1.normalized.{i}"],
  [block("attn.q")]: [block("attn.hook_q"), "q.{i}", "query.{i}"].map(unlatent),
  [block("attn.k")]: [block("attn.hook_k"), "k.{i}", "key.{i}"].map(unlatent),
  [block("attn.v")]: [block("attn.hook_v"), "v.{i}", "value.{i}"],
  [block("attn.qNorm.scale")]: [block("attn.q_norm.hook_scale")],
  [block("attn.qNorm.normalized")]: [block("attn.q_norm.hook_normalized")],
  [block("attn.kNorm.scale")]: [block("attn.k_norm.hook_scale")],
  [block("attn.kNorm.normalized")]: [block("attn.k_norm.hook_normalized")],
  [block("attn.rotQ")]: [block("attn.hook_rot_q"), "rot_q.{i}"].map(unlatent),
  [block("attn.rotK")]: [block("attn.hook_rot_k"), "rot_k.{i}"],
  [block("attn.scores")]: [block("attn.hook_attn_scores"), "attn_scores.{i}", "attn_logits.{i}"],
  [block("attn.pattern")]: [block("attn.hook_pattern"), "pattern.{i}", "attn.{i}"],
  [block("attn.z")]: [block("attn.hook_z"), "z.{i}"],
  [block("attn.result")]: [block("attn.hook_result"), "result.{i}"],
  [block("ln1Post.scale")]: [block("ln1_post.hook_scale")],
  [block("ln1Post.normalized")]: [block("ln1_post.hook_normalized")],
  [block("attn.contribution")]: [block("hook_attn_out")],
  [block("residMid")]: [block("hook_resid_mid"), "resid_mid.{i}"],
  [block("ln2.scale")]: [block("ln2.hook_scale"), "ln2.scale.{i}"],
  [block("ln2.normalized")]: [block("ln2.hook_normalized"), "ln2.normalized.{i}"],
  [block("mlp.pre")]: [block("mlp.hook_pre"), "pre.{i}", "mlp_pre.{i}"],
  [block("mlp.preLinear")]: [block("mlp.hook_pre_linear"), "pre_linear.{i}"],
  [block("mlp.post")]: [block("mlp.hook_post"), "post.{i}", "mlp_post.{i}"],
  // Its name is that of the chosen ones' weights; its value is all experts', before the choice.
  [block("router.scores")]: [block("mlp.hook_expert_weights")],
  [block("router.indices")]: [block("mlp.hook_expert_indices")],
  // Within an expert it calls the gate so, and `hook_pre` the other branch: the opposite of a dense MLP.
  [expertPart("pre")]: [block("mlp.experts.{e}.hook_gate")],
  [expertPart("preLinear")]: [block("mlp.experts.{e}.hook_pre")],
  [expertPart("post")]: [block("mlp.experts.{e}.hook_post")],
  [block("ln2Post.scale")]: [block("ln2_post.hook_scale")],
  [block("ln2Post.normalized")]: [block("ln2_post.hook_normalized")],
  [block("mlp.contribution")]: [block("hook_mlp_out")],
  [block("residPost")]: [block("hook_resid_post"), "resid_post.{i}"],
  "lnFinal.scale": ["ln_final.hook_scale"],
  "lnFinal.normalized": ["ln_final.hook_normalized"],
  "lnFinal.out": ["unembed.hook_in"],
  [BEFORE_CAP]: ["unembed.hook_out"],
  logits: [uncapped("unembed.hook_out")],
};

/** Hooks of TransformerLens' TransformerBridge: what goes into each component, and what comes out. */
const bridge: Names = {
  embed: ["embed.hook_out"],
  posEmbed: ["pos_embed.hook_out"],
  [block("residPre")]: [block("hook_in"), block("ln1.hook_in")],
  [block("ln1.out")]: [
    block("ln1.hook_out"),
    block("attn.hook_in"),
    ...["q", "k", "v"].map((name) => block(`attn.${name}.hook_in`)),
  ],
  [block("attn.qLatent")]: [block("attn.hook_q_latent")],
  [block("attn.kvLatent")]: [block("attn.hook_kv_latent")],
  [block("attn.q")]: [block("attn.q.hook_out"), normed(block("attn.q_norm.hook_in"))],
  [block("attn.k")]: [block("attn.k.hook_out"), normed(block("attn.k_norm.hook_in"))],
  [block("attn.v")]: [block("attn.v.hook_out")],
  [block("attn.qNorm.out")]: [block("attn.q_norm.hook_out"), block("attn.hook_q_normed")],
  [block("attn.kNorm.out")]: [block("attn.k_norm.hook_out"), block("attn.hook_k_normed")],
  [block("attn.z")]: [block("attn.o.hook_in")],
  [block("attn.out")]: [
    ...[block("attn.o.hook_out"), block("attn.hook_out"), block("attn.hook_hidden_states")],
    postNormed(block("ln1_post.hook_in")),
  ],
  [block("ln1Post.out")]: [block("ln1_post.hook_out")],
  [block("residMid")]: [block("ln2.hook_in")],
  [block("ln2.out")]: [
    block("ln2.hook_out"),
    block("mlp.hook_in"),
    block("mlp.in.hook_in"),
    ...[gated, sparse].map((where) => where(block("mlp.gate.hook_in"))),
    { name: block("mlp.shared_experts.hook_in"), has: block("shared.out") },
  ],
  [block("mlp.pre")]: [gated(block("mlp.gate.hook_out")), plain(block("mlp.in.hook_out"))],
  [block("mlp.preLinear")]: [block("mlp.in.hook_out")],
  [block("mlp.post")]: [block("mlp.out.hook_in")],
  [block("router.logits")]: [block("mlp.gate.hook_out")],
  [block("router.weights")]: [{ name: block("mlp.hook_router_scores"), lacks: block("router.scores") }],
  [block("shared.pre")]: [block("mlp.shared_experts.gate.hook_out")],
  [block("shared.preLinear")]: [block("mlp.shared_experts.in.hook_out")],
  [block("shared.post")]: [block("mlp.shared_experts.out.hook_in")],
  [block("shared.out")]: [block("mlp.shared_experts.out.hook_out"), block("mlp.shared_experts.hook_out")],
  [block("mlp.out")]: [
    ...[block("mlp.out.hook_out"), block("mlp.hook_out")],
    { name: block("ln2_post.hook_in"), has: block("ln2Post.out") },
  ],
  [block("ln2Post.out")]: [block("ln2_post.hook_out")],
  [block("residPost")]: [block("hook_out")],
  "lnFinal.out": ["ln_final.hook_out"],
};

const llama = (name: string): string => `model.layers.{i}.${name}`;
const gpt2 = (name: string): string => `transformer.h.{i}.${name}`;

/**
 * Modules of transformers' classes: what a forward hook sees as their output, where they give several values the first.
 * Projections give heads side by side; the numbers are the same.
 */
const huggingFace: Names = {
  embed: ["model.embed_tokens", "transformer.wte"],
  posEmbed: ["transformer.wpe"],
  [block("ln1.out")]: [llama("input_layernorm"), gpt2("ln_1")],
  [block("attn.qLatent")]: [llama("self_attn.q_a_layernorm")],
  [block("attn.kvLatentNorm.out")]: [llama("self_attn.kv_a_layernorm")],
  [block("attn.q")]: [llama("self_attn.q_proj"), latent(llama("self_attn.q_b_proj"))],
  [block("attn.k")]: [llama("self_attn.k_proj")],
  [block("attn.v")]: [llama("self_attn.v_proj")],
  [block("attn.qNorm.out")]: [llama("self_attn.q_norm")],
  [block("attn.kNorm.out")]: [llama("self_attn.k_norm")],
  [block("attn.out")]: [llama("self_attn.o_proj"), llama("self_attn"), gpt2("attn.c_proj"), gpt2("attn")],
  // The norm of that name stands after attention in some families, before the MLP in others.
  [block("ln1Post.out")]: [llama("post_attention_layernorm")],
  [block("ln2.out")]: [
    unpostNormed(llama("post_attention_layernorm")),
    postNormed(llama("pre_feedforward_layernorm")),
    gpt2("ln_2"),
  ],
  [block("mlp.pre")]: [llama("mlp.gate_proj"), gpt2("mlp.c_fc")],
  [block("mlp.preLinear")]: [llama("mlp.up_proj")],
  [block("mlp.post")]: [plain(gpt2("mlp.act"))],
  [block("router.logits")]: [llama("mlp.gate"), llama("mlp.router"), llama("block_sparse_moe.gate")],
  [block("experts.sum")]: [llama("mlp.experts"), llama("block_sparse_moe.experts")],
  ...sharedModules(["shared_expert", "shared_experts"].map((name) => llama(`mlp.${name}`))),
  [block("mlp.out")]: [
    ...[llama("mlp.down_proj"), llama("mlp"), gpt2("mlp.c_proj"), gpt2("mlp")],
    sparse(llama("block_sparse_moe")),
  ],
  [block("ln2Post.out")]: [llama("post_feedforward_layernorm")],
  [block("residPost")]: ["model.layers.{i}", "transformer.h.{i}"],
  "lnFinal.out": ["model.norm", "transformer.ln_f"],
  [BEFORE_CAP]: ["lm_head"],
  logits: [uncapped("lm_head")],
};

/** The shared expert, which is called otherwise in Qwen2-MoE than in DeepSeek. */
function sharedModules(modules: readonly string[]): Names {
  const below = (name: string): string[] => modules.map((module) => `${module}.${name}`);
  return {
    [block("shared.pre")]: below("gate_proj"),
    [block("shared.preLinear")]: below("up_proj"),
    [block("shared.out")]: [...below("down_proj"), ...modules],
  };
}

/**
 * Tensors of llama.cpp's graph. It gives several one name as they are computed; the name then means the last:
 * - `Qcur`, `Kcur`: after bias, norm and rotation, as attention reads them. llama.cpp orders each head's numbers as
 *   its GGUF file does, golgi as the Hugging Face checkpoint does.
 * - `ffn_up`, `ffn_gate`: with a bias there is a second tensor, `ffn_up_b`; golgi has the sum alone, by both names.
 *   The same holds for `ffn_moe_*` and `ffn_moe_*_biased`. In a sparse layer `ffn_up` is the shared expert's.
 * - `kqv_out`: what enters the output projection; before 2025 what left it.
 * - `result_output`: after the cap, where the family has one.
 */
const ggml: Names = {
  embed: ["inp_embd"],
  posEmbed: ["pos_embd"],
  [block("ln1.out")]: ["attn_norm-{i}"],
  [block("attn.q")]: [unrotated("Qcur-{i}"), latent("q-{i}")],
  [block("attn.k")]: [unrotated("Kcur-{i}")],
  [block("attn.v")]: [unlatent("Vcur-{i}")],
  [block("attn.kvLatent")]: ["kv_cmpr-{i}"],
  [block("attn.kRope")]: ["k_pe-{i}"],
  [block("attn.qNorm.out")]: ["Qcur_normed-{i}"],
  [block("attn.kNorm.out")]: ["Kcur_normed-{i}"],
  [block("attn.rotQ")]: [unlatent("Qcur-{i}")],
  [block("attn.rotK")]: ["Kcur-{i}"],
  [block("attn.pattern")]: ["kq_soft_max-{i}", "kq_soft_max_ext-{i}"],
  [block("attn.z")]: ["kqv_out-{i}", "kqv_merged_cont-{i}"],
  [block("attn.out")]: ["attn_out-{i}"],
  [block("ln1Post.out")]: ["attn_post_norm-{i}"],
  [block("residMid")]: ["ffn_inp-{i}"],
  // In gpt-oss it is the norm before the MLP that is called so.
  [block("ln2.out")]: ["ffn_norm-{i}", unpostNormed("attn_post_norm-{i}")],
  [block("mlp.pre")]: [gated("ffn_gate-{i}"), gated("ffn_gate_b-{i}"), plain("ffn_up-{i}"), plain("ffn_up_b-{i}")],
  [block("mlp.preLinear")]: ["ffn_up-{i}", "ffn_up_b-{i}"],
  [block("mlp.post")]: [
    ...["ffn_gate_par-{i}", "ffn_swiglu-{i}", "ffn_geglu-{i}", "ffn_reglu-{i}"].map(gated),
    ...["ffn_gelu-{i}", "ffn_relu-{i}", "ffn_silu-{i}"].map(plain),
  ],
  [block("router.logits")]: ["ffn_moe_logits-{i}", "ffn_moe_logits_biased-{i}"],
  [block("router.scores")]: ["ffn_moe_probs-{i}"],
  [block("router.biasedScores")]: ["ffn_moe_probs_biased-{i}"],
  [block("router.indices")]: ["ffn_moe_topk-{i}"],
  [block("router.weights")]: [
    ...["ffn_moe_weights_scaled-{i}", "ffn_moe_weights_softmax-{i}"],
    // DeepSeek-V3 scales them afterwards.
    { name: "ffn_moe_weights_norm-{i}", lacks: block("router.biasedScores") },
  ],
  [block("experts.pre")]: ["ffn_moe_gate-{i}", "ffn_moe_gate_biased-{i}"],
  [block("experts.preLinear")]: ["ffn_moe_up-{i}", "ffn_moe_up_biased-{i}"],
  [block("experts.post")]: ["swiglu", "swiglu_oai", "geglu", "gate_par"].map((name) => `ffn_moe_${name}-{i}`),
  [block("experts.out")]: ["ffn_moe_down-{i}", "ffn_moe_down_biased-{i}"],
  [block("experts.contribution")]: ["ffn_moe_weighted-{i}"],
  [block("experts.sum")]: ["ffn_moe_out-{i}"],
  [block("shared.pre")]: ["ffn_gate-{i}"],
  [block("shared.preLinear")]: ["ffn_up-{i}"],
  [block("shared.post")]: ["ffn_swiglu-{i}", "ffn_gate_par-{i}"],
  [block("shared.out")]: ["ffn_shexp-{i}"],
  [block("shared.contribution")]: [{ name: "ffn_shexp_out-{i}", has: block("shared.gate") }],
  [block("mlp.out")]: ["ffn_out-{i}"],
  [block("ln2Post.out")]: ["ffn_post_norm-{i}"],
  [block("residPost")]: ["l_out-{i}"],
  "lnFinal.out": ["result_norm"],
  logits: ["result_output"],
};

/** Points of interp-engine. `*_out` is what a part gives, `*_out_post` what it adds to the residual stream. */
const interpEngine: Names = {
  embed: ["embeddings"],
  [block("residPre")]: ["resid_pre.{i}"],
  [block("ln1.out")]: ["attn_in.{i}"],
  [block("attn.q")]: [normed("q_norm_in.{i}")],
  [block("attn.k")]: [normed("k_norm_in.{i}")],
  [block("attn.v")]: ["value.{i}"],
  [block("attn.qNorm.out")]: ["q_norm_out.{i}"],
  [block("attn.kNorm.out")]: ["k_norm_out.{i}"],
  [block("attn.scores")]: ["attn_scores.{i}"],
  [block("attn.pattern")]: ["attn_probs.{i}"],
  [block("attn.z")]: ["z.{i}"],
  [block("attn.out")]: ["attn_out.{i}"],
  [block("attn.contribution")]: ["attn_out_post.{i}"],
  [block("residMid")]: ["resid_mid.{i}"],
  [block("ln2.out")]: ["mlp_in.{i}"],
  [block("mlp.pre")]: ["mlp_pre.{i}"],
  [block("mlp.preLinear")]: ["mlp_pre_linear.{i}"],
  [block("mlp.post")]: ["mlp_act.{i}"],
  [block("router.logits")]: ["router_logits.{i}"],
  [block("router.indices")]: ["expert_indices.{i}"],
  [block("router.weights")]: ["expert_weights.{i}"],
  [block("mlp.out")]: ["mlp_out.{i}"],
  [block("mlp.contribution")]: ["mlp_out_post.{i}"],
  [block("residPost")]: ["resid_post.{i}"],
  "lnFinal.out": ["final_norm"],
  [BEFORE_CAP]: ["lm_head"],
  logits: [uncapped("lm_head")],
};

const indexed = (name: string): string[] => [`${name}[{i}]`, `${name}.{i}`];

/** Accessors of nnterp's StandardizedTransformer. */
const nnterp: Names = {
  embed: ["token_embeddings"],
  [block("residPre")]: indexed("layers_input"),
  [block("ln1.out")]: indexed("attentions_input"),
  [block("attn.pattern")]: indexed("attention_probabilities"),
  [block("attn.out")]: indexed("attentions_output"),
  [block("ln2.out")]: indexed("mlps_input"),
  [block("mlp.out")]: indexed("mlps_output"),
  [block("residPost")]: indexed("layers_output"),
  "lnFinal.out": ["ln_final", "ln_final.output"],
};

/** All tables, for tests and docs. */
export const NAMES: Readonly<Record<Tool, Names>> = {
  transformerLens,
  bridge,
  huggingFace,
  ggml,
  interpEngine,
  nnterp,
};

/** What each tool calls a point. */
export function aliasesOf(point: string): Aliases {
  const entries = TOOLS.map((tool) => [tool, NAMES[tool][point] ?? []] as const);
  return Object.fromEntries(
    entries
      .filter(([, names]) => names.length > 0)
      .map(([tool, names]) => [tool, names.map((name) => (typeof name === "string" ? { name } : name))]),
  );
}
