import type { AddedToken } from "./added-tokens.ts";
import { isObject, quote, unusable } from "./json.ts";

/** The entries of a tokenizer.json by id. */
export interface Vocabulary {
  /** Holes are ids that no entry has. */
  readonly tokens: readonly (string | undefined)[];
  /** What text may become: entries of the model, without special tokens. */
  readonly textIds: ReadonlyMap<string, number>;
  /** In the order of the file. */
  readonly added: readonly AddedToken[];
  idOf(token: string): number | undefined;
}

/** What a tokenizer.json says beside how text is split. */
export interface ReadTokenizer {
  /** Of byte-pair encoding, with `merges`. */
  readonly model: Record<string, unknown>;
  readonly vocabulary: Vocabulary;
  /** Ids around a text, undefined in place of the text. */
  readonly template: readonly (number | undefined)[];
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
}

/** What golgi uses of tokenizer_config.json. */
interface TokenizerSettings {
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  /** False also where the file does not say: then the post-processor alone decides. */
  readonly addBosToken: boolean;
}

/** Above any real vocabulary; keeps a damaged id from allocating gigabytes. */
const MAX_ID = 2 ** 21;

export function readTokenizerJson(json: Record<string, unknown>, config: unknown, fileName: string): ReadTokenizer {
  const model = readModel(json.model, fileName);
  const vocabulary = readVocabulary(model, json.added_tokens, fileName);
  const settings = readSettings(config, "tokenizer_config.json");
  const template = readTemplate(json.post_processor, vocabulary, fileName);
  const eosTokenId = settings.eosToken === undefined ? undefined : vocabulary.idOf(settings.eosToken);
  return { model, vocabulary, eosTokenId, ...resolveBos(settings, template, vocabulary) };
}

/** Older files leave out the type of a byte-pair model. */
function readModel(model: unknown, fileName: string): Record<string, unknown> {
  if (!isObject(model)) throw unusable(`${fileName}, model`, "it must be an object", quote(model));
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  if (type === "BPE" && Array.isArray(model.merges)) return model;
  const expected = "the model must be byte-pair encoding (BPE) with a list of merges";
  throw unusable(`${fileName}, model`, expected, `type ${quote(type)}`, "Use a model with another tokenizer.");
}

function readVocabulary(model: Record<string, unknown>, addedTokens: unknown, fileName: string): Vocabulary {
  const tokens: (string | undefined)[] = [];
  const readEntry = (path: string, token: unknown, id: unknown): number => {
    if (typeof token !== "string") throw unusable(path, "a token must be a string", quote(token));
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > MAX_ID) {
      throw unusable(`${path}, token ${quote(token)}`, `an id must be an integer from 0 to ${MAX_ID}`, quote(id));
    }
    tokens[id as number] = token;
    return id as number;
  };

  const path = `${fileName}, model.vocab`;
  if (!isObject(model.vocab)) {
    throw unusable(path, "the vocabulary must be an object from token to id", quote(model.vocab));
  }
  const textIds = new Map<string, number>();
  for (const [token, id] of Object.entries(model.vocab)) textIds.set(token, readEntry(path, token, id));

  const added = readList(addedTokens ?? [], `${fileName}, added_tokens`).map((entry): AddedToken => {
    const id = readEntry(`${fileName}, added_tokens`, entry.content, entry.id);
    const special = entry.special === true;
    return {
      ...{ id, special, content: entry.content as string, singleWord: entry.single_word === true },
      ...{ lstrip: entry.lstrip === true, rstrip: entry.rstrip === true },
      normalized: entry.normalized === undefined ? !special : entry.normalized === true,
    };
  });
  const addedIds = new Map(added.map(({ content, id }) => [content, id]));
  for (const { content, special } of added) if (special) textIds.delete(content);
  return { tokens, textIds, added, idOf: (token) => addedIds.get(token) ?? textIds.get(token) };
}

function readSettings(config: unknown, fileName: string): TokenizerSettings {
  if (config !== undefined && !isObject(config)) {
    throw unusable(fileName, "the file must hold a JSON object", quote(config));
  }
  return {
    bosToken: tokenText(config?.bos_token),
    eosToken: tokenText(config?.eos_token),
    addBosToken: config?.add_bos_token === true,
  };
}

/** What the post-processor puts around a single text. */
function readTemplate(postProcessor: unknown, vocabulary: Vocabulary, fileName: string): ReadTokenizer["template"] {
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
    const tokenId = typeof name === "string" ? vocabulary.idOf(name) : undefined;
    if (tokenId !== undefined) return tokenId;
    throw unusable(`${path}.single`, "its special tokens must be in the vocabulary", quote(special));
  });
}

/** The post-processor's template goes first; `add_bos_token` counts where the template leaves BOS out. */
function resolveBos(
  settings: TokenizerSettings,
  template: ReadTokenizer["template"],
  vocabulary: Vocabulary,
): Pick<ReadTokenizer, "bosTokenId" | "template"> {
  const [first] = template;
  const bosTokenId = settings.bosToken === undefined ? first : vocabulary.idOf(settings.bosToken);
  if (settings.addBosToken && bosTokenId === undefined) {
    const expected = "add_bos_token needs a bos_token of the vocabulary";
    const remedy = "Name it, or leave out add_bos_token.";
    throw unusable("tokenizer_config.json", expected, quote(settings.bosToken), remedy);
  }
  const isMissing = settings.addBosToken && first === undefined;
  return { bosTokenId, template: isMissing ? [bosTokenId, ...template] : template };
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
