/** Tokenizers as GGUF's metadata hold them: read, written, and refused by name. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openGguf } from "../src/checkpoint/gguf.ts";
import { encodeGguf, type GgufTensor } from "../src/checkpoint/write-gguf.ts";
import { CheckpointError } from "../src/errors.ts";
import { openModel, reference } from "../src/index.ts";
import type { PlainFormat } from "../src/tensor/format.ts";
import { ggufEndTokens, ggufToTokenizerJson, TOKEN_TYPES } from "../src/tokenizer/from-gguf.ts";
import { GGUF_PRES } from "../src/tokenizer/gguf-pre.ts";
import { mergesOfScores } from "../src/tokenizer/scores.ts";
import { type TokenizerValue, tokenizerJsonToGguf } from "../src/tokenizer/to-gguf.ts";
import { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { concat, MemoryFolder, utf8 } from "./checkpoint-files.ts";
import { fixture, stories260K } from "./support/fixtures.ts";
import { readJson } from "./support/tokenizers.ts";

interface Case {
  readonly text: string;
  readonly parsed: readonly number[];
  readonly plain: readonly number[];
}

/** The added tokens that GGUF cannot describe: within words, or with the spaces beside them. */
const BEYOND_GGUF = ["<mask>", "key"];

/** A fixture without those; HF's ids of the texts that do not hold them. */
function readFixture(name: string) {
  const { tokenizer, cases } = readJson(fixture(`tokenizers/${name}.json`));
  const added = tokenizer.added_tokens.filter(({ content }: { content: string }) => !BEYOND_GGUF.includes(content));
  return {
    json: { ...tokenizer, added_tokens: added },
    cases: (cases as Case[]).filter(({ text }) => !BEYOND_GGUF.some((token) => text.includes(token))),
  };
}

const config = { bos_token: "<|start|>", eos_token: "<|end|>" };
type Values = Record<string, TokenizerValue | undefined>;
const mapOf = (values: Values) =>
  new Map(Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])));
const string = (value: string): TokenizerValue => ({ type: "string", value });
const strings = (...value: string[]): TokenizerValue => ({ type: "array", of: "string", value });
const bool = (value: boolean): TokenizerValue => ({ type: "bool", value });
const u32 = (value: number): TokenizerValue => ({ type: "u32", value });
const i32s = (...value: number[]): TokenizerValue => ({ type: "array", of: "i32", value });
const f32s = (...value: number[]): TokenizerValue => ({ type: "array", of: "f32", value });

/** Metadata of a fixture, put together here from its tokenizer.json; `<|start|>`, `<|end|>` and `<tool>` come last. */
function metadataOf(json: {
  model: { vocab: Record<string, number>; unk_token: string | null };
  added_tokens: { id: number; content: string; special: boolean }[];
}) {
  const ids: [string, number][] = Object.entries(json.model.vocab);
  const added = new Map(json.added_tokens.map((token) => [token.id, token]));
  for (const { content, id } of json.added_tokens) if (json.model.vocab[content] === undefined) ids.push([content, id]);
  const tokens = ids.sort((a, b) => a[1] - b[1]).map(([token]) => token);
  const types = tokens.map((token, id) => {
    const kind = added.get(id);
    if (token === json.model.unk_token) return 2;
    if (kind !== undefined) return kind.special ? 3 : 4;
    return /^<0x..>$/.test(token) ? 6 : 1;
  });
  return { tokens, types };
}

const byteLevel: [fixture: string, pre: string][] = [
  ["gpt2", "gpt-2"],
  ["llama3", "llama-bpe"],
  ["starcoder", "starcoder"],
  ["falcon", "falcon"],
];

function byteLevelValues(name: string, pre: string): Values {
  const { json } = readFixture(name);
  const { tokens, types } = metadataOf(json);
  const isTemplate = name === "llama3";
  return {
    "tokenizer.ggml.model": string("gpt2"),
    "tokenizer.ggml.pre": string(pre),
    "tokenizer.ggml.tokens": strings(...tokens),
    "tokenizer.ggml.token_type": i32s(...types),
    "tokenizer.ggml.merges": strings(...json.model.merges.map((merge: string[]) => merge.join(" "))),
    "tokenizer.ggml.bos_token_id": u32(tokens.indexOf("<|start|>")),
    "tokenizer.ggml.eos_token_id": u32(tokens.indexOf("<|end|>")),
    "tokenizer.ggml.add_bos_token": bool(isTemplate),
    "tokenizer.ggml.add_eos_token": bool(isTemplate),
  };
}

describe.each(byteLevel)("the tokenizer %s in GGUF, with pre %s,", (name, pre) => {
  const { json, cases } = readFixture(name);
  const values = byteLevelValues(name, pre);

  it("encodes as Hugging Face's tokenizers do from tokenizer.json", () => {
    const tokenizer = Tokenizer.fromGguf(mapOf(values), "m.gguf");
    for (const { text, plain, parsed } of cases) {
      expect([text, tokenizer.encode(text, { addSpecialTokens: false })]).toEqual([text, plain]);
      expect([text, tokenizer.encode(text, { parseSpecialTokens: true })]).toEqual([
        text,
        withoutTwice(parsed, tokenizer),
      ]);
    }
    expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual(["<|start|>", "<|end|>"]);
  });

  it("is what a tokenizer.json becomes", () => {
    expect(Object.fromEntries(tokenizerJsonToGguf(json, config))).toEqual(values);
  });
});

/** A text that begins with BOS gets no second one; transformers adds it. */
function withoutTwice(ids: readonly number[], { bosTokenId }: Tokenizer): readonly number[] {
  return ids[0] === bosTokenId && ids[1] === bosTokenId ? ids.slice(1) : ids;
}

describe("a SentencePiece tokenizer in GGUF", () => {
  /** llama2.c's tokens in order of the scores that its own file gives them. */
  const json = readJson(`${stories260K}/tokenizer.json`);
  const settings = readJson(`${stories260K}/tokenizer_config.json`);
  const values = Object.fromEntries(tokenizerJsonToGguf(json, settings));
  const texts = ["Once upon a time, there was", "  two  spaces", "<s>é東👋\n", "", " ", "aaaa bbbb"];

  it("is what a tokenizer.json becomes, and encodes and decodes like it", () => {
    const [before, after] = [Tokenizer.fromJson(json, settings), Tokenizer.fromGguf(mapOf(values), "m.gguf")];
    for (const text of texts) {
      expect(after.encode(text)).toEqual(before.encode(text));
      expect(after.decode(after.encode(text))).toBe(before.decode(before.encode(text)));
    }
    expect(Object.keys(values)).not.toContain("tokenizer.ggml.merges");
    expect(values["tokenizer.ggml.add_space_prefix"]).toEqual(bool(true));
    const types = values["tokenizer.ggml.token_type"]?.value as number[];
    expect(types.slice(0, 4).map((type) => TOKEN_TYPES[type])).toEqual(["unknown", "control", "control", "byte"]);
  });

  it("puts no space before a text where the metadata say so", () => {
    const tokenizer = Tokenizer.fromGguf(
      mapOf({ ...values, "tokenizer.ggml.add_space_prefix": bool(false) }),
      "m.gguf",
    );
    expect(tokenizer.encode("Once", { addSpecialTokens: false }).map((id) => tokenizer.token(id))).not.toContain(
      "▁Once",
    );
    expect(tokenizer.decode(tokenizer.encode(" Once"))).toBe(" Once");
  });

  it("adds EOS where the metadata say so", () => {
    const tokenizer = Tokenizer.fromGguf(mapOf({ ...values, "tokenizer.ggml.add_eos_token": bool(true) }), "m.gguf");
    expect(tokenizer.encode("Once")).toEqual([1, 403, 2]);
  });

  it("merges the highest score first, whichever halves it has", () => {
    const entries = Object.entries({ a: -9, b: -9, ab: -1, ba: -2, aba: -3, "<0x41>": 0 });
    const merges = mergesOfScores(entries.map(([token, score]) => ({ token, score })));
    expect(merges.map((merge) => merge.join("+"))).toEqual(["a+b", "b+a", "ab+a", "a+ba"]);
  });
});

describe("the ends of a text", () => {
  const tokens = strings("a", "</s>", "<|im_end|>", "<|eot_id|>", "<|end|>");
  const ends = (changes: Values) =>
    ggufEndTokens(
      mapOf({ "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": i32s(1, 3, 3, 1, 3), ...changes }),
    );

  it("are what the metadata name, and control tokens that end turns", () => {
    expect(ends({ "tokenizer.ggml.eos_token_id": u32(1) })).toEqual([1, 2, 4]);
    expect(ends({ "tokenizer.ggml.eot_token_id": u32(3), "tokenizer.ggml.eom_token_id": u32(0) })).toEqual([
      3, 0, 2, 4,
    ]);
  });

  it("are not those that end a message within a turn", () => {
    const changes = { "tokenizer.ggml.tokens": strings("a", "</s>", "<|return|>", "b", "<|end|>") };
    expect(ends(changes)).toEqual([2]);
  });

  it("are none of what is not there", () => {
    expect(ends({ "tokenizer.ggml.eos_token_id": u32(9), "tokenizer.ggml.token_type": undefined })).toEqual([]);
    expect(ggufEndTokens(new Map())).toEqual([]);
  });
});

describe("metadata are refused, and say why,", () => {
  const values = byteLevelValues("gpt2", "gpt-2");
  const list = values["tokenizer.ggml.tokens"]?.value as string[];

  it.each<[string, Values, RegExp]>([
    [
      "with another kind of tokenizer",
      { model: string("bert") },
      /ggml\.model: golgi reads .*; got "bert"\. Give token ids/,
    ],
    ["with another pre-tokenizer", { pre: string("afmoe") }, /ggml\.pre: .*must be one of .*tekken.*; got "afmoe"/],
    ["without a pre-tokenizer", { pre: undefined }, /ggml\.pre: .*; got nothing/],
    ["without tokens", { tokens: undefined }, /ggml\.tokens: it must be a list of strings; got nothing/],
    ["with numbers for tokens", { tokens: i32s(1) }, /ggml\.tokens: it must be a list of strings/],
    ["with a token twice", { tokens: strings(...list.slice(0, -1), "a") }, /no token may be there twice; got "a" as/],
    [
      "with too few types",
      { token_type: i32s(1) },
      /ggml\.token_type: it must have one entry for each of \d+ tokens; got 1/,
    ],
    ["without merges", { merges: undefined }, /ggml\.merges: it must be a list of strings/],
    [
      "with merges of what is not there",
      { merges: strings("a zz") },
      /merges\[0\]: both tokens of a merge.*\["a","zz"\]/,
    ],
    ["with a BOS beyond the tokens", { bos_token_id: u32(9999) }, /ggml\.bos_token_id: it must be an id from 0 to/],
    ["with BOS to add and none named", { bos_token_id: undefined, add_bos_token: bool(true) }, /it needs bos_token_id/],
    ["with a flag that is none", { add_bos_token: u32(1) }, /add_bos_token: it must be true or false; got 1/],
  ])("%s", (_, changes, message) => {
    const changed = Object.fromEntries(Object.entries(changes).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
    const open = () => Tokenizer.fromGguf(mapOf({ ...values, ...changed }), "m.gguf");
    expect(open).toThrow(CheckpointError);
    expect(open).toThrow(message);
  });

  it("with scores for only some tokens", () => {
    const changes = { "tokenizer.ggml.model": string("llama"), "tokenizer.ggml.scores": f32s(1, 2) };
    expect(() => Tokenizer.fromGguf(mapOf({ ...values, ...changes }), "m.gguf")).toThrow(/ggml\.scores: .*one entry/);
  });
});

describe("a tokenizer.json that GGUF cannot say is refused:", () => {
  const gpt2 = readFixture("gpt2").json;
  const stories = readJson(`${stories260K}/tokenizer.json`);
  const whole = (name: string) => readJson(fixture(`tokenizers/${name}.json`)).tokenizer;

  it.each<[string, object, RegExp]>([
    ["added tokens with spaces", notSpecial(whole("gpt2")), /added_tokens: .*"<mask>" with lstrip/],
    [
      "a pre-tokenizer without a name",
      readFixture("splits").json,
      /pre_tokenizer: it must be one that GGUF has a name for/,
    ],
    [
      "a normalizer that the name does not have",
      { ...gpt2, normalizer: { type: "NFKC" } },
      /GGUF has a name for.*NFKC/,
    ],
    ["a template with more than BOS and EOS", withTemplate("<tool>"), /post_processor: GGUF puts BOS before/],
    ["merges with spaces", withMerges([["a b", "c"]]), /merges: GGUF writes a space between.*"a b"/],
    ["a ▁ before the first text alone", readFixture("metaspace-first").json, /normalizer: .*prepend_scheme/],
    [
      "a decoder that keeps the space",
      { ...stories, decoder: { type: "Metaspace", prepend_scheme: "never" } },
      /decoder: /,
    ],
  ])("%s", (_, json, message) => {
    const convert = () => tokenizerJsonToGguf(json, undefined, { fileName: "that.json" });
    expect(convert).toThrow(CheckpointError);
    expect(convert).toThrow(message);
  });

  it.each<[string, object, RegExp]>([
    ["special tokens with spaces", withFlag(gpt2, "lstrip"), /does not know lstrip of special tokens/],
    ["no bytes", { ...stories, model: { ...stories.model, byte_fallback: false } }, /the vocabulary has no bytes/],
    ["merges that are not all", withoutFirstMerge(), /GGUF has scores in place of merges/],
  ])("but is written, with a note: %s", (_, json, message) => {
    const notes: string[] = [];
    tokenizerJsonToGguf(json, undefined, { onNote: (note) => notes.push(note) });
    expect(notes).toEqual([expect.stringMatching(message)]);
  });

  it("rows of the embedding without a token are unused tokens", () => {
    const values = new Map(tokenizerJsonToGguf(gpt2, config, { vocabSize: 450 }));
    expect((values.get("tokenizer.ggml.tokens")!.value as string[]).at(-1)).toBe("[PAD449]");
    expect((values.get("tokenizer.ggml.token_type")!.value as number[]).at(-1)).toBe(TOKEN_TYPES.indexOf("unused"));
    expect(Tokenizer.fromGguf(values, "m.gguf").vocabSize).toBe(450);
  });

  function withTemplate(id: string) {
    return {
      ...gpt2,
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id } }, { SpecialToken: { id } }, { Sequence: {} }],
      },
    };
  }

  function withMerges(merges: string[][]) {
    return { ...gpt2, model: { ...gpt2.model, merges, vocab: { ...gpt2.model.vocab } } };
  }

  function withFlag(json: { readonly added_tokens: readonly object[] }, flag: string) {
    return { ...json, added_tokens: json.added_tokens.map((token) => ({ ...token, special: true, [flag]: true })) };
  }

  function notSpecial(json: { readonly added_tokens: readonly object[] }) {
    return { ...json, added_tokens: json.added_tokens.map((token) => ({ ...token, special: false })) };
  }

  function withoutFirstMerge() {
    return { ...stories, model: { ...stories.model, merges: stories.model.merges.slice(1) } };
  }
});

describe("a name of a pre-tokenizer", () => {
  it("stands for one alone", () => {
    const names = GGUF_PRES.flatMap(({ names }) => names);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(GGUF_PRES.map(({ names }) => names[0]))("%s is what its pre-tokenizer is written as", (name) => {
    const { tokenizerJson, tokenizerConfig } = ggufToTokenizerJson(mapOf(byteLevelValues("gpt2", name!)), "m.gguf");
    const written = new Map(tokenizerJsonToGguf(tokenizerJson, tokenizerConfig));
    expect(written.get("tokenizer.ggml.pre")?.value).toBe(name);
  });
});

describe("a GGUF model", () => {
  const host = { nowMs: () => 0, pause: async () => {} };
  const folderJson = utf8(JSON.stringify(readFixture("gpt2").json));

  /** llama.gguf with these metadata, and a folder's tokenizer.json beside it. */
  async function open(values: Values) {
    const file = new MemoryFolder({ "llama.gguf": new Uint8Array(readFileSync(fixture("gguf/llama.gguf"))) });
    const checkpoint = await openGguf(file, "llama.gguf");
    const tensors: GgufTensor[] = [];
    for (const stored of checkpoint.tensors.values()) {
      const numbers = new Float32Array((await checkpoint.read(stored)).buffer);
      tensors.push({ ...stored, type: stored.dtype as PlainFormat, rows: () => [numbers] });
    }
    const metadata = new Map([...checkpoint.values, ...mapOf(values)]);
    const bytes = concat(...(await Array.fromAsync(encodeGguf(metadata, tensors))));
    const folder = new MemoryFolder({ "m.gguf": bytes, "tokenizer.json": folderJson });
    return openModel({ folder, weightsFile: "m.gguf" }, host, [reference]);
  }

  it("has its own tokenizer, whatever lies beside it", async () => {
    const model = await open(byteLevelValues("llama3", "llama-bpe"));
    expect(model.tokenizer.encode("x")).toHaveLength(3);
    expect(model.eosTokens).toEqual([model.tokenizer.eosTokenId]);
    await model.close();
  });

  it("has that of its folder where it holds none", async () => {
    const model = await open({ "tokenizer.ggml.model": string("none") });
    expect(model.tokenizer.encode("x")).toHaveLength(1);
    await model.close();
  });

  it("opens with a tokenizer that golgi cannot read, and says so where text is asked for", async () => {
    const model = await open({ ...byteLevelValues("gpt2", "gpt-2"), "tokenizer.ggml.model": string("rwkv") });
    expect(model.hasTokenizer).toBe(false);
    expect(() => model.tokenizer).toThrow(/folder\/m\.gguf: tokenizer\.ggml\.model: .*got "rwkv"/);
    expect((await model.run([1])).logits.shape[0]).toBe(1);
    await model.close();
  });
});
