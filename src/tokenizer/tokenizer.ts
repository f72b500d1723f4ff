import { Tokenizer as Library } from "@huggingface/tokenizers";
import { RequestError } from "../errors.ts";
import { isObject, quote, unusable } from "./json.ts";
import { TokenStream } from "./stream.ts";
import { bytesForDisplay, countLeadingSpaces, readDecoder, type TokenBytes, utf8 } from "./token-bytes.ts";
import {
  readSettings,
  readTemplate,
  readVocabulary,
  type TokenizerSettings,
  type Vocabulary,
} from "./tokenizer-json.ts";

interface Parts {
  readonly library: Library;
  readonly vocabulary: Vocabulary;
  readonly tokenBytes: TokenBytes;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Who puts BOS in front: the library's post-processor, this class, or nobody. */
  readonly addsBos: "library" | "here" | "nobody";
}

/**
 * Text to token ids and back, for byte-pair vocabularies of both kinds: byte-level (GPT-2, Llama 3, Qwen) and
 * SentencePiece (Llama 2, Mistral, Gemma). Encoding is the library's; bytes, decoding and streaming are our own.
 */
export class Tokenizer {
  readonly #library: Library;
  readonly #vocabulary: Vocabulary;
  readonly #tokenBytes: TokenBytes;
  readonly #addsBos: Parts["addsBos"];
  /** One more than the highest id; ids between may be unused. */
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;

  private constructor(parts: Parts) {
    this.#library = parts.library;
    this.#vocabulary = parts.vocabulary;
    this.#tokenBytes = parts.tokenBytes;
    this.#addsBos = parts.addsBos;
    this.vocabSize = parts.vocabulary.tokens.length;
    this.bosTokenId = parts.bosTokenId;
    this.eosTokenId = parts.eosTokenId;
  }

  /**
   * From the parsed tokenizer.json and tokenizer_config.json of a model. `fileName` names the former in errors
   * (`checkpoint.tokenizer`), which say what golgi cannot use.
   */
  static fromJson(tokenizerJson: unknown, tokenizerConfig: unknown, fileName = "tokenizer.json"): Tokenizer {
    if (!isObject(tokenizerJson)) {
      throw unusable(fileName, "the file must hold a JSON object", quote(tokenizerJson));
    }
    const model = readModel(tokenizerJson.model, fileName);
    const vocabulary = readVocabulary(model, tokenizerJson.added_tokens, fileName);
    const settings = readSettings(tokenizerConfig, "tokenizer_config.json");
    checkUnknownToken(model.unk_token, vocabulary, fileName);
    const [templateBos] = readTemplate(tokenizerJson.post_processor, vocabulary, fileName);
    return new Tokenizer({
      library: openLibrary({ ...tokenizerJson, model }, tokenizerConfig, fileName),
      vocabulary,
      tokenBytes: readDecoder(tokenizerJson.decoder, fileName),
      eosTokenId: settings.eosToken === undefined ? undefined : vocabulary.idOf.get(settings.eosToken),
      ...resolveBos(settings, templateBos, vocabulary),
    });
  }

  /**
   * The ids of a text. With `addSpecialTokens` (the default) BOS comes first where the model has one, and only once
   * where the text itself begins with it. Special tokens that the text spells become their ids in any case.
   */
  encode(text: string, { addSpecialTokens = true }: { addSpecialTokens?: boolean } = {}): number[] {
    const { ids } = this.#library.encode(text, { add_special_tokens: addSpecialTokens });
    const bos = this.bosTokenId;
    if (!addSpecialTokens || bos === undefined) return ids;
    if (this.#addsBos === "library" && ids[0] === bos && ids[1] === bos) return ids.slice(1);
    return this.#addsBos === "here" && ids[0] !== bos ? [bos, ...ids] : ids;
  }

  /** The text of ids; special tokens leave none unless `skipSpecialTokens` is false, then they leave their names. */
  decode(ids: readonly number[], { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}): string {
    const pieces = ids.map((id) => (skipSpecialTokens ? this.bytes(id) : this.#bytesOf(id)));
    const bytes = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
    let size = 0;
    for (const piece of pieces) {
      bytes.set(piece, size);
      size += piece.length;
    }
    const nSpaces = countLeadingSpaces(bytes, this.#tokenBytes.nLeadingSpaces);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(nSpaces));
  }

  /** The raw vocabulary entry, e.g. `▁the` or `Ġthe`. */
  token(id: number): string {
    const token = Number.isInteger(id) ? this.#vocabulary.tokens[id] : undefined;
    if (token !== undefined) return token;
    throw new RequestError("request.tokens", {
      path: "tokens",
      expected: `an id must be one of the vocabulary's, from 0 to ${this.vocabSize - 1}`,
      got: `${id}`,
      remedy: "Encode the text with this model's own tokenizer.",
    });
  }

  /** One token for display: its text with its leading space, stray bytes as `<0xE2>`, a special token by its name. */
  text(id: number): string {
    return bytesForDisplay(this.#bytesOf(id));
  }

  /** The bytes that the token adds to a text, within it; none for a special token. */
  bytes(id: number): Uint8Array {
    return this.#vocabulary.special.has(id) ? new Uint8Array() : this.#bytesOf(id);
  }

  /**
   * The text of tokens as they arrive, without special tokens. `before`: the ids whose text is shown already, such
   * as the prompt's; the stream goes on where they end, so a space that belongs between the two is kept.
   */
  stream(before: readonly number[] = []): TokenStream {
    const stream = new TokenStream((id) => this.bytes(id), this.#tokenBytes.nLeadingSpaces);
    for (const id of before) stream.push(id);
    return stream;
  }

  #bytesOf(id: number): Uint8Array<ArrayBuffer> {
    const token = this.token(id);
    if (this.#vocabulary.special.has(id)) return utf8(token);
    return this.#tokenBytes.bytesOf(token, this.#vocabulary.added.has(id));
  }
}

/** Older files leave out the type of a byte-pair model. */
function readModel(model: unknown, fileName: string): Record<string, unknown> {
  if (!isObject(model)) throw unusable(`${fileName}, model`, "it must be an object", quote(model));
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  if (type === "BPE" && Array.isArray(model.merges)) return { ...model, type };
  const expected = "the model must be byte-pair encoding (BPE) with a list of merges";
  throw unusable(`${fileName}, model`, expected, `type ${quote(type)}`, "Use a model with another tokenizer.");
}

/** The post-processor's template goes first; `add_bos_token` counts where the template leaves BOS out. */
function resolveBos(
  settings: TokenizerSettings,
  templateBos: string | undefined,
  vocabulary: Vocabulary,
): Pick<Parts, "bosTokenId" | "addsBos"> {
  const bosToken = settings.bosToken ?? templateBos;
  const bosTokenId = bosToken === undefined ? undefined : vocabulary.idOf.get(bosToken);
  if (settings.addBosToken && bosTokenId === undefined) {
    const expected = "add_bos_token needs a bos_token of the vocabulary";
    const remedy = "Name it, or leave out add_bos_token.";
    throw unusable("tokenizer_config.json", expected, quote(settings.bosToken), remedy);
  }
  if (templateBos !== undefined) return { bosTokenId, addsBos: "library" };
  return { bosTokenId, addsBos: settings.addBosToken ? "here" : "nobody" };
}

/** Without this check the library would hand out undefined ids. */
function checkUnknownToken(token: unknown, vocabulary: Vocabulary, fileName: string): void {
  if (token === undefined || token === null || vocabulary.idOf.has(token as string)) return;
  throw unusable(`${fileName}, model.unk_token`, "it must be in the vocabulary", quote(token));
}

function openLibrary(tokenizerJson: Record<string, unknown>, config: unknown, fileName: string): Library {
  // The library reads these keys without asking whether they are there; files of older versions leave some out.
  const absent = { normalizer: null, pre_tokenizer: null, post_processor: null, added_tokens: [] };
  try {
    return new Library({ ...absent, ...tokenizerJson }, { ...(config ?? {}), clean_up_tokenization_spaces: false });
  } catch (cause) {
    const got = `"${(cause as Error).message}"`;
    throw unusable(fileName, "the tokenizer library must understand the file", got, undefined, cause);
  }
}
