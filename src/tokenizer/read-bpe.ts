import { BytePairEncoding } from "./bpe.ts";
import { quote, unusable } from "./json.ts";
import { byteName } from "./token-bytes.ts";
import type { Vocabulary } from "./tokenizer-json.ts";

/** Reads the `model` of a tokenizer.json, whose `merges` are a list, and finds where its merges never lead across. */
export function readBpe(
  model: Record<string, unknown>,
  vocabulary: Vocabulary,
  fileName: string,
): { bpe: BytePairEncoding; boundaries: RegExp | undefined } {
  const path = `${fileName}, model`;
  for (const key of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    if (![undefined, null, "", 0].includes(model[key] as null)) {
      throw unusable(`${path}.${key}`, "golgi reads models without it", quote(model[key]));
    }
  }
  const { textIds } = vocabulary;
  const merges = readMerges(model, vocabulary, path);
  const ignoresMerges = model.ignore_merges === true;
  const bpe = new BytePairEncoding({
    idOf: textIds,
    merges,
    unknownId: readUnknown(model.unk_token, vocabulary, `${path}.unk_token`),
    fusesUnknown: model.fuse_unk === true,
    byteIds:
      model.byte_fallback === true ? Array.from({ length: 256 }, (_, byte) => textIds.get(byteName(byte))) : undefined,
    ignoresMerges,
  });
  const isDivisible = !ignoresMerges && textIds.has("▁") && !someCross(merges, vocabulary);
  return { bpe, boundaries: isDivisible ? BEFORE_WORDS : undefined };
}

/** SentencePiece marks the beginning of a word, and its vocabularies seldom hold more than one word in a token. */
const BEFORE_WORDS = /▁*[^▁]+|▁+/g;

function someCross(merges: Int32Array, { tokens }: Vocabulary): boolean {
  return merges.some((id, i) => i % 3 === 2 && /[^▁]▁/.test(tokens[id] as string));
}

/** Left, right and merged id of each merge; text does not become a special token by merges. */
function readMerges(model: Record<string, unknown>, { textIds, idOf, added }: Vocabulary, path: string): Int32Array {
  const special = new Set(added.flatMap((token) => (token.special ? [token.id] : [])));
  const find = (token: string): number | undefined => textIds.get(token) ?? idOf(token);
  const pairs = readMergePairs(model, path);
  const merges = new Int32Array(pairs.length * 3);
  let size = 0;
  for (const [rank, [first, second]] of pairs.entries()) {
    const [left, right, merged] = [find(first), find(second), find(first + second)];
    if (left === undefined || right === undefined || merged === undefined) {
      const expected = "both tokens of a merge, and what they become, must be in the vocabulary";
      throw unusable(`${path}.merges[${rank}]`, expected, quote([first, second]));
    }
    if (special.has(merged)) continue;
    merges[size] = left;
    merges[size + 1] = right;
    merges[size + 2] = merged;
    size += 3;
  }
  return merges.subarray(0, size);
}

/** The `merges` of a model, each as a list or with a space between. */
export function readMergePairs({ merges }: Record<string, unknown>, path: string): [left: string, right: string][] {
  return (merges as readonly unknown[]).map((merge, rank) => {
    const parts = typeof merge === "string" ? merge.split(" ") : merge;
    if (isPair(parts)) return parts;
    const expected = "a merge must be two tokens, in a list or with a space between";
    throw unusable(`${path}.merges[${rank}]`, expected, quote(merge));
  });
}

function isPair(parts: unknown): parts is [string, string] {
  return Array.isArray(parts) && parts.length === 2 && parts.every((part) => typeof part === "string");
}

function readUnknown(token: unknown, vocabulary: Vocabulary, path: string): number | undefined {
  if (token === undefined || token === null) return undefined;
  const id = typeof token === "string" ? vocabulary.idOf(token) : undefined;
  if (id !== undefined) return id;
  throw unusable(path, "it must be in the vocabulary", quote(token));
}
