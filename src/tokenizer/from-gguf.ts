/** The tokenizer that a GGUF file's metadata hold, as a tokenizer.json says it. */
import { findGgufPre, GGUF_PRES, type GgufPre } from "./gguf-pre.ts";
import { quote, unusable } from "./json.ts";
import { mergesOfScores } from "./scores.ts";
import { byteName } from "./token-bytes.ts";

/** Values of a file's metadata by key. */
export type TokenizerMetadata = ReadonlyMap<string, { readonly value: unknown }>;

/** The two files of transformers, parsed. */
export interface TokenizerFiles {
  readonly tokenizerJson: Record<string, unknown>;
  readonly tokenizerConfig: Record<string, unknown>;
}

/** `tokenizer.ggml.token_type` by number. */
export const TOKEN_TYPES = ["undefined", "normal", "unknown", "control", "user-defined", "unused", "byte"] as const;
type TokenType = (typeof TOKEN_TYPES)[number];

interface Entries {
  readonly tokens: readonly string[];
  readonly ids: ReadonlyMap<string, number>;
  readonly types: readonly TokenType[];
}

/** Whether the metadata hold a tokenizer, of whatever kind. */
export function hasGgufTokenizer(values: TokenizerMetadata): boolean {
  const model = values.get("tokenizer.ggml.model")?.value;
  return model !== undefined && model !== "none" && model !== "no_vocab";
}

/**
 * Reads `tokenizer.ggml.*`: byte-level vocabularies ("gpt2") with merges and the name of their pre-tokenizer, and
 * SentencePiece ("llama") with scores.
 * @throws CheckpointError (`checkpoint.tokenizer`) for others, by name, and for damaged ones.
 */
export function ggufToTokenizerJson(values: TokenizerMetadata, fileName: string): TokenizerFiles {
  const reader = new Reader(values, fileName);
  const model = reader.string("model");
  if (model !== "gpt2" && model !== "llama") {
    const expected = "golgi reads the tokenizers gpt2 (byte-level BPE) and llama (SentencePiece)";
    throw unusable(reader.path("model"), expected, quote(model), "Give token ids instead of text.");
  }
  const entries = readEntries(reader);
  const pre = model === "gpt2" ? readPre(reader) : undefined;
  const [bosId, eosId] = [reader.id("bos_token_id", entries), reader.id("eos_token_id", entries)];
  const addsBos = reader.flag("add_bos_token") ?? (model === "llama" || pre?.addsBos === true);
  const addsEos = reader.flag("add_eos_token") ?? false;
  const [bos, eos] = [reader.around("bos", addsBos, bosId), reader.around("eos", addsEos, eosId)];
  // Whatever their types say, since no text may begin or end another.
  const special = new Set([bos, ...ggufEndTokens(values)]);
  return {
    tokenizerJson: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: addedTokens(entries, special),
      ...(pre === undefined ? sentencePiece(reader, entries) : byteLevel(reader, entries, pre)),
      post_processor: templateOf(bos, eos, entries),
    },
    tokenizerConfig: {
      bos_token: bosId === undefined ? null : entries.tokens[bosId],
      eos_token: eosId === undefined ? null : entries.tokens[eosId],
      add_bos_token: addsBos,
      add_eos_token: addsEos,
      clean_up_tokenization_spaces: false,
      model_max_length: 1e30,
      tokenizer_class: "PreTrainedTokenizerFast",
    },
  };
}

/**
 * Tokens that end a text: those that the metadata name, and control tokens that end turns, which few files name. What is
 * damaged counts for nothing here.
 */
export function ggufEndTokens(values: TokenizerMetadata): number[] {
  const get = (key: string) => values.get(`tokenizer.ggml.${key}`)?.value;
  const tokens = get("tokens");
  if (!Array.isArray(tokens)) return [];
  const types = get("token_type") as ArrayLike<unknown> | undefined;
  const named = ["eos_token_id", "eot_token_id", "eom_token_id"].map((key) => idOf(get(key)));
  const found = END_NAMES.map((name) => tokens.indexOf(name)).filter(
    (id) => TOKEN_TYPES[Number(types?.[id])] === "control",
  );
  // In gpt-oss <|end|> ends a message within a turn.
  const noEnd = tokens.includes("<|return|>") ? tokens.indexOf("<|end|>") : -1;
  const ids = [...named, ...found].filter((id) => id >= 0 && id < tokens.length && id !== noEnd);
  return [...new Set(ids)];
}

/** A whole number of any type; -1 for what is none. */
function idOf(value: unknown): number {
  const id = typeof value === "bigint" ? Number(value) : value;
  return Number.isInteger(id) ? (id as number) : -1;
}

/** By the names that models of chats give them, as in llama.cpp. */
const END_NAMES: readonly string[] = [
  ...["<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>"],
  ...["<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<｜end▁of▁sentence｜>"],
];

function readEntries(reader: Reader): Entries {
  const tokens = reader.list("tokens", "string") as string[];
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    const other = ids.get(token);
    if (other !== undefined) {
      throw unusable(reader.path("tokens"), "no token may be there twice", `${quote(token)} as ${other} and ${id}`);
    }
    ids.set(token, id);
  }
  const types = reader.optionalList("token_type", "number", tokens.length);
  return {
    tokens,
    ids,
    types: tokens.map((_, id) => TOKEN_TYPES[(types?.[id] as number | undefined) ?? 1] ?? "undefined"),
  };
}

function addedTokens({ tokens, types }: Entries, special: ReadonlySet<number | undefined>): object[] {
  return tokens.flatMap((content, id) => {
    const isSpecial = special.has(id) || types[id] === "control" || types[id] === "unknown";
    if (!isSpecial && types[id] !== "user-defined") return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: isSpecial }];
  });
}

function templateOf(bos: number | undefined, eos: number | undefined, { tokens }: Entries): object | null {
  if (bos === undefined && eos === undefined) return null;
  const around = (id: number | undefined, type: number) =>
    id === undefined ? [] : [{ SpecialToken: { id: tokens[id], type_id: type } }];
  const part = (name: "A" | "B", type: number) => [
    ...around(bos, type),
    { Sequence: { id: name, type_id: type } },
    ...around(eos, type),
  ];
  const specialTokens = [bos, eos].flatMap((id) =>
    id === undefined ? [] : [[tokens[id], { id: tokens[id], ids: [id], tokens: [tokens[id]] }] as const],
  );
  return {
    type: "TemplateProcessing",
    single: part("A", 0),
    pair: [...part("A", 0), ...part("B", 1)],
    special_tokens: Object.fromEntries(specialTokens),
  };
}

function byteLevel(reader: Reader, { tokens, types }: Entries, pre: GgufPre): Record<string, unknown> {
  const merges = reader.list("merges", "string") as string[];
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    normalizer: pre.normalizer === undefined ? null : { type: pre.normalizer },
    pre_tokenizer: pre.steps.length === 1 ? pre.steps[0] : { type: "Sequence", pretokenizers: pre.steps },
    decoder: bytes,
    model: {
      ...{ type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: pre.ignoresMerges === true },
      vocab: vocabularyOf(tokens, (id) => types[id] !== "control" && types[id] !== "user-defined"),
      merges,
    },
  };
}

function sentencePiece(reader: Reader, { tokens, types, ids }: Entries): Record<string, unknown> {
  if (reader.flag("remove_extra_whitespaces") === true) {
    const path = reader.path("remove_extra_whitespaces");
    throw unusable(path, "white space of a text must not be taken away, as in SentencePiece for BPE", "true");
  }
  const hasPrefix = reader.flag("add_space_prefix") ?? true;
  const scores = reader.list("scores", "number", tokens.length) as number[];
  const mark = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const steps = hasPrefix ? [{ type: "Prepend", prepend: "▁" }, mark] : [mark];
  const unknownId = reader.id("unknown_token_id", { tokens }) ?? types.indexOf("unknown");
  const hasBytes = Array.from({ length: 256 }, (_, byte) => byteName(byte)).every((name) => ids.has(name));
  const isText = (id: number) => types[id] === "normal" || types[id] === "user-defined";
  return {
    normalizer: { type: "Sequence", normalizers: steps },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(hasPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      ...{ type: "BPE", dropout: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ unk_token: tokens[unknownId] ?? null, fuse_unk: true, byte_fallback: hasBytes, ignore_merges: false },
      vocab: vocabularyOf(tokens, () => true),
      merges: mergesOfScores(tokens.flatMap((token, id) => (isText(id) ? [{ token, score: scores[id] }] : []))),
    },
  };
}

function vocabularyOf(tokens: readonly string[], isEntry: (id: number) => boolean): Record<string, number> {
  const entries = tokens.flatMap((token, id) => (isEntry(id) ? [[token, id] as const] : []));
  return Object.fromEntries(entries);
}

const NO_PRE = "Give token ids instead of text, or convert the model again where the converter left it out.";

function readPre(reader: Reader): GgufPre {
  const name = reader.optionalString("pre");
  const pre = name === undefined ? undefined : findGgufPre(name);
  if (pre !== undefined) return pre;
  const known = GGUF_PRES.flatMap(({ names }) => names).sort();
  throw unusable(reader.path("pre"), `the pre-tokenizer must be one of ${known.join(", ")}`, quote(name), NO_PRE);
}

/** Values of `tokenizer.ggml.*`, checked. */
class Reader {
  readonly #values: TokenizerMetadata;
  readonly #fileName: string;

  constructor(values: TokenizerMetadata, fileName: string) {
    this.#values = values;
    this.#fileName = fileName;
  }

  path(key: string): string {
    return `${this.#fileName}: tokenizer.ggml.${key}`;
  }

  string(key: string): string {
    const value = this.optionalString(key);
    if (value !== undefined) return value;
    throw unusable(this.path(key), "it must be a string", "nothing");
  }

  optionalString(key: string): string | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === "string") return value;
    throw unusable(this.path(key), "it must be a string", quote(value));
  }

  flag(key: string): boolean | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw unusable(this.path(key), "it must be true or false", quote(value));
  }

  id(key: string, { tokens }: Pick<Entries, "tokens">): number | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    const id = idOf(value);
    if (id >= 0 && id < tokens.length) return id;
    throw unusable(this.path(key), `it must be an id from 0 to ${tokens.length - 1}`, quote(value));
  }

  /** The id that goes around every text; undefined where none does. */
  around(name: "bos" | "eos", isAdded: boolean, id: number | undefined): number | undefined {
    if (!isAdded || id !== undefined) return isAdded ? id : undefined;
    throw unusable(this.path(`add_${name}_token`), `it needs ${name}_token_id`, "none");
  }

  list(key: string, type: "string" | "number", length?: number): readonly unknown[] {
    const list = this.optionalList(key, type, length);
    if (list !== undefined) return list;
    throw unusable(this.path(key), `it must be a list of ${type}s`, "nothing");
  }

  optionalList(key: string, type: "string" | "number", length?: number): readonly unknown[] | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    const list =
      Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value as ArrayLike<unknown>) : undefined;
    if (list === undefined || list.some((item) => typeof item !== type)) {
      throw unusable(this.path(key), `it must be a list of ${type}s`, quote(value));
    }
    if (length !== undefined && list.length !== length) {
      throw unusable(this.path(key), `it must have one entry for each of ${length} tokens`, `${list.length}`);
    }
    return list;
  }

  #get(key: string): unknown {
    return this.#values.get(`tokenizer.ggml.${key}`)?.value;
  }
}
