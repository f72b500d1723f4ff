/** Layers with experts from GGUF files: the ways in which these hold all experts of a layer, and what they say of them. */

import { describe, expect, it } from "vitest";
import { openFile } from "../node/files.ts";
import type { GgufValue } from "../src/checkpoint/gguf-values.ts";
import { openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { encodeGguf, type GgufTensor } from "../src/checkpoint/write-gguf.ts";
import { type Model, openModel, reference } from "../src/index.ts";
import { concat, MemoryFolder } from "./checkpoint-files.ts";
import { fixture, goldenTokens } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { sameBits } from "./support/tensors.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });

/** A tensor as a GGUF file takes it, and its rows for putting others together. */
interface Numbers {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^model\.embed_tokens/, "token_embd"],
  [/^model\.norm/, "output_norm"],
  [/^lm_head/, "output"],
  [/^model\.layers\.(\d+)\./, "blk.$1."],
  [/self_attn\.([qkv])_proj/, "attn_$1"],
  [/self_attn\.([qk])_norm/, "attn_$1_norm"],
  [/self_attn\.o_proj/, "attn_output"],
  [/input_layernorm/, "attn_norm"],
  [/post_attention_layernorm/, "ffn_norm"],
  [/mlp\.experts\.(\d+)\.(\w+)_proj/, "ffn_$2.$1"],
  [/mlp\.gate\./, "ffn_gate_inp."],
];

/** The tensors of the golden qwen3-moe under GGUF's names, with each expert by itself: ffn_gate.{e}.weight. */
async function expertByExpert(): Promise<Map<string, Numbers>> {
  const checkpoint = await openSafetensorsFile(await openFile(fixture("goldens/qwen3-moe/model.safetensors")));
  const tensors = new Map<string, Numbers>();
  for (const stored of checkpoint.tensors.values()) {
    const name = NAMES.reduce((text, [pattern, other]) => text.replace(pattern, other), stored.name);
    tensors.set(name, { shape: stored.shape, data: new Float32Array((await checkpoint.read(stored)).buffer) });
  }
  await checkpoint.close();
  return tensors;
}

const N_EXPERTS = 5;

/** [nExperts, out, in] of the experts' matrices, with those of each kind one below the other. */
function stacked(tensors: Map<string, Numbers>, layer: number, kinds: readonly string[]): Numbers {
  const parts = Array.from({ length: N_EXPERTS }, (_, e) =>
    kinds.map((kind) => tensors.get(`blk.${layer}.ffn_${kind}.${e}.weight`)!),
  ).flat();
  const [nRows, nColumns] = parts[0].shape;
  const data = Float32Array.from(parts.flatMap((part) => [...part.data]));
  return { shape: [N_EXPERTS, kinds.length * nRows, nColumns], data };
}

/** Puts the experts of each layer together: each kind in a tensor of its own, or gate and up in one. */
function together(tensors: Map<string, Numbers>, groups: readonly (readonly string[])[]): Map<string, Numbers> {
  const others = [...tensors].filter(([name]) => !/ffn_\w+\.\d/.test(name));
  const stacks = [0, 1].flatMap((layer) =>
    groups.map((kinds) => [`blk.${layer}.ffn_${kinds.join("_")}_exps.weight`, stacked(tensors, layer, kinds)] as const),
  );
  return new Map([...others, ...stacks]);
}

/** The metadata of the golden's config.json. */
const VALUES: Readonly<Record<string, GgufValue>> = {
  block_count: u32(2),
  context_length: u32(64),
  embedding_length: u32(20),
  feed_forward_length: u32(22),
  "attention.head_count": u32(4),
  "attention.head_count_kv": u32(1),
  "attention.key_length": u32(8),
  "attention.value_length": u32(8),
  "attention.layer_norm_rms_epsilon": f32(1e-6),
  "rope.freq_base": f32(1e5),
  expert_count: u32(N_EXPERTS),
  expert_used_count: u32(2),
  expert_feed_forward_length: u32(8),
};

async function openGguf(
  tensors: ReadonlyMap<string, Numbers>,
  changes: Readonly<Record<string, GgufValue | undefined>> = {},
): Promise<Model> {
  const own = Object.entries({ ...VALUES, ...changes }).flatMap(([key, value]): [string, GgufValue][] =>
    value === undefined ? [] : [[`qwen3moe.${key}`, value]],
  );
  const values = new Map<string, GgufValue>([["general.architecture", { type: "string", value: "qwen3moe" }], ...own]);
  const list = [...tensors].map(
    ([name, { shape, data }]): GgufTensor => ({ name, shape, type: "f32", rows: () => [data] }),
  );
  const bytes = concat(...(await Array.fromAsync(encodeGguf(values, list))));
  return openModel({ folder: new MemoryFolder({ "m.gguf": bytes }), weightsFile: "m.gguf" }, host, [reference]);
}

async function logitsOf(model: Model) {
  return (await model.run(await goldenTokens("qwen3-moe"), { logits: "all" }).finally(() => model.close())).logits;
}

describe("the experts of a GGUF file", () => {
  it.each<[string, (tensors: Map<string, Numbers>) => Map<string, Numbers>]>([
    ["each by itself, as older files", (tensors) => tensors],
    ["all together", (tensors) => together(tensors, [["gate"], ["up"], ["down"]])],
    ["all together, gate and up in one tensor", (tensors) => together(tensors, [["gate", "up"], ["down"]])],
  ])("give the same bits as those of model.safetensors: %s", async (_, arranged) => {
    const expected = await logitsOf(await open(fixture("goldens/qwen3-moe"), { backend: "reference" }));
    const logits = await logitsOf(await openGguf(arranged(await expertByExpert())));
    expect(sameBits(logits, expected)).toBe(true);
  });
});

describe("the metadata about experts", () => {
  const known: readonly (readonly [string, GgufValue])[] = [
    ["expert_gating_func", u32(1)],
    ["expert_weights_norm", { type: "bool", value: true }],
    ["expert_weights_scale", f32(1)],
    ["expert_shared_feed_forward_length", u32(0)],
  ];

  it("may say what the family computes anyway", async () => {
    const model = await openGguf(await expertByExpert(), Object.fromEntries(known));
    expect(model.config.sparse).toMatchObject({ nExperts: 5, nExpertsPerToken: 2, dExpert: 8, dShared: 0 });
    await model.close();
  });

  it.each<[string, GgufValue]>([
    ["expert_gating_func", u32(2)],
    ["expert_weights_norm", { type: "bool", value: false }],
    ["expert_weights_scale", f32(2.5)],
    ["expert_group_count", u32(2)],
    ["expert_shared_feed_forward_length", u32(8)],
  ])("must not say another %s", async (key, value) => {
    await expect(openGguf(await expertByExpert(), { [key]: value })).rejects.toThrow(
      `qwen3moe.${key}: every key must be understood`,
    );
  });

  it("may leave out the size of an expert, which then is its share of feed_forward_length", async () => {
    const changes = { expert_feed_forward_length: undefined, feed_forward_length: u32(16) };
    const model = await openGguf(await expertByExpert(), changes);
    expect(model.config.sparse!.dExpert).toBe(8);
    await model.close();
  });

  it("must not have a token go to more experts than there are", async () => {
    await expect(openGguf(await expertByExpert(), { expert_used_count: u32(6) })).rejects.toThrow(
      /a token must go to no more experts than a layer has.* got 6 of 5 in 2 layers/,
    );
  });
});
