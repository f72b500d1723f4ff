/** A checkpoint of DeepSeek-V3 in fp8 against the same numbers in float32, with rows of many blocks and weights that begin within one. */

import { describe, expect, it } from "vitest";
import { type Model, openModel, reference } from "../src/index.ts";
import { numel } from "../src/tensor/shape.ts";
import { describeModel } from "../src/views/info.ts";
import { concat, MemoryFolder, safetensors, utf8 } from "./checkpoint-files.ts";
import { randomFrom } from "./op-support/random.ts";
import { sameBits } from "./support/tensors.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };
const BLOCK = 128;

const [dModel, nHeads, rank, qRank, nope, rope, vDim, dExpert, nExperts, vocabSize] = [
  136, 3, 130, 20, 40, 8, 56, 12, 4, 30,
];

const config = {
  model_type: "deepseek_v3",
  ...{ vocab_size: vocabSize, hidden_size: dModel, intermediate_size: 20, moe_intermediate_size: dExpert },
  ...{ num_hidden_layers: 1, num_nextn_predict_layers: 1, num_attention_heads: nHeads, max_position_embeddings: 32 },
  ...{ q_lora_rank: qRank, kv_lora_rank: rank, qk_nope_head_dim: nope, qk_rope_head_dim: rope, v_head_dim: vDim },
  ...{ n_routed_experts: nExperts, num_experts_per_tok: 2, n_group: 2, topk_group: 1, first_k_dense_replace: 0 },
};
const quantization = {
  quantization_config: {
    ...{ quant_method: "fp8", fmt: "e4m3", activation_scheme: "dynamic", weight_block_size: [BLOCK, BLOCK] },
  },
};

const PLAIN = {
  "model.embed_tokens.weight": [vocabSize, dModel],
  "model.norm.weight": [dModel],
  "lm_head.weight": [vocabSize, dModel],
  "model.layers.0.input_layernorm.weight": [dModel],
  "model.layers.0.post_attention_layernorm.weight": [dModel],
  "model.layers.0.self_attn.q_a_layernorm.weight": [qRank],
  "model.layers.0.self_attn.kv_a_layernorm.weight": [rank],
  "model.layers.0.mlp.gate.weight": [nExperts, dModel],
  "model.layers.0.mlp.gate.e_score_correction_bias": [nExperts],
  // Of the layer for multi-token prediction.
  "model.layers.1.enorm.weight": [dModel],
};

const mlp = (name: string): Record<string, number[]> => ({
  [`${name}.gate_proj.weight`]: [dExpert, dModel],
  [`${name}.up_proj.weight`]: [dExpert, dModel],
  [`${name}.down_proj.weight`]: [dModel, dExpert],
});

/** What the published checkpoints have in fp8. */
const QUANTISED: Readonly<Record<string, number[]>> = {
  "model.layers.0.self_attn.q_a_proj.weight": [qRank, dModel],
  "model.layers.0.self_attn.q_b_proj.weight": [nHeads * (nope + rope), qRank],
  "model.layers.0.self_attn.kv_a_proj_with_mqa.weight": [rank + rope, dModel],
  "model.layers.0.self_attn.kv_b_proj.weight": [nHeads * (nope + vDim), rank],
  "model.layers.0.self_attn.o_proj.weight": [dModel, nHeads * vDim],
  ...mlp("model.layers.0.mlp.shared_experts"),
  ...Object.assign({}, ...Array.from({ length: nExperts }, (_, e) => mlp(`model.layers.0.mlp.experts.${e}`))),
  "model.layers.1.eh_proj.weight": [dModel, 2 * dModel],
};

/** From the definition of E4M3: bias 7, subnormal for the exponent 0. */
function e4m3(code: number): number {
  const [sign, e, m] = [code & 128 ? -1 : 1, (code >> 3) & 15, code & 7];
  return e === 0 ? sign * 2 ** -6 * (m / 8) : sign * 2 ** (e - 7) * (1 + m / 8);
}

interface FileTensor {
  readonly dtype: "F32" | "F8_E4M3";
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const float32 = (shape: readonly number[], numbers: Float32Array): FileTensor => {
  return { dtype: "F32", shape, bytes: new Uint8Array(numbers.buffer) };
};

function file(tensors: ReadonlyMap<string, FileTensor>): Uint8Array {
  let at = 0;
  const header = Object.fromEntries(
    Array.from(tensors, ([name, { dtype, shape, bytes }]) => {
      at += bytes.length;
      return [name, { dtype, shape, data_offsets: [at - bytes.length, at] }];
    }),
  );
  return concat(safetensors(JSON.stringify(header)), ...Array.from(tensors.values(), ({ bytes }) => bytes));
}

/** The same numbers twice: in codes with a scale for each block, and multiplied out. */
function checkpoints(): { readonly fp8: Map<string, FileTensor>; readonly plain: Map<string, FileTensor> } {
  const random = randomFrom(11);
  const [fp8, plain] = [new Map<string, FileTensor>(), new Map<string, FileTensor>()];
  for (const [name, shape] of Object.entries(PLAIN)) {
    const numbers = Float32Array.from({ length: numel(shape) }, () => 2 * random() - 1);
    for (const tensors of [fp8, plain]) tensors.set(name, float32(shape, numbers));
  }
  for (const [name, shape] of Object.entries(QUANTISED)) {
    const [nRows, nColumns] = shape as [number, number];
    // NaN has all bits of exponent and mantissa; small exponents keep sums near 1.
    const codes = Uint8Array.from(
      { length: nRows * nColumns },
      () => (random() < 0.5 ? 0 : 128) + Math.floor(40 * random()),
    );
    const blocks = [Math.ceil(nRows / BLOCK), Math.ceil(nColumns / BLOCK)] as const;
    const scales = Float32Array.from({ length: blocks[0] * blocks[1] }, () => 1 + 4 * random());
    const numbers = Float32Array.from(codes, (code, i) => {
      const [row, column] = [Math.floor(i / nColumns), i % nColumns];
      return e4m3(code) * scales[Math.floor(row / BLOCK) * blocks[1] + Math.floor(column / BLOCK)]!;
    });
    fp8.set(name, { dtype: "F8_E4M3", shape, bytes: codes });
    fp8.set(`${name}_scale_inv`, float32(blocks, scales));
    plain.set(name, float32(shape, numbers));
  }
  return { fp8, plain };
}

const openMemory = (json: object, tensors: ReadonlyMap<string, FileTensor>): Promise<Model> => {
  const files = { "config.json": utf8(JSON.stringify(json)), "model.safetensors": file(tensors) };
  return openModel({ folder: new MemoryFolder(files) }, host, [reference]);
};

describe("DeepSeek-V3 in fp8", () => {
  it("computes what its numbers compute in float32, at every point", async () => {
    const { fp8, plain } = checkpoints();
    const models = [await openMemory({ ...config, ...quantization }, fp8), await openMemory(config, plain)];
    const tokens = [3, 1, 4, 1, 5, 9, 2, 6];
    const [a, b] = await Promise.all(models.map((model) => model.run(tokens, { read: ["**"], logits: "all" })));
    expect(a!.points.filter((point) => !sameBits(a!.get(point), b!.get(point)))).toEqual([]);
    expect(sameBits(a!.logits, b!.logits)).toBe(true);
    const [{ counts, formatBytes }, other] = models.map(describeModel) as [
      ReturnType<typeof describeModel>,
      ReturnType<typeof describeModel>,
    ];
    for (const model of models) await model.close();
    expect(counts).toEqual(other.counts);
    const own = [...fp8].filter(([name]) => !name.startsWith("model.layers.1."));
    const ofFp8 = own.filter(([name, { dtype }]) => dtype === "F8_E4M3" || name.endsWith("_scale_inv"));
    expect(formatBytes?.f8_e4m3).toBe(ofFp8.reduce((sum, [, { bytes }]) => sum + bytes.length, 0));
  });

  it("leaves out the layer for multi-token prediction with its scales", async () => {
    const model = await openMemory({ ...config, ...quantization }, checkpoints().fp8);
    const { ignored } = model.bindings;
    await model.close();
    expect(ignored.map(({ tensor }) => tensor).toSorted()).toEqual([
      "model.layers.1.eh_proj.weight",
      "model.layers.1.eh_proj.weight_scale_inv",
      "model.layers.1.enorm.weight",
    ]);
  });
});
