import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openFile, openFolder } from "../node/files.ts";
import { convertLlama2c } from "../scripts/import-llama2c.ts";
import { convertConfig, convertTensors } from "../scripts/import-mingpt.ts";
import type { Checkpoint } from "../src/checkpoint/checkpoint.ts";
import { openSafetensors, openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { CheckpointError, RequestError } from "../src/errors.ts";
import { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { concat, MemorySource, utf8 } from "./checkpoint-files.ts";

const fromRoot = (path: string) => new URL(`../${path}`, import.meta.url).pathname;
const readJson = (path: string) => JSON.parse(readFileSync(fromRoot(path), "utf8"));

async function floats(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const tensor = checkpoint.tensors.get(name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return new Float32Array((await checkpoint.read(tensor)).buffer);
}

describe("encodeSafetensors", () => {
  const a = { name: "a", shape: [2], data: Float32Array.of(1, Number.NEGATIVE_INFINITY) };
  const b = { name: "b.weight", shape: [1, 1], data: Float32Array.of(-0) };

  it("writes the header that the format asks for, padded to 8 bytes, and the data after it", () => {
    const header =
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' +
      '"b.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    const length = Uint8Array.of(padded.length, 0, 0, 0, 0, 0, 0, 0);
    const data = Uint8Array.of(0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xff, 0, 0, 0, 0x80);
    expect(padded.length).toBeGreaterThan(header.length);
    expect(encodeSafetensors([b, a], { format: "pt" })).toEqual(concat(length, utf8(padded), data));
  });

  it("gives equal bytes for equal tensors, in whatever order they come", () => {
    const metadata = { x: "1", y: "2" };
    expect(encodeSafetensors([a, b], metadata)).toEqual(encodeSafetensors([b, a], { y: "2", x: "1" }));
  });

  it("keeps the bits of every value, also through a view on a larger array", async () => {
    const data = new Float32Array(Uint32Array.of(0, 0x7fc00001, 0xff800000, 1, 0).buffer).subarray(1, 4);
    const bytes = encodeSafetensors([{ name: "é", shape: [3], data }]);
    const checkpoint = await openSafetensorsFile(new MemorySource("memory", bytes));
    const read = new Uint32Array((await floats(checkpoint, "é")).buffer);
    expect([...read]).toEqual([0x7fc00001, 0xff800000, 1]);
  });

  it.each([
    ["two tensors of one name", [a, a], /"a": every tensor must have a name of its own/],
    ["a shape that does not fit", [{ ...a, shape: [3] }], /"a": shape \[3\] needs 3 elements; got 2/],
    ["the name of the metadata", [{ ...a, name: "__metadata__" }], /must not be the key of the metadata/],
  ])("refuses %s", (_, tensors, message) => {
    expect(() => encodeSafetensors(tensors)).toThrow(RequestError);
    expect(() => encodeSafetensors(tensors)).toThrow(message);
  });
});

/** A llama2.c file whose floats count up from 1, and the floats by the name of what stands in their place. */
function llama2cFile(isTied: boolean) {
  const [dModel, dFf, nLayers, nHeads, nKvHeads, vocabSize, contextLength] = [8, 6, 2, 2, 1, 262, 5];
  const [headDim, kvDim] = [4, 4];
  const sections: [name: string, length: number][] = [["tokenEmbedding", vocabSize * dModel]];
  const stacked = { att: dModel, q: dModel ** 2, k: kvDim * dModel, v: kvDim * dModel, o: dModel ** 2, ffn: dModel };
  for (const [name, length] of Object.entries({ ...stacked, w1: dFf * dModel, w2: dFf * dModel, w3: dFf * dModel })) {
    for (let layer = 0; layer < nLayers; layer++) sections.push([`${name}${layer}`, length]);
  }
  sections.push(
    ["final", dModel],
    ["freqReal", contextLength * (headDim / 2)],
    ["freqImag", contextLength * (headDim / 2)],
  );
  if (!isTied) sections.push(["classifier", vocabSize * dModel]);

  const nFloats = sections.reduce((sum, [, length]) => sum + length, 0);
  const all = Float32Array.from({ length: nFloats }, (_, i) => i + 1);
  const parts = new Map<string, Float32Array>();
  let at = 0;
  for (const [name, length] of sections) {
    parts.set(name, all.subarray(at, at + length));
    at += length;
  }
  const header = Int32Array.of(dModel, dFf, nLayers, nHeads, nKvHeads, isTied ? vocabSize : -vocabSize, contextLength);
  const bytes = concat(new Uint8Array(header.buffer), new Uint8Array(all.buffer));
  return { bytes, part: (name: string) => parts.get(name) ?? new Float32Array(), dModel, headDim };
}

/** llama2.c's vocabulary: special tokens, 256 bytes, then the given texts with falling scores. */
function vocabularyFile(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const byteNames = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = [...["<unk>", "\n<s>\n", "\n</s>\n", ...byteNames].map((text) => [text, 0] as const)];
  const scored = [...tokens, ...texts.map((text, i) => [text, -i] as const)];
  const entries = scored.map(([text, score]) => {
    const bytes = utf8(text);
    const head = new DataView(new ArrayBuffer(8));
    head.setFloat32(0, score, true);
    head.setInt32(4, bytes.length, true);
    return concat(new Uint8Array(head.buffer), bytes);
  });
  return concat(Uint8Array.of(7, 0, 0, 0), ...entries);
}

describe("import-llama2c", () => {
  const vocabulary = vocabularyFile([" a", "b", " "]);
  const tied = llama2cFile(true);
  const json = (files: Map<string, string | Uint8Array>, name: string) => JSON.parse(`${files.get(name)}`);
  const open = (files: Map<string, string | Uint8Array>) =>
    openSafetensorsFile(new MemorySource("model", files.get("model.safetensors") as Uint8Array));

  it("puts every weight under its Hugging Face name", async () => {
    const checkpoint = await open(convertLlama2c(tied.bytes, vocabulary));
    const names = { input_layernorm: "att", "self_attn.v_proj": "v", "self_attn.o_proj": "o" };
    const mlp = { post_attention_layernorm: "ffn", "mlp.gate_proj": "w1", "mlp.down_proj": "w2", "mlp.up_proj": "w3" };
    for (const layer of [0, 1]) {
      for (const [name, part] of Object.entries({ ...names, ...mlp })) {
        const weight = await floats(checkpoint, `model.layers.${layer}.${name}.weight`);
        expect(weight, name).toEqual(tied.part(`${part}${layer}`));
      }
    }
    expect(await floats(checkpoint, "model.embed_tokens.weight")).toEqual(tied.part("tokenEmbedding"));
    expect(await floats(checkpoint, "model.norm.weight")).toEqual(tied.part("final"));
    expect(checkpoint.tensors.size).toBe(2 + 2 * 9);
    expect(checkpoint.tensors.get("model.layers.1.mlp.down_proj.weight")?.shape).toEqual([8, 6]);
  });

  it("orders the rows of q and k so that rotating halves gives the scores that rotating neighbours gave", async () => {
    const { dModel, headDim } = tied;
    const pairs = (...rows: [number, number][]) => rows;
    const x = Float32Array.from({ length: dModel }, (_, i) => Math.sin(i + 1) / 100);
    const project = (w: Float32Array, head: number) =>
      Array.from({ length: headDim }, (_, row) =>
        x.reduce((sum, value, i) => sum + value * w[(head * headDim + row) * dModel + i], 0),
      );
    const rotate = (vector: number[], position: number, rotated: [number, number][]) => {
      const out = [...vector];
      for (const [i, [a, b]] of rotated.entries()) {
        const angle = position * 10000 ** ((-2 * i) / headDim);
        out[a] = vector[a] * Math.cos(angle) - vector[b] * Math.sin(angle);
        out[b] = vector[b] * Math.cos(angle) + vector[a] * Math.sin(angle);
      }
      return out;
    };
    const score = (q: Float32Array, k: Float32Array, head: number, rotated: [number, number][]) => {
      const [rotQ, rotK] = [rotate(project(q, head), 5, rotated), rotate(project(k, 0), 2, rotated)];
      return rotQ.reduce((sum, value, i) => sum + value * rotK[i], 0);
    };
    const [neighbours, halves] = [pairs([0, 1], [2, 3]), pairs([0, 2], [1, 3])];
    const checkpoint = await open(convertLlama2c(tied.bytes, vocabulary));
    const q = await floats(checkpoint, "model.layers.1.self_attn.q_proj.weight");
    const k = await floats(checkpoint, "model.layers.1.self_attn.k_proj.weight");
    for (const head of [0, 1]) {
      const before = score(tied.part("q1"), tied.part("k1"), head, neighbours);
      expect(score(q, k, head, halves)).toBeCloseTo(before, 8);
    }
  });

  it("keeps a classifier of its own, and says whether the embedding serves as one", async () => {
    const untied = llama2cFile(false);
    const files = convertLlama2c(untied.bytes, vocabulary);
    expect(await floats(await open(files), "lm_head.weight")).toEqual(untied.part("classifier"));
    expect(json(files, "config.json")).toMatchObject({ tie_word_embeddings: false, vocab_size: 262, head_dim: 4 });
    expect(json(convertLlama2c(tied.bytes, vocabulary), "config.json")).toMatchObject({ tie_word_embeddings: true });
  });

  it("refuses a model that is cut anywhere", () => {
    const { bytes } = tied;
    for (let nBytes = 0; nBytes < bytes.length; nBytes += 401) {
      const cut = () => convertLlama2c(bytes.subarray(0, nBytes), vocabulary, "cut.bin");
      expect(cut).toThrow(expect.objectContaining({ code: "checkpoint.truncated", path: "cut.bin" }));
    }
  });

  it("refuses a vocabulary that is cut anywhere", () => {
    for (let nBytes = 0; nBytes < vocabulary.length; nBytes += 97) {
      const cut = () => convertLlama2c(tied.bytes, vocabulary.subarray(0, nBytes), "model.bin", "cut.bin");
      expect(cut).toThrow(expect.objectContaining({ code: "checkpoint.truncated", path: "cut.bin" }));
    }
  });

  it.each([
    ["a model of a later version", edit(tied.bytes, 0, 0x616b3432), vocabulary, /version 0.*Export the model/],
    ["sizes that no model has", edit(tied.bytes, 3, 3), vocabulary, /heads must divide dModel.*"nHeads":3/],
    ["bytes after the last weight", concat(tied.bytes, Uint8Array.of(0)), vocabulary, /must end after.*got 1 more/],
    ["a vocabulary of another model", tied.bytes, vocabularyFile(["a", "b", "c", "d"]), /after 262 tokens/],
    ["a token that stands there twice", tied.bytes, vocabularyFile(["a", "b", "a"]), /every token must be there once/],
    ["a token of negative length", tied.bytes, edit(vocabulary, 2, -1), /length of token 0.*got -1/],
  ])("refuses %s", (_, model, tokens, message) => {
    expect(() => convertLlama2c(model, tokens)).toThrow(CheckpointError);
    expect(() => convertLlama2c(model, tokens)).toThrow(message);
  });

  /** The bytes with one little-endian 32-bit integer replaced. */
  function edit(bytes: Uint8Array, index: number, value: number): Uint8Array {
    const copy = new Uint8Array(bytes);
    new DataView(copy.buffer).setInt32(4 * index, value, true);
    return copy;
  }
});

/** Of all kinds: stories, spaces, repetitions, scripts, code. None spells a special token, which llama2.c would not see. */
const SENTENCES = [
  "",
  " ",
  "a",
  "  two  spaces  ",
  "Once upon a time, there was a little girl named Lily.",
  "She loved to play outside in the park.",
  "One day, she saw a big, red ball.",
  "Lily's mom said, \"Lily, let's go to the park.\"",
  "Tim and Timmy ran to the tree and the tree said: 'Hello!'",
  " leading space",
  "trailing space ",
  "\nA line\n\nand another\n",
  "tabs\tand\tmore",
  "\r\n",
  "aaaaaaaaaaaaaaaa",
  "ththththth",
  "the the the thethe",
  "....!!!???",
  "123 + 456 = 579",
  "0123456789",
  "UPPER CASE AND lower case MiXeD",
  "antidisestablishmentarianism",
  "supercalifragilistic expialidocious",
  "naïve café, jalapeño",
  "Grüße aus Köln",
  "Ёлка и снег",
  "日本語の文章です",
  "한국어 문장",
  "مرحبا بالعالم",
  "😀 👩‍👩‍👧 🇩🇪",
  "“curly quotes” — and a dash…",
  "™ and \u200A thin space",
  "e\u0301 is not é",
  "\0\u0001\u001F",
  "\uFEFFwith a mark",
  "function f(x) { return x ** 2; }",
  "https://example.org/a?b=c&d=e#f",
  '{"key": [1, 2.5e-3, null]}',
  "<0x41> is spelled, not a byte",
  "wandering wandered wands",
  "Ben wanted to go up, up, up and up again.",
  "mom's mommy hummed",
];

describe("models/stories260K", () => {
  const tokenizerJson = readJson("models/stories260K/tokenizer.json");
  const tokenizer = Tokenizer.fromJson(tokenizerJson, readJson("models/stories260K/tokenizer_config.json"));

  /**
   * What run.c of llama2.c does: characters, or their bytes, then ever again the best-scored merge of neighbours.
   * The scores fall from one id to the next.
   */
  function encodeLikeLlama2c(text: string): number[] {
    const texts = Array.from({ length: 512 }, (_, id) => tokenizer.token(id).replaceAll("▁", " "));
    const idOf = new Map(texts.map((token, id) => [token, id]));
    const idsOf = (character: string) => {
      const id = idOf.get(character);
      return id === undefined ? Array.from(utf8(character), (byte) => byte + 3) : [id];
    };
    const ids = [1, ...(text === "" ? [] : idsOf(" ")), ...Array.from(text).flatMap(idsOf)];
    for (;;) {
      let [best, at] = [Number.POSITIVE_INFINITY, -1];
      for (let i = 0; i + 1 < ids.length; i++) {
        const merged = idOf.get(`${texts[ids[i]]}${texts[ids[i + 1]]}`) ?? Number.POSITIVE_INFINITY;
        if (merged < best) [best, at] = [merged, i];
      }
      if (at < 0) return ids;
      ids.splice(at, 2, best);
    }
  }

  it.each(SENTENCES)("encodes %j as llama2.c does", (sentence) => {
    expect(tokenizer.encode(sentence)).toEqual(encodeLikeLlama2c(sentence));
  });

  it("holds exactly the weights that its config declares", async () => {
    const config = readJson("models/stories260K/config.json");
    const checkpoint = await openSafetensors(await openFolder(fromRoot("models/stories260K")));
    const layer = (i: number) => `model.layers.${i}`;
    const shapeOf = (name: string) => checkpoint.tensors.get(name)?.shape;
    expect(checkpoint.tensors.size).toBe(2 + 9 * config.num_hidden_layers);
    expect(shapeOf("model.embed_tokens.weight")).toEqual([config.vocab_size, config.hidden_size]);
    for (let i = 0; i < config.num_hidden_layers; i++) {
      const kvDim = config.num_key_value_heads * config.head_dim;
      expect(shapeOf(`${layer(i)}.self_attn.k_proj.weight`)).toEqual([kvDim, config.hidden_size]);
      expect(shapeOf(`${layer(i)}.mlp.down_proj.weight`)).toEqual([config.hidden_size, config.intermediate_size]);
    }
    expect(tokenizer.vocabSize).toBe(config.vocab_size);
    await checkpoint.close();
  });
});

describe("import-mingpt", () => {
  const base64 = (data: Float32Array) => Buffer.from(data.buffer).toString("base64");
  const tensor = {
    shape: [1, 2],
    dtype: "torch.float32",
    data: base64(Float32Array.of(1.5, Number.NEGATIVE_INFINITY)),
  };
  const config = { model_type: "gpt-nano", n_layer: 3, n_head: 3, n_embd: 48, vocab_size: 3, block_size: 11 };

  it("keeps names, shapes and values, minus infinity included", () => {
    const [converted, ...rest] = convertTensors({ config, "lm_head.weight": tensor });
    expect(rest).toEqual([]);
    expect(converted).toEqual({
      name: "lm_head.weight",
      shape: [1, 2],
      data: Float32Array.of(1.5, Number.NEGATIVE_INFINITY),
    });
  });

  it("drops the causal masks and nothing else", () => {
    const names = ["h.0.attn.bias", "h.0.attn.c_attn.bias", "h.0.mlp.c_fc.bias", "attn"];
    const file = Object.fromEntries(names.map((name) => [name, tensor]));
    expect(convertTensors(file).map(({ name }) => name)).toEqual(names.slice(1));
  });

  it("names the architecture and keeps minGPT's own keys", () => {
    const converted = convertConfig({ config: { ...config, attn_pdrop: 0.1 } });
    expect(converted).toEqual({ ...config, attn_pdrop: 0.1, model_type: "mingpt" });
  });

  it.each([
    [
      "another dtype",
      { ...tensor, dtype: "torch.int64" },
      /m\.json, x: dtype must be torch\.float32; got "torch\.int64"/,
    ],
    ["a shape that does not fit", { ...tensor, shape: [3] }, /x: shape \[3\] needs 12 bytes; got 8/],
    ["a shape that is none", { ...tensor, shape: [-1, -2] }, /x: shape must be a list of sizes/],
    ["data that are no text", { ...tensor, data: [1, 2] }, /x: data must be base64/],
    ["a tensor that is no object", null, /x: it must be a JSON object; got null/],
  ])("refuses %s", (_, x, message) => {
    expect(() => convertTensors({ x }, "m.json")).toThrow(CheckpointError);
    expect(() => convertTensors({ x }, "m.json")).toThrow(message);
  });

  it("refuses a config with keys that it does not know, or without those that it needs", () => {
    expect(() => convertConfig({ config: { ...config, n_kv_head: 1 } })).toThrow(
      /every key must be known; got n_kv_head/,
    );
    expect(() => convertConfig({ config: { ...config, n_head: undefined } })).toThrow(
      /config\.n_head: .*positive integer/,
    );
  });
});

describe("test/fixtures/gpt-nano-sort", () => {
  it("holds weights and published values that belong together", async () => {
    const folder = fromRoot("test/fixtures/gpt-nano-sort");
    const weights = await openSafetensorsFile(await openFile(`${folder}/model.safetensors`));
    const expected = await openSafetensorsFile(await openFile(`${folder}/expected.safetensors`));
    const [tokenEmbedding, positionEmbedding] = [
      await floats(weights, "transformer.wte.weight"),
      await floats(weights, "transformer.wpe.weight"),
    ];
    const [ids, x] = [await floats(expected, "idx"), await floats(expected, "x")];
    const sums = Array.from(ids).flatMap((id, row) =>
      Array.from({ length: 48 }, (_, i) =>
        Math.fround(tokenEmbedding[id * 48 + i] + positionEmbedding[(row % 11) * 48 + i]),
      ),
    );
    expect([...x]).toEqual(sums);
    await Promise.all([weights.close(), expected.close()]);
  });

  it("has all weights but the masks, and minus infinity where a score is masked", async () => {
    const folder = fromRoot("test/fixtures/gpt-nano-sort");
    const weights = await openSafetensorsFile(await openFile(`${folder}/model.safetensors`));
    const expected = await openSafetensorsFile(await openFile(`${folder}/expected.safetensors`));
    expect(weights.tensors.size).toBe(2 + 3 * 12 + 3);
    const nMasked = (await floats(expected, "att")).filter((score) => score === Number.NEGATIVE_INFINITY).length;
    expect(nMasked).toBe(3 * 3 * ((11 * 10) / 2));
    await Promise.all([weights.close(), expected.close()]);
  });
});
