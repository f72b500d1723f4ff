/** GGUF models: the same numbers as from safetensors, the official ones, and configs in GGUF's words. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openGguf } from "../src/checkpoint/gguf.ts";
import type { GgufValue } from "../src/checkpoint/gguf-values.ts";
import { encodeGguf, type GgufTensor } from "../src/checkpoint/write-gguf.ts";
import { type Model, openModel, reference } from "../src/index.ts";
import { readConfig } from "../src/run/config.ts";
import { COMPUTE_FORMATS, isBlockFormat, type PlainFormat } from "../src/tensor/format.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { adjacentPairs } from "../src/weights/schema.ts";
import { concat, MemoryFolder } from "./checkpoint-files.ts";
import { fixture, goldenTokens, readExpected, readTensors } from "./support/fixtures.ts";
import { ggufFile, TENSOR, tensor, text, u32 as u32Bytes, VALUE, value } from "./support/gguf-files.ts";
import { open } from "./support/open.ts";
import { deviation, sameBits } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };
const bytesOf = (path: string) => new Uint8Array(readFileSync(fixture(path)));

async function using<T>(model: Model, use: (model: Model) => Promise<T>): Promise<T> {
  return use(model).finally(() => model.close());
}

describe.each(["gpt2", "llama", "llama-bias-headdim-tied", "qwen2-tied", "qwen3"])("%s.gguf", (name) => {
  it("has the config of config.json, and gives every point the same bits as model.safetensors", async () => {
    const tokens = await goldenTokens(name);
    const paths = [fixture(`goldens/${name}`), fixture(`gguf/${name}.gguf`)];
    const [fromSafetensors, fromGguf] = await Promise.all(
      paths.map(async (path) =>
        using(await open(path), async (model) => ({
          config: model.config,
          points: model.points().map((point) => point.name),
          run: await model.run(tokens, { read: ["**"], logits: "all" }),
        })),
      ),
    );
    // Whether the file ties the embedding follows from its tensors here, and from a flag there.
    expect({ ...fromGguf!.config, tiedEmbedding: 0 }).toEqual({ ...fromSafetensors!.config, tiedEmbedding: 0 });
    expect(fromGguf!.points).toEqual(fromSafetensors!.points);
    const different = fromGguf!.points.filter(
      (point) => !sameBits(fromGguf!.run.get(point), fromSafetensors!.run.get(point)),
    );
    expect(different).toEqual([]);
    expect(sameBits(fromGguf!.run.logits, fromSafetensors!.run.logits)).toBe(true);
  });
});

describe("llama3-rope.gguf", () => {
  it("divides the rotary frequencies by rope_freqs.weight, as transformers' llama3 scaling does", async () => {
    const expected = await readExpected(fixture("goldens/llama3-rope"));
    await using(await open(fixture("gguf/llama3-rope.gguf")), async (model) => {
      const { logits } = await model.run([...expected("tokens").data], { logits: "all" });
      expect(deviation(logits, expected("logits"))).toBeLessThanOrEqual(TOLERANCE.official);
      expect(model.bindings.ignored).toEqual([]);
    });
  });
});

describe("blocks.gguf", () => {
  it.each([20, 5])(
    "gives transformers' logits for what every block format holds, with %d rows at once",
    async (nRows) => {
      const expected = await readTensors(fixture("gguf/blocks.expected.safetensors"));
      const tokens = [...expected.get("tokens")!.data].slice(0, nRows);
      await using(await open(fixture("gguf/blocks.gguf")), async (model) => {
        const { logits } = await model.run(tokens, { logits: "all" });
        const [, vocabSize] = expected.get("logits")!.shape;
        const official = new Tensor([nRows, vocabSize!], expected.get("logits")!.data.slice(0, nRows * vocabSize!));
        expect(deviation(logits, official)).toBeLessThanOrEqual(TOLERANCE.official);
        const formats = new Set(Array.from(model.bindings.weights.values(), ({ dtype }) => dtype));
        expect([...formats].toSorted()).toEqual(["f32", ...COMPUTE_FORMATS.filter(isBlockFormat)].toSorted());
      });
    },
  );
});

describe("the rows of q and k", () => {
  it("are found where Llama's files hold them, and nowhere else", async () => {
    await using(await open(fixture("gguf/llama-bias-headdim-tied.gguf")), async ({ bindings: { weights } }) => {
      const permuted = [...weights].filter(([, { storedRows }]) => storedRows !== undefined).map(([name]) => name);
      const ofLayers = ["wQ", "wK", "bQ", "bK"].flatMap((name) => [0, 1].map((i) => `blocks.${i}.attn.${name}`));
      expect(permuted.toSorted()).toEqual(ofLayers.toSorted());
      expect(weights.get("blocks.0.attn.bK")?.storedRows).toEqual(adjacentPairs(12, 2));
    });
  });

  it("lie in adjacent pairs, head by head", () => {
    expect([...adjacentPairs(12, 2)]).toEqual([0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
  });
});

/** llama.gguf with other metadata (undefined takes a key away) and tensors added or replaced. */
async function changed(changes: Readonly<Record<string, GgufValue | undefined>>, added: readonly GgufTensor[] = []) {
  const checkpoint = await openGguf(new MemoryFolder({ "llama.gguf": bytesOf("gguf/llama.gguf") }), "llama.gguf");
  const values = new Map<string, GgufValue>();
  for (const [key, entry] of [...checkpoint.values, ...Object.entries(changes)]) {
    if (entry === undefined) values.delete(key);
    else values.set(key, entry);
  }
  const tensors = new Map<string, GgufTensor>();
  for (const stored of checkpoint.tensors.values()) {
    const numbers = new Float32Array((await checkpoint.read(stored)).buffer);
    tensors.set(stored.name, { ...stored, type: stored.dtype as PlainFormat, rows: () => [numbers] });
  }
  for (const extra of added) tensors.set(extra.name, extra);
  return concat(...(await Array.fromAsync(encodeGguf(values, [...tensors.values()]))));
}

const openBytes = (bytes: Uint8Array, ignore: string[] = [], beside: Record<string, Uint8Array> = {}) =>
  openModel({ folder: new MemoryFolder({ "m.gguf": bytes, ...beside }), weightsFile: "m.gguf" }, host, [reference], {
    ignore,
  });

async function configOf(changes: Record<string, GgufValue | undefined>) {
  return using(await openBytes(await changed(changes)), async ({ config }) => config);
}

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });
const string = (value: string): GgufValue => ({ type: "string", value });

describe("the metadata of a GGUF file", () => {
  const json = JSON.parse(readFileSync(fixture("goldens/llama/config.json"), "utf8"));
  const { rope_parameters: _, ...plain } = json;
  const expected = (rope: object) => readConfig({ ...plain, ...rope }, "config.json").config;

  it.each<[string, Record<string, GgufValue | undefined>, object]>([
    ["no scaling", {}, {}],
    ["no scaling by name", { "llama.rope.scaling.type": string("none"), "llama.rope.scaling.factor": f32(4) }, {}],
    ["no frequency base", { "llama.rope.freq_base": undefined }, {}],
    [
      "linear scaling",
      { "llama.rope.scaling.type": string("linear"), "llama.rope.scaling.factor": f32(4) },
      { rope_scaling: { rope_type: "linear", factor: 4 } },
    ],
    [
      "linear scaling by its old key",
      { "llama.rope.scale_linear": f32(2.5) },
      { rope_scaling: { rope_type: "linear", factor: 2.5 } },
    ],
    [
      "YaRN",
      {
        "llama.rope.scaling.type": string("yarn"),
        "llama.rope.scaling.factor": f32(4),
        "llama.rope.scaling.original_context_length": u32(16),
        "llama.rope.scaling.yarn_beta_fast": f32(1.2),
        "llama.rope.scaling.yarn_beta_slow": f32(0.1),
        "llama.rope.scaling.yarn_ext_factor": f32(1),
      },
      {
        rope_scaling: {
          rope_type: "yarn",
          factor: 4,
          original_max_position_embeddings: 16,
          beta_fast: 1.2,
          beta_slow: 0.1,
        },
      },
    ],
  ])("reads as config.json: %s", async (_, changes, rope) => {
    expect({ ...(await configOf(changes)), tiedEmbedding: 0 }).toEqual({ ...expected(rope), tiedEmbedding: 0 });
  });

  it("may leave out what llama.cpp takes for granted, and say what is so anyway", async () => {
    const changes = { "llama.expert_count": u32(0), "llama.attention.key_length": u32(6), "general.x": u32(1) };
    const absent = { "llama.vocab_size": undefined, "llama.rope.dimension_count": undefined };
    expect(await configOf({ ...changes, ...absent, "x.y": u32(1) })).toEqual(await configOf({}));
    const multiHead = await configOf({ "llama.attention.head_count_kv": undefined }).catch((error) => error);
    expect(multiHead.message).toMatch(/blk.0.attn_k.weight: blocks.0.attn.wK needs \[24, 24\]; got \[12, 24\]/);
  });

  it.each<[string, Record<string, GgufValue | undefined>, RegExp]>([
    ["no architecture", { "general.architecture": undefined }, /general.architecture: the supported .* got nothing/],
    [
      "another architecture",
      { "general.architecture": string("mamba") },
      /the supported architectures are gpt2, llama, qwen2, .*; got "mamba"/,
    ],
    ["an adapter", { "general.type": string("adapter") }, /general.type: the file must hold a "model"; got "adapter"/],
    [
      "a missing size",
      { "llama.block_count": undefined },
      /m.gguf: llama.block_count: the metadata must hold this key/,
    ],
    ["a wrong size", { "llama.block_count": f32(1.5) }, /llama.block_count: must be a positive integer; got 1.5/],
    [
      "a missing epsilon",
      { "llama.attention.layer_norm_rms_epsilon": undefined },
      /rms_epsilon: the metadata must hold/,
    ],
    [
      "an unknown key",
      { "llama.tempo": u32(1) },
      /m.gguf: llama.tempo: every key must be understood.* got 1. .*"llama.tempo"/,
    ],
    ["experts of which none is used", { "llama.expert_count": u32(8) }, /llama.expert_used_count: the metadata must/],
    ["half-rotated heads", { "llama.rope.dimension_count": u32(2) }, /llama.rope.dimension_count: every key/],
    [
      "values of another size",
      { "llama.attention.value_length": u32(8) },
      /llama.attention.value_length: every key must be understood/,
    ],
    [
      "longrope without its factors",
      { "llama.rope.scaling.type": string("longrope"), "llama.rope.scaling.factor": f32(4) },
      /m.gguf: llama.rope.scaling: short_factor: must be 3 positive numbers; got nothing/,
    ],
    ["YaRN with its own magnitude", { "llama.rope.scaling.yarn_attn_factor": f32(1.5) }, /yarn_attn_factor: every key/],
  ])("is refused: %s", async (_, changes, message) => {
    await expect(changed(changes).then((bytes) => openBytes(bytes))).rejects.toThrow(message);
  });

  it("may hold keys that are not understood, where they are to be ignored", async () => {
    await using(await openBytes(await changed({ "llama.tempo": u32(1) }), ["llama.tempo"]), async (model) => {
      expect(model.ignoredKeys).toEqual(["llama.tempo"]);
    });
  });
});

describe("the tensors of a GGUF file", () => {
  const factors = (length: number, type: PlainFormat = "f32"): GgufTensor => ({
    name: "rope_freqs.weight",
    shape: [length],
    type,
    rows: () => [new Float32Array(length).fill(2)],
  });

  it.each<[string, Promise<Uint8Array>, RegExp]>([
    [
      "one that no weight refers to",
      changed({}, [{ ...factors(3), name: "blk.0.extra" }]),
      /blk.0.extra: every tensor of the checkpoint must be used/,
    ],
    ["factors of too few frequencies", changed({}, [factors(2)]), /llama.rope.scaling: factors: must be 3 positive/],
    ["factors in f16", changed({}, [factors(3, "f16")]), /factors of rotary frequencies must be f32.* got f16 \[3\]/],
    [
      "factors beside a scaling",
      changed({ "llama.rope.scaling.factor": f32(2) }, [factors(3)]),
      /rope_freqs.weight or by the metadata, not by both; got both, linear by 2 here/,
    ],
  ])("are refused: %s", async (_, bytes, message) => {
    await expect(bytes.then((bytes) => openBytes(bytes))).rejects.toThrow(message);
  });

  it("are refused by the name of their format where it is not decoded yet", async () => {
    const sizes = {
      block_count: 1,
      context_length: 8,
      embedding_length: 256,
      feed_forward_length: 256,
      "attention.head_count": 4,
    };
    const file = ggufFile({
      values: [
        value("general.architecture", VALUE.string, text("gpt2")),
        value("gpt2.attention.layer_norm_epsilon", VALUE.f32, new Uint8Array(Float32Array.of(1e-5).buffer)),
        ...Object.entries(sizes).map(([key, size]) => value(`gpt2.${key}`, VALUE.u32, u32Bytes(size))),
      ],
      tensors: [tensor("token_embd.weight", [256, 2], TENSOR.iq2_xs, 0)],
      nDataBytes: 148,
    });
    await expect(openBytes(file)).rejects.toThrow(
      /token_embd.weight: weights must be f32, f16, bf16, q8_0, .*; got iq2_xs. IQ2_XS is not supported yet/,
    );
  });
});

describe("a GGUF file's text", () => {
  it("needs a tokenizer.json beside it, and ends at the metadata's end-of-sequence token", async () => {
    const bytes = await changed({ "tokenizer.ggml.eos_token_id": u32(2) });
    await using(await openBytes(bytes), async (model) => {
      expect(model.hasTokenizer).toBe(false);
      expect(model.eosTokens).toEqual([2]);
      await expect(async () => model.run("hello")).rejects.toThrow(/needs a tokenizer.json beside the weights/);
    });
    const json = new Uint8Array(readFileSync(new URL("../models/stories260K/tokenizer.json", import.meta.url)));
    await using(await openBytes(bytes, [], { "tokenizer.json": json }), async (model) => {
      expect(model.hasTokenizer).toBe(true);
    });
  });
});

/** Files of llama.cpp's converter and quantiser, with `{model}.expected.safetensors` beside them. */
const { GOLGI_GGUF: elsewhere } = process.env;
const MODELS = [
  "deepseek-v2",
  "deepseek-v3",
  "gpt2",
  "llama",
  "llama3-rope",
  "qwen2",
  "qwen3",
  "gemma2",
  "gemma3",
  "phi3",
  "olmo2",
  "mixtral",
  "olmoe",
  "qwen2-moe",
  "qwen3-moe",
  "gpt-oss",
];
/**
 * What the config.json of these models says and GGUF cannot, as an edit that comes to the same: scores are scaled by
 * 1/√40, where llama.cpp takes 1/√headDim, which is 1/√32, for all models of these families but the largest.
 */
const SCORE_SCALE = [{ at: "blocks.*.attn.rotQ", scale: Math.sqrt(32 / 40) }];
const UNSAID: Readonly<Record<string, typeof SCORE_SCALE>> = { gemma2: SCORE_SCALE, gemma3: SCORE_SCALE };

const cases = (elsewhere === undefined ? [] : readdirSync(elsewhere))
  .map((file) => file.split("."))
  .filter(([model = "", , end]) => end === "gguf" && MODELS.includes(model));

if (cases.length > 0) {
  describe("in GOLGI_GGUF", () => {
    it.each(cases)("%s.%s gives transformers' logits for the numbers that it holds", async (name, format) => {
      const expected = await readTensors(`${elsewhere}/${name}.expected.safetensors`);
      await using(await open(`${elsewhere}/${name}.${format}.gguf`), async (model) => {
        const edits = UNSAID[name] ?? [];
        const { logits } = await model.run([...expected.get("tokens")!.data], { logits: "all", edits });
        expect(deviation(logits, expected.get(`logits.${format}`)!)).toBeLessThanOrEqual(TOLERANCE.official);
      });
    });
  });
}
