/** DeepSeek in GGUF, as llama.cpp's converter wrote it before and after it split kv_b_proj, from the tensors of goldens. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ARCHITECTURES } from "../src/architectures/index.ts";
import type { GgufValue } from "../src/checkpoint/gguf-values.ts";
import { encodeGguf, type GgufTensor } from "../src/checkpoint/write-gguf.ts";
import { ggufConfigReader } from "../src/config/gguf.ts";
import { describeModel, type Model, openModel, reference } from "../src/index.ts";
import { numel } from "../src/tensor/shape.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { concat, MemoryFolder } from "./checkpoint-files.ts";
import { fixture, goldenTokens, readTensors } from "./support/fixtures.ts";
import { sameBits, stacked, tensorOf } from "./support/tensors.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

/** The rest of a tensor's name in a layer: Hugging Face's, llama.cpp's. */
const NAMES: Readonly<Record<string, string>> = {
  "input_layernorm.weight": "attn_norm.weight",
  "post_attention_layernorm.weight": "ffn_norm.weight",
  "self_attn.q_proj.weight": "attn_q.weight",
  "self_attn.q_a_proj.weight": "attn_q_a.weight",
  "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
  "self_attn.q_b_proj.weight": "attn_q_b.weight",
  "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
  "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight",
  "self_attn.kv_b_proj.weight": "attn_kv_b.weight",
  "self_attn.o_proj.weight": "attn_output.weight",
  "mlp.gate_proj.weight": "ffn_gate.weight",
  "mlp.up_proj.weight": "ffn_up.weight",
  "mlp.down_proj.weight": "ffn_down.weight",
  "mlp.gate.weight": "ffn_gate_inp.weight",
  "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
  "mlp.shared_experts.gate_proj.weight": "ffn_gate_shexp.weight",
  "mlp.shared_experts.up_proj.weight": "ffn_up_shexp.weight",
  "mlp.shared_experts.down_proj.weight": "ffn_down_shexp.weight",
};
const GLOBALS: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
};

interface Sizes {
  readonly num_attention_heads: number;
  readonly qk_nope_head_dim: number;
  readonly v_head_dim: number;
}

/** The tensors under llama.cpp's names: experts of a layer as one, and kv_b_proj split where asked. */
function ggufTensors(tensors: ReadonlyMap<string, Tensor>, sizes: Sizes, isSplit: boolean): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  const experts = new Map<string, Tensor[]>();
  for (const [name, tensor] of tensors) {
    const [, layer, rest = ""] = /^model\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
    const [, e, kind] = /^mlp\.experts\.(\d+)\.(\w+)_proj\.weight$/.exec(rest) ?? [];
    if (e !== undefined) {
      const stack = experts.get(`blk.${layer}.ffn_${kind}_exps.weight`) ?? [];
      stack[Number(e)] = new Tensor([1, ...tensor.shape], tensor.data);
      experts.set(`blk.${layer}.ffn_${kind}_exps.weight`, stack);
    } else {
      found.set(layer === undefined ? GLOBALS[name]! : `blk.${layer}.${NAMES[rest]}`, tensor);
    }
  }
  for (const [name, stack] of experts) found.set(name, stacked(stack));
  if (!isSplit) return found;
  const { num_attention_heads: nHeads, qk_nope_head_dim: nope, v_head_dim: vDim } = sizes;
  for (const [name, both] of [...found].filter(([name]) => name.endsWith("attn_kv_b.weight"))) {
    const rank = both.shape[1]!;
    const [layer, first] = [name.replace(".attn_kv_b.weight", ""), (head: number) => head * (nope + vDim)];
    found.delete(name);
    found.set(
      `${layer}.attn_k_b.weight`,
      tensorOf([nHeads, rank, nope], (h, c, i) => both.at(first(h) + i, c)),
    );
    found.set(
      `${layer}.attn_v_b.weight`,
      tensorOf([nHeads, vDim, rank], (h, i, c) => both.at(first(h) + nope + i, c)),
    );
  }
  return found;
}

/** A config.json. */
type Config = ReturnType<typeof JSON.parse>;

function metadata(c: Config, isSplit: boolean): Map<string, GgufValue> {
  const rope = c.rope_parameters;
  const isV3 = c.model_type === "deepseek_v3";
  const headDim = c.qk_nope_head_dim + c.qk_rope_head_dim;
  const integers: Record<string, number | undefined> = {
    block_count: c.num_hidden_layers,
    context_length: c.max_position_embeddings,
    embedding_length: c.hidden_size,
    feed_forward_length: c.intermediate_size,
    "attention.head_count": c.num_attention_heads,
    "attention.head_count_kv": isSplit ? 1 : c.num_attention_heads,
    "attention.q_lora_rank": c.q_lora_rank ?? undefined,
    "attention.kv_lora_rank": c.kv_lora_rank,
    "attention.key_length": isSplit ? c.kv_lora_rank + c.qk_rope_head_dim : headDim,
    "attention.value_length": isSplit ? c.kv_lora_rank : c.v_head_dim,
    "attention.key_length_mla": isSplit ? headDim : undefined,
    "attention.value_length_mla": isSplit ? c.v_head_dim : undefined,
    "rope.dimension_count": c.qk_rope_head_dim,
    leading_dense_block_count: c.first_k_dense_replace,
    vocab_size: c.vocab_size,
    expert_count: c.n_routed_experts,
    expert_used_count: c.num_experts_per_tok,
    expert_shared_count: c.n_shared_experts,
    expert_feed_forward_length: c.moe_intermediate_size,
    expert_group_count: c.n_group,
    expert_group_used_count: c.topk_group,
    // Older files leave out the softmax.
    expert_gating_func: isV3 ? 2 : isSplit ? 1 : undefined,
    "rope.scaling.original_context_length": rope.original_max_position_embeddings,
  };
  const reals: Record<string, number> = {
    "attention.layer_norm_rms_epsilon": c.rms_norm_eps,
    "rope.freq_base": rope.rope_theta,
    "rope.scaling.factor": rope.factor,
    "rope.scaling.yarn_beta_fast": rope.beta_fast,
    "rope.scaling.yarn_beta_slow": rope.beta_slow,
    "rope.scaling.yarn_log_multiplier": 0.1 * rope.mscale_all_dim,
    expert_weights_scale: c.routed_scaling_factor,
  };
  return new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "deepseek2" }],
    ["deepseek2.rope.scaling.type", { type: "string", value: "yarn" }],
    ...(isV3 ? ([["deepseek2.expert_weights_norm", { type: "bool", value: true }]] as const) : []),
    ...Object.entries(integers).flatMap(([key, value]): [string, GgufValue][] =>
      value === undefined ? [] : [[`deepseek2.${key}`, { type: "u32", value }]],
    ),
    ...Object.entries(reals).map(([key, value]): [string, GgufValue] => [
      `deepseek2.${key}`,
      { type: "f32", value: Math.fround(value) },
    ]),
  ]);
}

async function ggufBytes(values: Map<string, GgufValue>, tensors: ReadonlyMap<string, Tensor>) {
  const list = Array.from(tensors, ([name, { shape, data }]): GgufTensor => {
    const numbers = Float32Array.from(data);
    return { name, shape, type: "f32", rows: () => [numbers.subarray(0, numel(shape))] };
  });
  return concat(...(await Array.fromAsync(encodeGguf(values, list))));
}

const openGgufBytes = (bytes: Uint8Array): Promise<Model> =>
  openModel({ folder: new MemoryFolder({ "m.gguf": bytes }), weightsFile: "m.gguf" }, host, [reference]);

/** What llama.cpp's file of the golden can say: there mscale is mscale_all_dim. */
async function golden(name: string) {
  const directory = fixture(`goldens/${name}`);
  const json: Config = JSON.parse(readFileSync(`${directory}/config.json`, "utf8"));
  json.rope_parameters = { ...json.rope_parameters, mscale: json.rope_parameters.mscale_all_dim };
  const folder = new MemoryFolder({
    "config.json": new TextEncoder().encode(JSON.stringify(json)),
    "model.safetensors": new Uint8Array(readFileSync(`${directory}/model.safetensors`)),
  });
  const model = await openModel({ folder }, host, [reference]);
  const { logits } = await model.run(await goldenTokens(name), { logits: "all" });
  await model.close();
  return { json, config: model.config, logits, tensors: await readTensors(`${directory}/model.safetensors`) };
}

describe.each(["deepseek-v2", "deepseek-v3"])("%s", (name) => {
  it.each([
    ["kv_b_proj as one", false],
    ["keys and values apart", true],
  ])("gives the same bits from a GGUF file with %s", async (_, isSplit) => {
    const { json, config, logits, tensors } = await golden(name);
    const bytes = await ggufBytes(metadata(json, isSplit), ggufTensors(tensors, json as unknown as Sizes, isSplit));
    const model = await openGgufBytes(bytes);
    const run = await model.run(await goldenTokens(name), { logits: "all" });
    // Of the keys each head's matrix is transposed.
    const transposed = Array.from({ length: isSplit ? config.nLayers : 0 }, (_, i) => `blocks.${i}.attn.wK`);
    expect(describeModel(model).converted?.weights).toEqual(transposed);
    await model.close();
    // What predicts further tokens is not in such a file.
    expect(model.config).toEqual({ ...config, ...(config.nMtpLayers !== undefined && { nMtpLayers: 0 }) });
    expect(sameBits(run.logits, logits)).toBe(true);
    expect(model.bindings.ignored).toEqual([]);
  });

  it.each<[string, string, GgufValue | undefined, RegExp]>([
    [
      "another router",
      "expert_gating_func",
      { type: "u32", value: 3 },
      /scoring_func: only softmax.*expert_gating_func 3/,
    ],
    [
      "a cache of another size",
      "attention.key_length",
      { type: "u32", value: 99 },
      /attention.key_length: every key must/,
    ],
    [
      "heads that share keys",
      "attention.head_count_kv",
      { type: "u32", value: 2 },
      /attention.head_count_kv: every key/,
    ],
    ["no rank of the latent", "attention.kv_lora_rank", undefined, /attention.kv_lora_rank: the metadata must hold/],
  ])("is refused with %s", async (_, key, value, message) => {
    const { json, tensors } = await golden(name);
    const values = metadata(json, true);
    if (value === undefined) values.delete(`deepseek2.${key}`);
    else values.set(`deepseek2.${key}`, value);
    const bytes = await ggufBytes(values, ggufTensors(tensors, json as unknown as Sizes, true));
    await expect(openGgufBytes(bytes)).rejects.toThrow(message);
  });
});

describe("the groups of experts", () => {
  function groupsOf(name: string, nExperts: number, groups: readonly number[] = []) {
    const json: Config = JSON.parse(readFileSync(`${fixture(`goldens/${name}`)}/config.json`, "utf8"));
    const [n_group, topk_group] = groups;
    const sizes = { n_routed_experts: nExperts, num_experts_per_tok: 6, n_group, topk_group };
    const { gguf, config } = ARCHITECTURES.find((architecture) => architecture.name === name)!;
    const contents = { values: metadata({ ...json, ...sizes }, true), tensors: new Map() };
    contents.tensors.set("token_embd.weight", { shape: [json.vocab_size, json.hidden_size] });
    return config(ggufConfigReader(gguf!, contents, "m.gguf"), gguf!.modelType);
  }

  it.each<[string, string, number, object | undefined]>([
    ["DeepSeek-V2", "deepseek-v2", 160, { nGroups: 8, nGroupsPerToken: 3 }],
    ["DeepSeek-V2-Lite", "deepseek-v2", 64, undefined],
    ["DeepSeek-V3", "deepseek-v3", 256, { nGroups: 8, nGroupsPerToken: 4 }],
    ["Kimi K2", "deepseek-v3", 384, undefined],
    ["Moonlight", "deepseek-v3", 64, undefined],
  ])("are those of %s where an older file does not say them", (_, name, nExperts, groups) => {
    expect(groupsOf(name, nExperts)).toMatchObject({ groups });
  });

  it("are what the file says otherwise", () => {
    expect(groupsOf("deepseek-v3", 256, [4, 2])).toMatchObject({ groups: { nGroups: 4, nGroupsPerToken: 2 } });
    expect(groupsOf("deepseek-v2", 160, [1, 1])).toMatchObject({ groups: undefined });
  });
});
