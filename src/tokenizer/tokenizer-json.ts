import { isObject, quote, unusable } from "./json.ts";

/** The entries of a tokenizer.json by id. */
export interface Vocabulary {
  /** Holes are ids that no entry has. */
  readonly tokens: readonly (string | undefined)[];
  readonly idOf: ReadonlyMap<string, number>;
  /** Ids of `added_tokens`, which are found in a text before it is split. */
  readonly added: ReadonlySet<number>;
  /** Those of them that mark places (begin, end, roles) and are not text. */
  readonly special: ReadonlySet<number>;
}

/** What golgi uses of tokenizer_config.json. */
export interface TokenizerSettings {
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  /** False also where the file does not say: then the post-processor alone decides. */
  readonly addBosToken: boolean;
}

/** Above any real vocabulary; keeps a damaged id from allocating gigabytes. */
const MAX_ID = 2 ** 24;

export function readVocabulary(model: Record<string, unknown>, addedTokens: unknown, fileName: string): Vocabulary {
  const tokens: (string | undefined)[] = [];
  const idOf = new Map<string, number>();
  const add = (path: string, token: unknown, id: unknown) => {
    if (typeof token !== "string") throw unusable(path, "a token must be a string", quote(token));
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > MAX_ID) {
      throw unusable(`${path}, token ${quote(token)}`, `an id must be an integer from 0 to ${MAX_ID}`, quote(id));
    }
    tokens[id as number] = token;
    idOf.set(token, id as number);
    return id as number;
  };

  const path = `${fileName}, model.vocab`;
  if (!isObject(model.vocab)) {
    throw unusable(path, "the vocabulary must be an object from token to id", quote(model.vocab));
  }
  for (const [token, id] of Object.entries(model.vocab)) add(path, token, id);

  const [added, special] = [new Set<number>(), new Set<number>()];
  for (const entry of readList(addedTokens ?? [], `${fileName}, added_tokens`)) {
    const id = add(`${fileName}, added_tokens`, entry.content, entry.id);
    added.add(id);
    if (entry.special === true) special.add(id);
  }
  return { tokens, idOf, added, special };
}

export function readSettings(config: unknown, fileName: string): TokenizerSettings {
  if (config !== undefined && !isObject(config)) {
    throw unusable(fileName, "the file must hold a JSON object", quote(config));
  }
  return {
    bosToken: tokenText(config?.bos_token),
    eosToken: tokenText(config?.eos_token),
    addBosToken: config?.add_bos_token === true,
  };
}

/**
 * What the post-processor puts around a single text: special tokens by name, undefined in place of the text.
 * The names are in the vocabulary: the library would turn others into the unknown token.
 */
export function readTemplate(
  postProcessor: unknown,
  vocabulary: Vocabulary,
  fileName: string,
): readonly (string | undefined)[] {
  const path = `${fileName}, post_processor`;
  if (postProcessor === undefined || postProcessor === null) return [undefined];
  const processor: Record<string, unknown> = isObject(postProcessor) ? postProcessor : { type: postProcessor };
  const { type, processors, single } = processor;
  if (type === "ByteLevel") return [undefined];
  if (type === "Sequence") {
    const templates = readList(processors, path).map((inner) => readTemplate(inner, vocabulary, fileName));
    return templates.find((template) => template.length > 1) ?? [undefined];
  }
  if (type !== "TemplateProcessing") {
    throw unusable(path, "its type must be ByteLevel, TemplateProcessing or a Sequence of them", quote(type));
  }
  return readList(single, `${path}.single`).map(({ SpecialToken: special }) => {
    if (special === undefined) return undefined;
    const name = isObject(special) ? special.id : special;
    if (typeof name === "string" && vocabulary.idOf.has(name)) return name;
    throw unusable(`${path}.single`, "its special tokens must be in the vocabulary", quote(special));
  });
}

/** Files write a token as its text, or as an object that also says how it is matched. */
function tokenText(value: unknown): string | undefined {
  const text = isObject(value) ? value.content : value;
  return typeof text === "string" ? text : undefined;
}

function readList(value: unknown, path: string): Record<string, unknown>[] {
  if (Array.isArray(value) && value.every(isObject)) return value;
  throw unusable(path, "it must be a list of objects", quote(value));
}
