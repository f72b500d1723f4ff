import { readFileSync } from "node:fs";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError, RequestError } from "../src/errors.ts";
import { Tokenizer } from "../src/tokenizer/tokenizer.ts";

const readJson = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
const storiesJson = readJson("../models/stories260K/tokenizer.json");
const storiesConfig = readJson("../models/stories260K/tokenizer_config.json");
const sentencePiece = Tokenizer.fromJson(storiesJson, storiesConfig);
/** llama2.c puts the 256 bytes after the three special tokens. */
const byteId = (byte: number) => 3 + byte;

/** GPT-2's spelling of bytes, written out here from its definition: printable ones first, the others from U+0100. */
const printable = [...range(33, 127), ...range(161, 173), ...range(174, 256)];
const byteOrder = [...printable, ...range(0, 256).filter((byte) => !printable.includes(byte))];
const spell = (...bytes: number[]) =>
  bytes
    .map((byte) => String.fromCodePoint(byteOrder.indexOf(byte) < printable.length ? byte : unprintable(byte)))
    .join("");
const unprintable = (byte: number) => 256 + byteOrder.indexOf(byte) - printable.length;

const merges = [
  "Ġ t",
  "h e",
  "Ġt he",
  `${spell(0xf0)} ${spell(0x9f)}`,
  `${spell(0xf0, 0x9f)} ${spell(0x98)}`,
  `t ${spell(0xc3)}`,
  `${spell(0xf0, 0x9f, 0x98)} ${spell(0x80)}`,
];
const gpt2Json = {
  added_tokens: [
    { id: 300, content: "<|endoftext|>", special: true, normalized: false },
    { id: 301, content: "<tool>é", special: false, normalized: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
  post_processor: { type: "ByteLevel", trim_offsets: false },
  decoder: { type: "ByteLevel" },
  model: {
    vocab: Object.fromEntries([
      ...range(0, 256).map((byte) => [spell(byte), byte]),
      ...merges.map((merge, i) => [merge.replace(" ", ""), 256 + i]),
    ]),
    merges,
  },
};
const byteLevel = Tokenizer.fromJson(gpt2Json, undefined);
const families = [
  ["byte-level", byteLevel, gpt2Json, [" ", "é", "😀"]],
  ["SentencePiece", sentencePiece, storiesJson, ["▁", "Ġ", "😀"]],
] as const;

/** Text of any characters, with those that tokenizers stumble over more often than chance would have it. */
const hardPieces = [
  " ",
  "  ",
  " the",
  "\n",
  "\t",
  "\0",
  "é",
  "e\u0301",
  "😀",
  "👩‍👩‍👧",
  "\uFEFF",
  "\uFFFD",
  "<0x41>",
  "<",
  "\ud83d",
  "\ude00",
];
const anyText = fc
  .array(fc.oneof(fc.string({ unit: "binary", maxLength: 4 }), fc.constantFrom(...hardPieces)), { maxLength: 12 })
  .map((pieces) => pieces.join(""));
const anyIds = (tokenizer: Tokenizer) =>
  fc.array(
    fc.nat({ max: tokenizer.vocabSize - 1 }).filter((id) => has(tokenizer, id)),
    { maxLength: 30 },
  );

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function has(tokenizer: Tokenizer, id: number): boolean {
  return tokenizer !== byteLevel || id < 256 + merges.length || id >= 300;
}

function streamed(tokenizer: Tokenizer, ids: readonly number[], before?: readonly number[]): string[] {
  const stream = tokenizer.stream(before);
  return [...ids.map((id) => stream.push(id)), stream.end()];
}

describe.each(families)("a %s tokenizer", (_, tokenizer, json) => {
  it("gives back any text that it encoded, at once and token by token", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ids = tokenizer.encode(text);
        // A lone surrogate is no character: UTF-8 cannot hold it. SentencePiece reads its own ▁ as a space.
        const expected = tokenizer === sentencePiece ? text.toWellFormed().replaceAll("▁", " ") : text.toWellFormed();
        expect(tokenizer.decode(ids)).toBe(expected);
        expect(streamed(tokenizer, ids).join("")).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  it("streams any ids in whole characters, which together are the decoded text", () => {
    fc.assert(
      fc.property(anyIds(tokenizer), (ids) => {
        const chunks = streamed(tokenizer, ids);
        expect(chunks.every((chunk) => chunk.isWellFormed())).toBe(true);
        expect(chunks.join("")).toBe(tokenizer.decode(ids));
      }),
      { numRuns: 500 },
    );
  });

  it("goes on after any prompt as if there had been no break", () => {
    fc.assert(
      fc.property(anyIds(tokenizer), anyIds(tokenizer), (prompt, ids) => {
        const shown = streamed(tokenizer, prompt).slice(0, -1).join("");
        expect(shown + streamed(tokenizer, ids, prompt).join("")).toBe(tokenizer.decode([...prompt, ...ids]));
      }),
      { numRuns: 500 },
    );
  });

  it("decodes as the library does, but for the byte order marks that the library loses", () => {
    const library = new Library(json, { clean_up_tokenization_spaces: false });
    const withoutMarks = (text: string) => text.replaceAll("\uFEFF", "");
    const nonEmpty = anyIds(tokenizer).filter((ids) => ids.length > 0);
    fc.assert(
      fc.property(nonEmpty, fc.boolean(), (ids, skipSpecialTokens) => {
        const theirs = library.decode(ids, { skip_special_tokens: skipSpecialTokens });
        expect(withoutMarks(tokenizer.decode(ids, { skipSpecialTokens }))).toBe(withoutMarks(theirs));
      }),
      { numRuns: 500 },
    );
  });

  it.each([-1, 1.5, Number.NaN, 2 ** 40])("refuses the id %d in every method", (id) => {
    const refusal = expect.objectContaining({ code: "request.tokens", message: expect.stringContaining(`got ${id}`) });
    for (const method of ["token", "text", "bytes"] as const) expect(() => tokenizer[method](id)).toThrow(refusal);
    expect(() => tokenizer.decode([0, id])).toThrow(refusal);
    expect(() => tokenizer.stream().push(id)).toThrow(refusal);
    expect(() => tokenizer.stream([id])).toThrow(RequestError);
  });

  it("decodes no ids to no text", () => {
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.stream().end()).toBe("");
  });
});

describe("TokenStream", () => {
  const grin = [0xf0, 0x9f, 0x98, 0x80];

  it("holds a character back until its last byte", () => {
    expect(streamed(sentencePiece, grin.map(byteId))).toEqual(["", "", "", "😀", ""]);
    const partOfGrin = 256 + merges.indexOf(`${spell(0xf0, 0x9f)} ${spell(0x98)}`);
    expect(streamed(byteLevel, [partOfGrin, 0x80])).toEqual(["", "😀", ""]);
  });

  it("gives up on bytes as soon as nothing can complete them, and no sooner", () => {
    const a = sentencePiece.encode("a", { addSpecialTokens: false });
    expect(streamed(sentencePiece, [byteId(0xf0), byteId(0x9f), ...a])).toEqual(["", "", "\uFFFD a", ""]);
    expect(streamed(sentencePiece, [byteId(0xe2), byteId(0x82)])).toEqual(["", "", "\uFFFD"]);
    expect(streamed(sentencePiece, [byteId(0x80)])).toEqual(["\uFFFD", ""]);
  });

  it("keeps the space between a prompt and what follows, and drops the one that encoding put in front", () => {
    const [bos = -1, once = -1, upon = -1] = sentencePiece.encode("Once upon");
    expect([once, upon].map((id) => sentencePiece.token(id))).toEqual(["▁Once", "▁upon"]);
    expect(streamed(sentencePiece, [once, upon])).toEqual(["Once", " upon", ""]);
    expect(streamed(sentencePiece, [once], [bos])).toEqual(["Once", ""]);
    expect(streamed(sentencePiece, [upon], [bos, once])).toEqual([" upon", ""]);
  });

  it("says nothing for special tokens, also in the middle of a character", () => {
    const [first = -1, ...rest] = [0xc3, 0xa9].map(byteId);
    expect(streamed(sentencePiece, [1, first, 2, ...rest])).toEqual(["", "", "", "é", ""]);
  });
});

describe("BOS", () => {
  const count = (ids: readonly number[], id: number | undefined) => ids.filter((other) => other === id).length;
  const endoftext = { bos_token: { content: "<|endoftext|>" }, eos_token: "<|endoftext|>" };

  it("comes once where both the post-processor and add_bos_token ask for it", () => {
    expect(storiesConfig.add_bos_token).toBe(true);
    fc.assert(
      fc.property(anyText, (text) => {
        expect(count(sentencePiece.encode(text), 1)).toBe(1);
      }),
    );
    expect(sentencePiece.encode("")).toEqual([1]);
  });

  it("comes once where only add_bos_token asks for it", () => {
    const tokenizer = Tokenizer.fromJson(gpt2Json, { ...endoftext, add_bos_token: true });
    expect(tokenizer.encode("t the")).toEqual([300, 116, 258]);
    expect(tokenizer.encode("<|endoftext|>t", { parseSpecialTokens: true })).toEqual([300, 116]);
  });

  it("comes once where the text begins with its name", () => {
    const spelled = sentencePiece.encode("<s>Once", { parseSpecialTokens: true });
    expect(spelled).toEqual(sentencePiece.encode("Once"));
  });

  it("comes from the post-processor alone where tokenizer_config.json is missing", () => {
    const tokenizer = Tokenizer.fromJson(storiesJson, undefined);
    expect(tokenizer.bosTokenId).toBe(1);
    expect(tokenizer.encode("Once")).toEqual(sentencePiece.encode("Once"));
  });

  it("is found in a template inside a sequence of post-processors", () => {
    const processors = [
      { type: "ByteLevel" },
      { type: "TemplateProcessing", single: templateWith("<|endoftext|>"), pair: [] },
    ];
    const json = { ...gpt2Json, post_processor: { type: "Sequence", processors } };
    expect(Tokenizer.fromJson(json, { ...endoftext, add_bos_token: true }).encode("t")).toEqual([300, 116]);
  });

  it("stays out where the model has none, or the caller wants none", () => {
    expect(byteLevel.encode("t")).toEqual([116]);
    expect(byteLevel.bosTokenId).toBeUndefined();
    expect(Tokenizer.fromJson(gpt2Json, endoftext).encode("t")).toEqual([116]);
    expect(sentencePiece.encode("Once", { addSpecialTokens: false })).toEqual([403]);
  });

  function templateWith(id: string) {
    return [{ SpecialToken: { id, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
  }
});

describe("a token", () => {
  it("has its entry, its text for display, and the bytes that it adds", () => {
    const once = 403;
    expect([sentencePiece.token(once), sentencePiece.text(once)]).toEqual(["▁Once", " Once"]);
    expect(sentencePiece.bytes(once)).toEqual(new TextEncoder().encode(" Once"));
    expect([byteLevel.token(258), byteLevel.text(258)]).toEqual(["Ġthe", " the"]);
    expect(byteLevel.bytes(258)).toEqual(new TextEncoder().encode(" the"));
  });

  it("shows bytes that are not whole characters by their numbers", () => {
    expect(sentencePiece.text(byteId(0xe2))).toBe("<0xE2>");
    expect(sentencePiece.text(byteId(0x0a))).toBe("\n");
    expect([byteLevel.token(260), byteLevel.text(260)]).toEqual([spell(0xf0, 0x9f, 0x98), "<0xF0><0x9F><0x98>"]);
    expect([byteLevel.text(261), byteLevel.text(262)]).toEqual(["t<0xC3>", "😀"]);
    expect(byteLevel.bytes(261)).toEqual(Uint8Array.of(0x74, 0xc3));
  });

  it("shows a special token by its name, which adds nothing to a text unless asked for", () => {
    expect([sentencePiece.text(1), sentencePiece.text(2)]).toEqual(["<s>", "</s>"]);
    expect(sentencePiece.bytes(1)).toEqual(new Uint8Array());
    expect(sentencePiece.decode([1, 403, 2])).toBe("Once");
    expect(sentencePiece.decode([1, 403, 2], { skipSpecialTokens: false })).toBe("<s> Once</s>");
    expect([sentencePiece.bosTokenId, sentencePiece.eosTokenId, sentencePiece.vocabSize]).toEqual([1, 2, 512]);
  });

  it("that was added and is not special keeps its text, though it looks like spelled bytes", () => {
    const ids = byteLevel.encode("t<tool>ét");
    expect(ids).toEqual([116, 301, 116]);
    expect(byteLevel.decode(ids)).toBe("t<tool>ét");
  });

  it("keeps the spaces before punctuation, whatever tokenizer_config.json says of clean-up", () => {
    const tokenizer = Tokenizer.fromJson(storiesJson, { ...storiesConfig, clean_up_tokenization_spaces: true });
    expect(tokenizer.decode(tokenizer.encode("a , b 's"))).toBe("a , b 's");
  });
});

describe("Metaspace", () => {
  const metaspace = (decoder: object) =>
    Tokenizer.fromJson({ ...storiesJson, decoder: { type: "Metaspace", ...decoder } }, undefined);
  const ids = [403, 407];

  it("takes the first space away where encoding prepends one", () => {
    expect(metaspace({ replacement: "▁", prepend_scheme: "always" }).decode(ids)).toBe("Once upon");
    expect(metaspace({ replacement: "▁", prepend_scheme: "first" }).decode(ids)).toBe("Once upon");
    expect(metaspace({ replacement: "▁", add_prefix_space: true }).decode(ids)).toBe("Once upon");
  });

  it("keeps the first space where encoding prepends none", () => {
    expect(metaspace({ replacement: "▁", prepend_scheme: "never" }).decode(ids)).toBe(" Once upon");
    expect(metaspace({ replacement: "▁", add_prefix_space: false }).decode(ids)).toBe(" Once upon");
  });
});

describe("a tokenizer.json is refused, and says why,", () => {
  const fuse = { type: "Fuse" };
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  const sequence = (...decoders: unknown[]) => ({ decoder: { type: "Sequence", decoders } });
  const model = (change: object) => ({ model: { ...storiesJson.model, ...change } });

  it.each([
    [
      "with a decoder of another type",
      { decoder: { type: "WordPiece", prefix: "##" } },
      /type of a decoder.*WordPiece/,
    ],
    ["with such a decoder in a sequence", sequence({ type: "CTC" }), /type of a decoder.*CTC/],
    ["without a decoder", { decoder: null }, /decoder: .*null/],
    ["with a decoder that strips single tokens", sequence(strip, fuse), /Strip must come after Fuse/],
    ["with a decoder that strips the end", sequence(fuse, { ...strip, stop: 1 }), /from the beginning only/],
    [
      "with a decoder that replaces patterns",
      sequence({ type: "Replace", pattern: { Regex: "a" }, content: "" }),
      /one string/,
    ],
    [
      "with bytes after the text is whole",
      sequence(fuse, { type: "ByteFallback" }),
      /ByteFallback must come before Fuse/,
    ],
    ["with replacement in the whole text", sequence(fuse, storiesJson.decoder.decoders[0]), /Replace must come before/],
    ["with another kind of model", model({ type: "Unigram" }), /byte-pair encoding.*Unigram/],
    ["without merges", model({ merges: undefined }), /list of merges/],
    ["with a vocabulary that is a list", model({ vocab: [] }), /model\.vocab: /],
    ["with a negative id", model({ vocab: { a: -1 } }), /token "a": an id must be an integer.*got -1/],
    ["with a huge id", model({ vocab: { a: 1e9 } }), /token "a": an id must be an integer/],
    ["with an unknown token that is none of its own", model({ unk_token: "<?>" }), /unk_token: .*"<\?>"/],
    ["with added tokens that are no list", { added_tokens: {} }, /added_tokens: it must be a list/],
    ["with an added token without text", { added_tokens: [{ id: 1 }] }, /a token must be a string; got nothing/],
    ["with a normalizer that nobody knows", { normalizer: { type: "Rot13" } }, /normalizer: its type must be.*Rot13/],
    [
      "with a post-processor of another type",
      { post_processor: { type: "RobertaProcessing", sep: ["</s>", 2], cls: ["<s>", 1] } },
      /post_processor: its type.*RobertaProcessing/,
    ],
    [
      "with a template token that is not there",
      { post_processor: { ...storiesJson.post_processor, single: [{ SpecialToken: { id: "<x>" } }] } },
      /post_processor\.single: .*in the vocabulary.*<x>/,
    ],
  ])("%s", (_, change, message) => {
    const open = () => Tokenizer.fromJson({ ...storiesJson, ...change }, storiesConfig, "that.json");
    expect(open).toThrow(CheckpointError);
    expect(open).toThrow(
      expect.objectContaining({ code: "checkpoint.tokenizer", path: expect.stringMatching(/^that\.json/) }),
    );
    expect(open).toThrow(message);
  });

  it("that is no object", () => {
    expect(() => Tokenizer.fromJson([], undefined)).toThrow(
      /tokenizer\.json: the file must hold a JSON object; got \[\]/,
    );
    expect(() => Tokenizer.fromJson(storiesJson, "x")).toThrow(/tokenizer_config\.json: .*object; got "x"/);
  });

  it("with a config that adds a BOS without naming one of the vocabulary", () => {
    const open = (config: object) => () => Tokenizer.fromJson(gpt2Json, { add_bos_token: true, ...config });
    expect(open({})).toThrow(/add_bos_token needs a bos_token/);
    expect(open({ bos_token: "<s>" })).toThrow(/add_bos_token needs a bos_token.*got "<s>"/);
  });
});
