/** A tokenizer.json as the metadata of a GGUF file, where GGUF can say all of it. */
import { TOKEN_TYPES } from "./from-gguf.ts";
import { GGUF_PRES, type GgufPre } from "./gguf-pre.ts";
import { isObject, quote, unusable } from "./json.ts";
import { readNormalizer } from "./normalizer.ts";
import { readMergePairs } from "./read-bpe.ts";
import { mergesOfScores } from "./scores.ts";
import { byteName, readDecoder } from "./token-bytes.ts";
import { type ReadTokenizer, readTokenizerJson, type Vocabulary } from "./tokenizer-json.ts";

/** A value of a GGUF file's metadata. */
export type TokenizerValue =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "u32"; readonly value: number }
  | { readonly type: "array"; readonly of: "string"; readonly value: readonly string[] }
  | { readonly type: "array"; readonly of: "i32" | "f32"; readonly value: readonly number[] };

interface GgufOptions {
  /** Names the file in errors. */
  readonly fileName?: string;
  /** Rows of the embedding, where they are more than the tokenizer has tokens. */
  readonly vocabSize?: number;
  /** Hears what GGUF says less exactly, in sentences without a full stop. */
  readonly onNote?: (note: string) => void;
}

/**
 * From the parsed tokenizer.json and tokenizer_config.json to the metadata `tokenizer.ggml.*`, in the order of a file.
 * @throws CheckpointError (`checkpoint.tokenizer`) for what GGUF cannot say, by name.
 */
export function tokenizerJsonToGguf(
  tokenizerJson: unknown,
  tokenizerConfig: unknown,
  { fileName = "tokenizer.json", vocabSize = 0, onNote = () => {} }: GgufOptions = {},
): (readonly [key: string, value: TokenizerValue])[] {
  if (!isObject(tokenizerJson)) throw unusable(fileName, "the file must hold a JSON object", quote(tokenizerJson));
  const read = readTokenizerJson(tokenizerJson, tokenizerConfig, fileName);
  const { model, vocabulary, bosTokenId, eosTokenId } = read;
  checkAdded(vocabulary, tokenizerJson.normalizer, fileName, onNote);
  const [addsBos, addsEos] = readTemplateEnds(read, fileName);
  const entries = listEntries(read, vocabSize);
  const isByteLevel = stepsOf(tokenizerJson.pre_tokenizer, "pretokenizers").some(({ type }) => type === "ByteLevel");
  const kind = isByteLevel
    ? byteLevel(tokenizerJson, model, fileName)
    : sentencePiece(tokenizerJson, read, entries, fileName, onNote);
  const unknownId = typeof model.unk_token === "string" ? vocabulary.idOf(model.unk_token) : undefined;
  const values: Record<string, TokenizerValue | undefined> = {
    model: { type: "string", value: isByteLevel ? "gpt2" : "llama" },
    pre: { type: "string", value: kind.pre },
    tokens: { type: "array", of: "string", value: entries.tokens },
    scores: kind.scores && { type: "array", of: "f32", value: kind.scores },
    token_type: { type: "array", of: "i32", value: entries.types.map((type) => TOKEN_TYPES.indexOf(type)) },
    merges: kind.merges && { type: "array", of: "string", value: kind.merges },
    bos_token_id: idValue(bosTokenId),
    eos_token_id: idValue(eosTokenId),
    unknown_token_id: idValue(unknownId),
    add_bos_token: { type: "bool", value: addsBos },
    add_eos_token: { type: "bool", value: addsEos },
    add_space_prefix: kind.hasPrefix === undefined ? undefined : { type: "bool", value: kind.hasPrefix },
  };
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [[`tokenizer.ggml.${key}`, value] as const],
  );
}

function idValue(id: number | undefined): TokenizerValue | undefined {
  return id === undefined ? undefined : { type: "u32", value: id };
}

/** What differs between the kinds of tokenizer. */
interface Kind {
  readonly pre: string;
  readonly merges?: readonly string[];
  readonly scores?: readonly number[];
  readonly hasPrefix?: boolean;
}

interface Entries {
  readonly tokens: readonly string[];
  readonly types: readonly (typeof TOKEN_TYPES)[number][];
}

/** Special tokens are found in a text only on request, so how they are found matters less than with others. */
function checkAdded(
  { added }: Vocabulary,
  normalizer: unknown,
  fileName: string,
  onNote: (note: string) => void,
): void {
  const normalize = readNormalizer(normalizer, `${fileName}, normalizer`);
  const inexact = new Map<string, string[]>();
  for (const { content, special, lstrip, rstrip, singleWord, normalized } of added) {
    const isChanged = normalized && normalize(content) !== content;
    if (!lstrip && !rstrip && !singleWord && !isChanged) continue;
    const flag = lstrip ? "lstrip" : rstrip ? "rstrip" : singleWord ? "single_word" : "normalized";
    if (!special) {
      const got = `${quote(content)} with ${flag}`;
      throw unusable(`${fileName}, added_tokens`, "GGUF finds added tokens as they are", got);
    }
    inexact.set(flag, [...(inexact.get(flag) ?? []), quote(content)]);
  }
  for (const [flag, [first, ...others]] of inexact) {
    const more = others.length === 0 ? "" : ` and ${others.length} more`;
    onNote(`GGUF does not know ${flag} of special tokens: those are found as they are written (${first}${more})`);
  }
}

/** Whether BOS begins every text, and EOS ends it. */
function readTemplateEnds({ template, bosTokenId, eosTokenId }: ReadTokenizer, fileName: string): [boolean, boolean] {
  const at = template.indexOf(undefined);
  const [before, after] = [template.slice(0, at), template.slice(at + 1)];
  const isOnly = (ids: ReadTokenizer["template"], id: number | undefined) =>
    ids.length === 0 || (ids.length === 1 && ids[0] === id);
  if (isOnly(before, bosTokenId) && isOnly(after, eosTokenId)) return [before.length > 0, after.length > 0];
  throw unusable(`${fileName}, post_processor`, "GGUF puts BOS before a text and EOS after it alone", quote(template));
}

function listEntries({ model, vocabulary, bosTokenId, eosTokenId }: ReadTokenizer, vocabSize: number): Entries {
  const { tokens, added, textIds } = vocabulary;
  const byId = new Map(added.map((token) => [token.id, token]));
  const byteIds = new Set(
    model.byte_fallback === true ? Array.from({ length: 256 }, (_, byte) => textIds.get(byteName(byte))) : [],
  );
  const ids = Array.from({ length: Math.max(tokens.length, vocabSize) }, (_, id) => id);
  return {
    tokens: ids.map((id) => tokens[id] ?? `[PAD${id}]`),
    types: ids.map((id) => {
      const token = byId.get(id);
      if (tokens[id] === undefined) return "unused";
      if (tokens[id] === model.unk_token && id !== bosTokenId && id !== eosTokenId) return "unknown";
      if (token !== undefined) return token.special ? "control" : "user-defined";
      return byteIds.has(id) ? "byte" : "normal";
    }),
  };
}

function byteLevel(tokenizerJson: Record<string, unknown>, model: Record<string, unknown>, fileName: string): Kind {
  const steps = stepsOf(tokenizerJson.pre_tokenizer, "pretokenizers").map(canonical).join("\n");
  const normalizers = stepsOf(tokenizerJson.normalizer, "normalizers").map(({ type }) => type);
  const isSame = (pre: GgufPre) =>
    pre.steps.map((step) => canonical({ ...step })).join("\n") === steps &&
    (pre.ignoresMerges === true) === (model.ignore_merges === true) &&
    normalizers.join() === (pre.normalizer ?? "");
  const pre = GGUF_PRES.find(isSame);
  if (pre === undefined) {
    const got = quote({ normalizers, ignore_merges: model.ignore_merges === true, pre_tokenizer: steps });
    throw unusable(`${fileName}, pre_tokenizer`, "it must be one that GGUF has a name for", got);
  }
  checkDecoder(tokenizerJson.decoder, 0, fileName);
  const merges = readMergePairs(model, `${fileName}, model`);
  const spaced = merges.find((parts) => parts.some((part) => part.includes(" ")));
  if (spaced !== undefined) {
    throw unusable(`${fileName}, model.merges`, "GGUF writes a space between the tokens of a merge", quote(spaced));
  }
  return { pre: pre.names[0], merges: merges.map((parts) => parts.join(" ")) };
}

/** A step of a pre-tokenizer, so that steps that do the same are the same. */
function canonical(step: Record<string, unknown>): string {
  const { type, pattern, behavior, invert, individual_digits: isEach, add_prefix_space: hasPrefix } = step;
  const isIsolated = (behavior === "Isolated" && invert !== true) || (behavior === "Removed" && invert === true);
  if (type === "Split" && isIsolated && isObject(pattern) && typeof pattern.Regex === "string") return pattern.Regex;
  if (type === "Digits") return isEach === true ? "each digit" : "digits";
  if (type === "Punctuation") return `punctuation ${behavior}`;
  if (type === "ByteLevel" && hasPrefix !== true) return step.use_regex === false ? "bytes" : "GPT-2 and bytes";
  return JSON.stringify(step);
}

function sentencePiece(
  tokenizerJson: Record<string, unknown>,
  { model, vocabulary }: ReadTokenizer,
  { tokens, types }: Entries,
  fileName: string,
  onNote: (note: string) => void,
): Kind {
  const hasPrefix = readPrefix(tokenizerJson, fileName);
  checkDecoder(tokenizerJson.decoder, hasPrefix ? 1 : 0, fileName);
  const nBytes = types.filter((type) => type === "byte").length;
  if (nBytes !== 256 && nBytes !== 0) {
    throw unusable(`${fileName}, model`, "byte_fallback needs a token for each byte", `${nBytes} of 256`);
  }
  if (nBytes === 0) onNote("the vocabulary has no bytes, and llama.cpp refuses characters that it lacks");
  const special = new Set(vocabulary.added.flatMap((token) => (token.special ? [token.content] : [])));
  const merges = readMergePairs(model, `${fileName}, model`).filter((parts) => !special.has(parts.join("")));
  const order = new Map<string, number>();
  for (const parts of merges) if (!order.has(parts.join(""))) order.set(parts.join(""), order.size);
  const scores = tokens.map((token, id) => {
    if (types[id] !== "normal" && types[id] !== "user-defined") return 0;
    return -(order.get(token) ?? order.size + id);
  });
  const entries = tokens.flatMap((token, id) =>
    types[id] === "normal" || types[id] === "user-defined" ? [{ token, score: scores[id] }] : [],
  );
  const implied = mergesOfScores(entries);
  if (groups(implied) !== groups(merges)) {
    onNote(
      `GGUF has scores in place of merges: they allow ${implied.length} where tokenizer.json lists ${merges.length}, so some words may be split otherwise`,
    );
  }
  return { pre: "default", scores, hasPrefix };
}

/** Merges in order, those that make the same token sorted: SentencePiece knows no order among them. */
function groups(merges: readonly (readonly [string, string])[]): string {
  const keyed = merges.map(([left, right]) => ({ token: left + right, nLeft: left.length }));
  const first = new Map<string, number>();
  for (const [i, { token }] of keyed.entries()) if (keyed[i - 1]?.token !== token) first.set(token, i);
  keyed.sort((a, b) => (first.get(a.token) ?? 0) - (first.get(b.token) ?? 0) || a.nLeft - b.nLeft);
  return keyed.map(({ token, nLeft }) => `${token} ${nLeft}`).join("\n");
}

/** Whether a space goes before every text. */
function readPrefix({ normalizer, pre_tokenizer: preTokenizer }: Record<string, unknown>, fileName: string): boolean {
  const normalizers = stepsOf(normalizer, "normalizers").map((step) => {
    if (step.type === "Prepend" && step.prepend === "▁") return "prefix";
    return step.type === "Replace" && isSpace(step.pattern) && step.content === "▁" ? "mark" : quote(step);
  });
  const steps = stepsOf(preTokenizer, "pretokenizers").flatMap((step) => {
    // Without spaces in the text it does nothing.
    if (step.type === "Split" && isSpace(step.pattern) && normalizers.includes("mark")) return [];
    const { type, replacement = "▁", prepend_scheme: scheme = "always", add_prefix_space: isPrefixing } = step;
    const isMark = type === "Metaspace" && replacement === "▁" && step.split === false;
    if (isMark && (scheme === "never" || isPrefixing === false)) return ["mark"];
    return isMark && scheme === "always" ? ["prefix", "mark"] : [quote(step)];
  });
  const all = [...normalizers, ...steps].join();
  if (all === "prefix,mark" || all === "mark") return all === "prefix,mark";
  const expected =
    "with the pre_tokenizer it must do what GGUF says of SentencePiece: a ▁ for each space, and one before";
  throw unusable(`${fileName}, normalizer`, expected, all);
}

function isSpace(pattern: unknown): boolean {
  return isObject(pattern) && pattern.String === " ";
}

function checkDecoder(decoder: unknown, nLeadingSpaces: number, fileName: string): void {
  const { nLeadingSpaces: n } = readDecoder(decoder, fileName);
  if (n === nLeadingSpaces) return;
  throw unusable(`${fileName}, decoder`, `it must take away ${nLeadingSpaces} leading spaces, as with GGUF`, `${n}`);
}

/** Steps in order, nested sequences laid flat. */
function stepsOf(step: unknown, list: "normalizers" | "pretokenizers"): Record<string, unknown>[] {
  if (step === undefined || step === null) return [];
  if (!isObject(step)) return [{ type: step }];
  const inner = step[list];
  return step.type === "Sequence" && Array.isArray(inner) ? inner.flatMap((one) => stepsOf(one, list)) : [step];
}
