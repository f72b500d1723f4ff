import { describe, expect, it } from "vitest";
import { ARCHITECTURES } from "../src/architectures/index.ts";
import { openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { sharedTensors } from "../src/convert/shares.ts";
import { CheckpointError } from "../src/errors.ts";
import { readConfig } from "../src/run/config.ts";
import { DTYPE_SIZE_BYTES, type Dtype, type Precision } from "../src/tensor/dtype.ts";
import { numel } from "../src/tensor/shape.ts";
import { type Binding, type Bindings, type BindOptions, bindWeights, hasWeight } from "../src/weights/bind.ts";
import { decodeWeight } from "../src/weights/decode.ts";
import { boundTree, groupName, namedWeights, stored, type WeightSpec, type WeightTree } from "../src/weights/schema.ts";
import { concat, MemorySource, safetensors } from "./checkpoint-files.ts";

interface TestTensor {
  readonly shape: readonly number[];
  readonly dtype?: Dtype;
  readonly bytes?: Uint8Array;
}

/** A safetensors file in memory; tensors hold zeros unless they say otherwise. */
async function checkpointOf(tensors: Readonly<Record<string, TestTensor>>) {
  const header: Record<string, object> = {};
  const parts: Uint8Array[] = [];
  let begin = 0;
  for (const [name, { shape, dtype = "f32", bytes }] of Object.entries(tensors)) {
    const data = bytes ?? new Uint8Array(numel(shape) * DTYPE_SIZE_BYTES[dtype]);
    header[name] = { dtype: dtype.toUpperCase(), shape, data_offsets: [begin, begin + data.length] };
    begin += data.length;
    parts.push(data);
  }
  const source = new MemorySource("model.safetensors", concat(safetensors(JSON.stringify(header)), ...parts));
  return { source, checkpoint: await openSafetensorsFile(source) };
}

const NOTHING: BindOptions = { prefix: "model.", ignored: [] };

async function bind(
  tree: WeightTree,
  tensors: Readonly<Record<string, TestTensor>>,
  options: BindOptions = NOTHING,
): Promise<Bindings> {
  return bindWeights(namedWeights(tree), (await checkpointOf(tensors)).checkpoint, options);
}

const tree = {
  embed: stored("model.embed_tokens.weight", [5, 4]),
  blocks: [{ mlp: { wUp: stored("model.layers.0.mlp.up_proj.weight", [6, 4]) } }],
};
const files = {
  "model.embed_tokens.weight": { shape: [5, 4] },
  "model.layers.0.mlp.up_proj.weight": { shape: [6, 4] },
};

describe("bindWeights", () => {
  it("finds each weight under its canonical name", async () => {
    const { weights, ignored } = await bind(tree, files);
    expect([...weights.keys()]).toEqual(["embed", "blocks.0.mlp.wUp"]);
    expect(weights.get("blocks.0.mlp.wUp")).toMatchObject({
      shape: [6, 4],
      dtype: "f32",
      transposed: false,
      pieces: [{ firstRow: 0, nRows: 6, from: 0, step: 1 }],
    });
    expect(ignored).toEqual([]);
  });

  it("finds tensors without the prefix that some files leave out, or with one that others add", async () => {
    const bare = { "embed_tokens.weight": { shape: [5, 4] }, "layers.0.mlp.up_proj.weight": { shape: [6, 4] } };
    const { weights } = await bind(tree, bare);
    expect(weights.get("embed")?.pieces[0]?.tensor.name).toBe("embed_tokens.weight");
    const { checkpoint } = await checkpointOf({ "transformer.wte.weight": { shape: [1] } });
    expect(hasWeight(checkpoint, stored("wte.weight", [1]), "transformer.")).toBe(true);
    expect(hasWeight(checkpoint, stored("wpe.weight", [1]), "transformer.")).toBe(false);
  });

  it("refuses both spellings in one file, of which one would be unused", async () => {
    const both = { ...files, "embed_tokens.weight": { shape: [5, 4] } };
    await expect(bind(tree, both)).rejects.toThrow(/embed_tokens.weight: every tensor of the checkpoint must be used/);
  });

  it("names a missing tensor, what it is, and the nearest that is there", async () => {
    const renamed = {
      ...files,
      "model.layers.0.mlp.up_proj.weight": undefined,
      "model.layers.0.mlp.u_proj.weight": { shape: [6, 4] },
    };
    const given = Object.fromEntries(Object.entries(renamed).filter(([, t]) => t !== undefined)) as Record<
      string,
      TestTensor
    >;
    const refusal = expect(bind(tree, given)).rejects;
    await refusal.toThrow(
      "model.safetensors: model.layers.0.mlp.up_proj.weight: the checkpoint must hold this tensor, it is " +
        "blocks.0.mlp.wUp [6, 4]; got no tensor of that name. Did you mean model.layers.0.mlp.u_proj.weight?",
    );
    await expect(bind(tree, given)).rejects.toThrow(CheckpointError);
  });

  it.each<[string, readonly number[]]>([
    ["too few rows", [5, 4]],
    ["too many rows", [7, 4]],
    ["other columns", [6, 5]],
    ["the two sizes exchanged", [4, 6]],
    ["another number of axes", [6, 4, 1]],
    ["the right number of elements in one axis", [24]],
    ["a single number", []],
  ])("refuses a tensor with %s", async (_, shape) => {
    const misshapen = { ...files, "model.layers.0.mlp.up_proj.weight": { shape } };
    await expect(bind(tree, misshapen)).rejects.toThrow(
      "model.safetensors: model.layers.0.mlp.up_proj.weight: blocks.0.mlp.wUp needs [6, 4]; " +
        `got [${shape.join(", ")}]. The config and the weights do not belong together, or one of them is damaged.`,
    );
  });

  it.each<Dtype>(["f64", "i32", "u8", "f8_e5m2", "bool"])("refuses %s, which is not computed with", async (dtype) => {
    const wrong = { ...files, "model.embed_tokens.weight": { shape: [5, 4], dtype } };
    await expect(bind(tree, wrong)).rejects.toThrow(
      `model.safetensors: model.embed_tokens.weight: weights must be f32, f16, bf16; got ${dtype}.`,
    );
  });

  it.each<Dtype>(["f32", "f16", "bf16"])("takes %s", async (dtype) => {
    const { weights } = await bind(tree, { ...files, "model.embed_tokens.weight": { shape: [5, 4], dtype } });
    expect(weights.get("embed")?.dtype).toBe(dtype);
  });

  it("refuses a tensor that no weight uses, and counts them", async () => {
    const surplus = { ...files, "lm_head.weight": { shape: [5, 4] }, "model.norm.weight": { shape: [4] } };
    await expect(bind(tree, surplus)).rejects.toThrow(
      "model.safetensors: lm_head.weight: every tensor of the checkpoint must be used by the model; " +
        "got 2 that no weight of this architecture refers to.",
    );
  });

  it("leaves out a tensor that is known to be superfluous, with the reason", async () => {
    const surplus = { ...files, "layers.0.rotary_emb.inv_freq": { shape: [2], dtype: "f64" as const } };
    const ignored = [{ pattern: /inv_freq$/, reason: "follows from the config" }];
    const bindings = await bind(tree, surplus, { ...NOTHING, ignored });
    expect(bindings.ignored).toEqual([{ tensor: "layers.0.rotary_emb.inv_freq", reason: "follows from the config" }]);
  });

  it("refuses a shared tensor that has rows left over", async () => {
    const [q, k] = [stored("qkv", [2, 4], { rows: [0, 2] }), stored("qkv", [2, 4], { rows: [2, 4] })];
    expect((await bind({ q, k }, { qkv: { shape: [4, 4] } })).weights.get("k")?.pieces).toMatchObject([
      { from: 2, nRows: 2 },
    ]);
    const refusal = /qkv: every row of a tensor must belong to a weight; got \[6, 4\], of which 2 are left over/;
    await expect(bind({ q, k }, { qkv: { shape: [6, 4] } })).rejects.toThrow(refusal);
    await expect(bind({ q, k }, { qkv: { shape: [3, 4] } })).rejects.toThrow(
      /k needs \[2, 4\], of which rows 2 to 4; got \[3, 4\]/,
    );
  });
});

describe("the names of weights", () => {
  it("are their places in the tree, a shared weight having that of the first", () => {
    const shared = stored("e", [2, 2]);
    const bias = stored("b", [2]);
    const specs = namedWeights({
      embed: shared,
      blocks: [{ a: { w: bias } }, { a: { w: undefined } }],
      unembed: shared,
    });
    expect([...specs]).toEqual([
      ["embed", shared],
      ["blocks.0.a.w", bias],
    ]);
  });

  it("give each group the last part of its path, and shared weights one value", () => {
    const shared = stored("e", [2, 2]);
    const bound = boundTree(
      { embed: shared, blocks: [{ attn: { wQ: stored("q", [2, 2]) } }], unembed: shared },
      (name, { shape }) => {
        return { type: "float", shape, from: { kind: "weight", name } };
      },
    ) as { embed: object; blocks: { attn: { wQ: object } }[]; unembed: object };
    expect(bound.embed).toBe(bound.unembed);
    expect(bound.blocks[0]?.attn.wQ).toEqual({
      type: "float",
      shape: [2, 2],
      from: { kind: "weight", name: "blocks.0.attn.wQ" },
    });
    expect(groupName(bound.blocks[0]!.attn)).toBe("attn");
  });
});

const llama = {
  ...{ model_type: "llama", vocab_size: 5, hidden_size: 4, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ intermediate_size: 6, max_position_embeddings: 8 },
};
const gpt2 = { model_type: "gpt2", vocab_size: 5, n_embd: 4, n_layer: 1, n_head: 2, n_positions: 8 };

/** Binds a family's weights to a file that holds all of them, but for what `change` does to it. */
async function bindFamily(json: object, change: (tensors: Record<string, TestTensor>) => void = () => {}) {
  const { architecture, config } = readConfig(json, "config.json");
  const all = namedWeights(architecture.weights(config, () => true));
  const moves = [...all.values()].map(({ shape, huggingFace }) => ({
    from: { shape } as Binding,
    to: huggingFace[0]!,
  }));
  const tensors: Record<string, TestTensor> = {};
  for (const { name, shape } of sharedTensors(moves)) tensors[name] = { shape };
  change(tensors);
  const { checkpoint } = await checkpointOf(tensors);
  const has = (spec: WeightSpec) => hasWeight(checkpoint, spec, architecture.prefix);
  const { prefix, ignoredTensors: ignored } = architecture;
  return bindWeights(namedWeights(architecture.weights(config, has)), checkpoint, { prefix, ignored });
}

describe("tied embeddings", () => {
  it("leave an lm_head unused, and say so", async () => {
    const head = { "lm_head.weight": { shape: [5, 4] } };
    for (const json of [{ ...llama, tie_word_embeddings: true }, gpt2]) {
      expect([...(await bindFamily(json)).weights.keys()]).not.toContain("unembed");
      const withHead = await bindFamily(json, (tensors) => Object.assign(tensors, head));
      expect([...withHead.weights.keys()]).not.toContain("unembed");
      expect(withHead.ignored).toEqual([{ tensor: "lm_head.weight", reason: "tied to the embedding" }]);
    }
  });

  it("follow from a missing lm_head, whatever the config says", async () => {
    expect([...(await bindFamily(llama)).weights.keys()]).toContain("unembed");
    const without = await bindFamily(llama, (tensors) => delete tensors["lm_head.weight"]);
    expect([...without.weights.keys()]).not.toContain("unembed");
    expect(without.ignored).toEqual([]);
  });
});

describe("every family", () => {
  const grouped = { ...llama, num_key_value_heads: 2 };
  const routed = { ...grouped, num_experts_per_tok: 2 };
  const sparse = { ...routed, moe_intermediate_size: 3 };
  const latent = {
    ...{ ...sparse, n_routed_experts: 4, n_shared_experts: 1, n_group: 2, topk_group: 1, first_k_dense_replace: 0 },
    ...{ q_lora_rank: 3, kv_lora_rank: 4, qk_nope_head_dim: 2, qk_rope_head_dim: 2, v_head_dim: 3 },
  };
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 2, truncate: false };
  const configs: Record<string, object> = {
    gpt2,
    llama,
    qwen2: { ...grouped, model_type: "qwen2" },
    qwen3: { ...grouped, model_type: "qwen3" },
    gemma: { ...grouped, model_type: "gemma" },
    gemma2: { ...grouped, model_type: "gemma2" },
    gemma3: { ...grouped, model_type: "gemma3_text" },
    phi3: { ...grouped, model_type: "phi3" },
    olmo2: { ...grouped, model_type: "olmo2" },
    mixtral: { ...routed, model_type: "mixtral", num_local_experts: 3 },
    olmoe: { ...routed, model_type: "olmoe", num_experts: 3 },
    "qwen2-moe": { ...sparse, model_type: "qwen2_moe", num_experts: 3, shared_expert_intermediate_size: 4 },
    "qwen3-moe": { ...sparse, model_type: "qwen3_moe", num_experts: 3 },
    "gpt-oss": { ...routed, model_type: "gpt_oss", num_local_experts: 3, rope_scaling: yarn },
    "deepseek-v2": { ...latent, model_type: "deepseek_v2" },
    "deepseek-v3": { ...latent, model_type: "deepseek_v3" },
  };

  it.each(ARCHITECTURES)("$name: binds a complete file without its prefix as with it", async ({ name, prefix }) => {
    const whole = await bindFamily(configs[name]!);
    const bare = await bindFamily(configs[name]!, (tensors) => {
      for (const [key, tensor] of Object.entries(tensors)) {
        delete tensors[key];
        tensors[key.replace(prefix, "")] = tensor;
      }
    });
    expect([...bare.weights.keys()]).toEqual([...whole.weights.keys()]);
  });

  it.each(ARCHITECTURES)("$name: refuses a file without any one of its tensors, but for lm_head", async ({ name }) => {
    const bindings = [...(await bindFamily(configs[name]!)).weights.values()];
    const names = new Set(bindings.flatMap(({ pieces }) => pieces.map(({ tensor }) => tensor.name)));
    names.delete("lm_head.weight");
    for (const missing of names) {
      const refusal = expect(bindFamily(configs[name]!, (tensors) => delete tensors[missing])).rejects;
      await refusal.toThrow(`${missing}: the checkpoint must hold this tensor`);
    }
  });

  it("gpt2: leaves the causal masks of old files unused", async () => {
    const { ignored } = await bindFamily(gpt2, (tensors) => {
      tensors["transformer.h.0.attn.bias"] = { shape: [1, 1, 8, 8], dtype: "u8" };
      tensors["transformer.h.0.attn.masked_bias"] = { shape: [] };
    });
    expect(ignored.map(({ tensor }) => tensor.replace(/.*attn\./, ""))).toEqual(["bias", "masked_bias"]);
  });

  it("gpt2: refuses a fused projection that is wider than q, k and v", async () => {
    const wider = bindFamily(gpt2, (tensors) => (tensors["transformer.h.0.attn.c_attn.weight"] = { shape: [4, 16] }));
    await expect(wider).rejects.toThrow(/c_attn.weight: every row of a tensor must belong to a weight/);
  });
});

/** Little-endian bytes of numbers in a format; those here are exact in all of them. */
function encode(dtype: "f32" | "f16" | "bf16", numbers: readonly number[]): Uint8Array {
  if (dtype === "f32") return new Uint8Array(Float32Array.from(numbers).buffer);
  if (dtype === "f16") return new Uint8Array(Float16Array.from(numbers).buffer);
  return new Uint8Array(new Uint16Array(Float32Array.from(numbers).buffer).filter((_, i) => i % 2 === 1).buffer);
}

describe("decodeWeight", () => {
  const numbers = (length: number) => Array.from({ length }, (_, i) => i - 5);
  const cases = (["f32", "f16", "bf16"] as const).flatMap((dtype) =>
    (["f32", "f64"] as const).map((precision): [typeof dtype, Precision] => [dtype, precision]),
  );

  async function decodeParts(
    parts: Record<string, ReturnType<typeof stored>>,
    shape: number[],
    dtype: "f32" | "f16" | "bf16",
    precision: Precision,
  ) {
    const bytes = encode(dtype, numbers(numel(shape)));
    const { checkpoint, source } = await checkpointOf({ w: { shape, dtype, bytes } });
    const { weights } = bindWeights(namedWeights(parts), checkpoint, NOTHING);
    source.nBytesRead = 0;
    const decoded: number[][] = [];
    for (const binding of weights.values()) {
      const weight = await decodeWeight(binding, checkpoint, precision);
      expect(weight).toBeInstanceOf(precision === "f32" ? Float32Array : Float64Array);
      decoded.push([...weight]);
    }
    return { decoded, nBytesRead: source.nBytesRead };
  }

  it.each(cases)("gives the rows of %s in %s, reading no others", async (dtype, precision) => {
    const parts = { a: stored("w", [1, 4], { rows: [0, 1] }), b: stored("w", [2, 4], { rows: [1, 3] }) };
    const { decoded, nBytesRead } = await decodeParts(parts, [3, 4], dtype, precision);
    expect(decoded).toEqual([numbers(12).slice(0, 4), numbers(12).slice(4)]);
    expect(nBytesRead).toBe(12 * DTYPE_SIZE_BYTES[dtype]);
  });

  it.each(cases)(
    "gives the thirds of GPT-2's fused projection, stored [in, out] in %s, in %s",
    async (dtype, precision) => {
      const third = (part: number) => stored("w", [2, 2], { transposed: true, rows: [2 * part, 2 * part + 2] });
      const { decoded } = await decodeParts({ q: third(0), k: third(1), v: third(2) }, [2, 6], dtype, precision);
      // Stored rows: −5 to 0, then 1 to 6. Outputs are columns.
      expect(decoded).toEqual([
        [-5, 1, -4, 2],
        [-3, 3, -2, 4],
        [-1, 5, 0, 6],
      ]);
    },
  );

  it.each(cases)("transposes what is not square: %s in %s", async (dtype, precision) => {
    const { decoded } = await decodeParts({ w: stored("w", [3, 2], { transposed: true }) }, [2, 3], dtype, precision);
    expect(decoded).toEqual([[-5, -2, -4, -1, -3, 0]]);
  });
});
