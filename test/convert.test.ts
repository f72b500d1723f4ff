/** Converting models: against files that PyPI's gguf wrote, and the same numbers everywhere after any round trip. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { locateModel } from "../node/model-files.ts";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { type ConvertType, type ModelFiles, openModel, reference } from "../src/index.ts";
import { MemoryFolder, utf8 } from "./checkpoint-files.ts";
import {
  contents,
  converted,
  ggufFixture,
  ggufOf,
  golden,
  openGgufBytes,
  toFolder,
  toGguf,
  weightsOf,
} from "./support/conversions.ts";
import { fixture, goldenNames, goldenTokens, readTensors, stories260K } from "./support/fixtures.ts";
import { deviation, sameBits } from "./support/tensors.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

/** Written by PyPI's gguf from the goldens of the same names. */
const OFFICIAL = ["gpt2", "llama", "llama-bias-headdim-tied", "llama3-rope", "qwen2-tied", "qwen3"];
const official = (name: string) => openGgufBytes(new Uint8Array(readFileSync(fixture(`gguf/${name}.gguf`))));

const stories = async (): Promise<ModelFiles> => ({ folder: await openFolder(stories260K) });

/** The golden "llama" with these keys in its config, and without those that are undefined. */
async function llamaWith(keys: object, changeWeights: (data: Float32Array, name: string) => void = () => {}) {
  const config = JSON.parse(readFileSync(fixture("goldens/llama/config.json"), "utf8"));
  const tensors = await readTensors(fixture("goldens/llama/model.safetensors"));
  const changed = Array.from(tensors, ([name, { shape, data }]) => {
    const copy = Float32Array.from(data);
    changeWeights(copy, name);
    return { name, shape, data: copy };
  });
  const files = {
    "config.json": utf8(JSON.stringify({ ...config, ...keys })),
    "model.safetensors": encodeSafetensors(changed),
  };
  return { folder: new MemoryFolder(files) };
}

async function runs(files: ModelFiles, tokens: readonly number[], read: readonly string[]) {
  const model = await openModel(files, host, [reference]);
  return model.run(tokens, { read, logits: "all" }).finally(() => model.close());
}

describe.each(OFFICIAL)("%s", (name) => {
  it("becomes the tensors that PyPI's gguf writes, byte for byte", async () => {
    expect(await contents(await ggufOf(await golden(name)))).toEqual(await contents(await official(name)));
  });

  it("becomes metadata that say all that the official file says, in the same types", async () => {
    const { values } = await ggufOf(await golden(name), { name });
    expect(Object.fromEntries(values)).toMatchObject(Object.fromEntries((await official(name)).values));
  });

  it("gives the same logits, neurons and heads' queries at the same addresses as GGUF", async () => {
    const points = [0, 1].flatMap((i) => [`blocks.${i}.mlp.post`, `blocks.${i}.attn.q`]);
    const tokens = await goldenTokens(name);
    const before = await runs(await golden(name), tokens, points);
    const after = await runs(await toGguf(await golden(name)), tokens, points);
    // The factors of llama3's rotary frequencies are float32 in a file.
    const limit = name === "llama3-rope" ? 1e-5 : 0;
    for (const point of points)
      expect(deviation(after.get(point), before.get(point)), point).toBeLessThanOrEqual(limit);
    expect(deviation(after.logits, before.logits)).toBeLessThanOrEqual(limit);
  });

  it("comes back bit for bit: GGUF through a folder, and a folder through GGUF", async () => {
    const first = await ggufFixture(name);
    expect(await contents(await ggufOf(await toFolder(first)))).toEqual(await contents(await ggufOf(first)));
    const folder = await toFolder(await golden(name));
    expect(await weightsOf(await toFolder(await toGguf(folder)))).toEqual(await weightsOf(folder));
  });

  it("becomes the same GGUF file from itself", async () => {
    const once = (await converted(await golden(name))).files["model.gguf"];
    const twice = (await converted(await toGguf(await golden(name)))).files["model.gguf"];
    expect(Buffer.from(twice).equals(Buffer.from(once))).toBe(true);
  });
});

describe("a folder from a folder", () => {
  it.each(goldenNames)("computes the same: %s", async (name) => {
    const tokens = await goldenTokens(name);
    const before = await runs(await golden(name), tokens, []);
    const after = await runs(await toFolder(await golden(name)), tokens, []);
    expect(sameBits(after.logits, before.logits)).toBe(true);
  });

  it("keeps config.json but for the type, and the files about text", async () => {
    const { files } = await converted(await stories(), { format: "safetensors", type: "bf16" });
    const config = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));
    const { torch_dtype, dtype, ...rest } = config(readFileSync(`${stories260K}/config.json`));
    expect([torch_dtype, dtype]).toContain("float32");
    expect(config(files["config.json"])).toMatchObject(rest);
    expect(Object.values(config(files["config.json"]))).toContain("bfloat16");
    for (const name of ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]) {
      expect(Buffer.from(files[name]).equals(readFileSync(`${stories260K}/${name}`)), name).toBe(true);
    }
  });
});

describe("types", () => {
  const typesOf = async (type: ConvertType, files: ModelFiles) => {
    const { tensors, values } = await ggufOf(files, { type });
    const types = Object.fromEntries(Array.from(tensors.values(), ({ name, dtype }) => [name, dtype]));
    return { types, fileType: values.get("general.file_type")?.value };
  };

  it.each([
    ["f32", 0],
    ["f16", 1],
    ["bf16", 32],
  ] as const)("%s is that of matrices; vectors and positions stay f32", async (type, fileType) => {
    const found = await typesOf(type, await golden("gpt2"));
    expect(found.fileType).toBe(fileType);
    expect(found.types).toMatchObject({
      "token_embd.weight": type,
      "position_embd.weight": "f32",
      "blk.0.attn_norm.weight": "f32",
      "blk.0.attn_qkv.weight": type,
      "blk.0.attn_qkv.bias": "f32",
    });
  });

  it("q8_0 leaves rows that are no whole blocks in f16, and says so", async () => {
    const { types, fileType } = await typesOf("q8_0", await stories());
    expect(fileType).toBe(7);
    expect(types).toMatchObject({ "blk.0.attn_q.weight": "q8_0", "token_embd.weight": "q8_0" });
    expect(types).toMatchObject({ "blk.0.ffn_down.weight": "f16", "blk.0.ffn_norm.weight": "f32" });
    const { notes } = await converted(await stories(), { type: "q8_0" });
    expect(notes).toContain(
      "blk.0.ffn_down.weight and 4 more are f16, as in llama.cpp, since their rows are no whole blocks of q8_0",
    );
  });

  it("q4_0 takes q8_0 for the unembedding, and says so", async () => {
    const tied = await typesOf("q4_0", await stories());
    expect(tied.fileType).toBe(2);
    expect(tied.types).toMatchObject({ "blk.0.attn_q.weight": "q4_0", "token_embd.weight": "q8_0" });
    const { notes } = await converted(await stories(), { type: "q4_0" });
    expect(notes[0]).toMatch(/^token_embd.weight is q8_0/);
  });

  it.each(["f16", "bf16"] as const)("%s stays as it is where nothing else is asked for", async (type) => {
    const name = type === "f16" ? "llama-f16" : "llama-bf16-sharded";
    const before = await weightsOf(await golden(name));
    const after = await contents(await ggufOf(await golden(name)));
    expect(after.get("blk.1.ffn_up.weight")).toEqual(before.get("model.layers.1.mlp.up_proj.weight"));
    expect(after.get("token_embd.weight")).toMatchObject({ dtype: type });
    expect(await weightsOf(await toFolder(await golden(name)))).toEqual(before);
  });

  it("keeps blocks bit for bit, and decodes them exactly for a folder", async () => {
    const quantised = await toGguf(await stories(), { type: "q8_0" });
    const before = await contents(await ggufOf(await stories(), { type: "q8_0" }));
    expect(await contents(await ggufOf(quantised))).toEqual(before);
    expect(await contents(await ggufOf(quantised, { type: "q8_0" }))).toEqual(before);
    const tokens = [1, 5, 300];
    const [blocks, floats] = [await runs(quantised, tokens, []), await runs(await toFolder(quantised), tokens, [])];
    expect(sameBits(blocks.logits, floats.logits)).toBe(true);
  });

  it("keeps the payload of a NaN where the type stays", async () => {
    const payload = new Uint32Array([0x7fa12345]);
    const files = await llamaWith({}, (data, name) => {
      if (name.endsWith("0.self_attn.q_proj.weight")) new Uint32Array(data.buffer)[3] = payload[0];
    });
    const gguf = await ggufOf(files);
    const bytes = await gguf.read(gguf.tensors.get("blk.0.attn_q.weight")!);
    expect(new Uint32Array(bytes.buffer)[3]).toBe(payload[0]);
  });

  it("refuses a number that does not fit, and names the tensor", async () => {
    const files = await llamaWith({}, (data, name) => {
      if (name.endsWith("1.mlp.up_proj.weight")) data[7] = 70_000;
    });
    await expect(converted(files, { type: "f16" })).rejects.toThrow(
      "convert: blk.1.ffn_up.weight: every number must fit f16, whose largest is 65504; got 70000",
    );
    await expect(converted(files, { type: "bf16" })).resolves.toBeDefined();
  });

  it("refuses blocks for a folder, and types that there are not", async () => {
    await expect(converted(await stories(), { format: "safetensors", type: "q8_0" })).rejects.toThrow(
      "a folder of safetensors holds f32, f16 or bf16; got q8_0",
    );
    await expect(converted(await stories(), { type: "q9" as "q8_0" })).rejects.toThrow("convert: type");
  });
});

describe("what the target cannot say is refused by name", () => {
  it.each([
    ["gpt2-hub-names", "activation"],
    ["gpt2-inverse-layer-scale", "activation, scaleByInverseLayer"],
    ["llama-yarn-explicit", "rope"],
    ["llama-longrope-long", "rope"],
    ["mistral-window", "window"],
    ["qwen2-window", "windows"],
  ])("%s to GGUF: %s", async (name, fields) => {
    await expect(converted(await golden(name))).rejects.toThrow(
      `convert: ${fields}: GGUF must be able to say what the model computes`,
    );
  });

  it("a llama3 scaling where llama.cpp reads no factors", async () => {
    const config = JSON.parse(readFileSync(fixture("goldens/qwen3/config.json"), "utf8"));
    const scaling = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const rope_parameters = { ...config.rope_parameters, ...scaling, original_max_position_embeddings: 20 };
    const files = {
      "config.json": utf8(JSON.stringify({ ...config, rope_parameters })),
      "model.safetensors": readFileSync(fixture("goldens/qwen3/model.safetensors")),
    };
    await expect(converted({ folder: new MemoryFolder(files) })).rejects.toThrow("convert: rope_scaling");
  });

  it("factors of rotary frequencies that are no llama3 scaling, to a folder", async () => {
    const odd = await toGguf(await golden("llama3-rope"));
    const source = (await odd.folder.open("model.gguf"))!;
    const bytes = await source.read(0, source.sizeBytes);
    const { tensors } = await openGgufBytes(bytes);
    new Float32Array(bytes.buffer, tensors.get("rope_freqs.weight")!.offset, 2).set([1.5, 1.25]);
    const files = { folder: new MemoryFolder({ "model.gguf": bytes }), weightsFile: "model.gguf" };
    await expect(converted(files, { format: "safetensors" })).rejects.toThrow("convert: rope_freqs.weight");
    await expect(converted(files)).resolves.toBeDefined();
  });
});

const { GOLGI_GGUF: elsewhere } = process.env;
if (elsewhere !== undefined) {
  describe("files in GOLGI_GGUF", () => {
    const fileOf = (name: string) => openGgufBytes(new Uint8Array(readFileSync(`${elsewhere}/${name}.gguf`)));

    it.each([
      ["llama.F16", "f16"],
      ["llama.BF16", "bf16"],
      ["llama.Q8_0", "q8_0"],
      ["llama.Q4_0", "q4_0"],
    ] as const)("%s, which llama.cpp quantised, is what llama.F32 becomes", async (name, type) => {
      const ours = await ggufOf(await locateModel(`${elsewhere}/llama.F32.gguf`), { type });
      const theirs = await fileOf(name);
      expect(ours.values).toEqual(theirs.values);
      const [found, expected] = [await contents(ours), await contents(theirs)];
      if (type === "q4_0") {
        // llama.cpp has Q6_K there, which golgi only reads.
        expect(expected.get("output.weight")?.dtype).toBe("q6_k");
        expect(found.get("output.weight")?.dtype).toBe("q8_0");
        for (const tensors of [found, expected]) tensors.delete("output.weight");
      }
      expect(found).toEqual(expected);
    });

    const mixed = readdirSync(elsewhere).filter((file) => /^(gpt2|llama|llama3-rope|qwen2|qwen3)\.Q4_K_M/.test(file));
    it.each(mixed)("%s keeps every block where no type is asked for", async (file) => {
      const theirs = await contents(await fileOf(file.slice(0, -".gguf".length)));
      const ours = await contents(await ggufOf(await locateModel(`${elsewhere}/${file}`)));
      expect(ours).toEqual(theirs);
    });
  });
}

describe("shards", () => {
  it("end where the next tensor would take them beyond the size, and an index names them", async () => {
    const { files } = await converted(await golden("llama"), { format: "safetensors", shardSizeBytes: 12_000 });
    const shards = Object.keys(files).filter((name) => name.endsWith(".safetensors"));
    expect(shards.length).toBeGreaterThan(2);
    expect(shards[0]).toBe(`model-00001-of-0000${shards.length}.safetensors`);
    const index = JSON.parse(new TextDecoder().decode(files["model.safetensors.index.json"]));
    expect(new Set(Object.values(index.weight_map))).toEqual(new Set(shards));
    const whole = await weightsOf(await golden("llama"));
    const sizes = Array.from(whole.values(), ({ bytes }) => Buffer.byteLength(bytes, "base64"));
    expect(index.metadata.total_size).toBe(sizes.reduce((a, b) => a + b));
    expect(await weightsOf({ folder: new MemoryFolder(files) })).toEqual(whole);
  });

  it("are refused for a GGUF file, which has none", async () => {
    await expect(converted(await golden("llama"), { shardSizeBytes: 1e6 })).rejects.toThrow("convert: shardSizeBytes");
  });

  it("hold a tensor each where every tensor is larger", async () => {
    const { files } = await converted(await golden("llama"), { format: "safetensors", shardSizeBytes: 1 });
    expect(Object.keys(files)).toContain("model-00021-of-00021.safetensors");
  });
});

describe("a model without an unembedding", () => {
  it("is tied in the target, whatever the config said", async () => {
    const { folder } = await toFolder(await golden("qwen2-tied"));
    const source = (await folder.open("config.json"))!;
    const config = JSON.parse(new TextDecoder().decode(await source.read(0, source.sizeBytes)));
    expect(config.tie_word_embeddings).toBe(true);
    expect((await ggufOf({ folder })).tensors.has("output.weight")).toBe(false);
  });
});
