import { RequestError } from "../errors.ts";
import { ggufToTokenizerJson, type TokenizerMetadata } from "./from-gguf.ts";
import { isObject, quote, unusable } from "./json.ts";
import { readNormalizer } from "./normalizer.ts";
import { readPreTokenizer } from "./pre-tokenizer.ts";
import { readBpe } from "./read-bpe.ts";
import { TokenStream } from "./stream.ts";
import { TextEncoding } from "./text-encoding.ts";
import { bytesForDisplay, countLeadingSpaces, readDecoder, type TokenBytes, utf8 } from "./token-bytes.ts";
import { type ReadTokenizer, readTokenizerJson, type Vocabulary } from "./tokenizer-json.ts";

interface Parts extends Omit<ReadTokenizer, "model"> {
  readonly encoding: TextEncoding;
  readonly tokenBytes: TokenBytes;
}

/**
 * Text to token ids and back, for byte-pair vocabularies of both kinds: byte-level (GPT-2, Llama 3, Qwen) and
 * SentencePiece (Llama 2, Mistral, Gemma).
 */
export class Tokenizer {
  readonly #encoding: TextEncoding;
  readonly #tokens: Vocabulary["tokens"];
  readonly #tokenBytes: TokenBytes;
  readonly #template: Parts["template"];
  readonly #added: ReadonlySet<number>;
  readonly #special: ReadonlySet<number>;
  /** One more than the highest id; ids between may be unused. */
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Tokens that mark places (begin, end, roles) and are not text. */
  readonly specialTokens: readonly { readonly id: number; readonly text: string }[];

  private constructor({ encoding, vocabulary, tokenBytes, template, bosTokenId, eosTokenId }: Parts) {
    const { tokens, added } = vocabulary;
    const special = added.filter((token) => token.special);
    this.#encoding = encoding;
    this.#tokens = tokens;
    this.#tokenBytes = tokenBytes;
    this.#template = template;
    this.#added = new Set(added.map(({ id }) => id));
    this.#special = new Set(special.map(({ id }) => id));
    this.vocabSize = tokens.length;
    this.bosTokenId = bosTokenId;
    this.eosTokenId = eosTokenId;
    this.specialTokens = special.map(({ id, content }) => ({ id, text: content }));
  }

  get bosToken(): string | undefined {
    return this.bosTokenId === undefined ? undefined : this.token(this.bosTokenId);
  }

  get eosToken(): string | undefined {
    return this.eosTokenId === undefined ? undefined : this.token(this.eosTokenId);
  }

  /**
   * From the parsed tokenizer.json and tokenizer_config.json of a model. `fileName` names the former in errors
   * (`checkpoint.tokenizer`), which say what golgi cannot use.
   */
  static fromJson(tokenizerJson: unknown, tokenizerConfig: unknown, fileName = "tokenizer.json"): Tokenizer {
    if (!isObject(tokenizerJson)) {
      throw unusable(fileName, "the file must hold a JSON object", quote(tokenizerJson));
    }
    const read = readTokenizerJson(tokenizerJson, tokenizerConfig, fileName);
    const { model, vocabulary } = read;
    return new Tokenizer({
      ...read,
      encoding: new TextEncoding({
        added: vocabulary.added,
        normalize: readNormalizer(tokenizerJson.normalizer, `${fileName}, normalizer`),
        preTokenizer: readPreTokenizer(tokenizerJson.pre_tokenizer, `${fileName}, pre_tokenizer`),
        ...readBpe(model, vocabulary, fileName),
      }),
      tokenBytes: readDecoder(tokenizerJson.decoder, fileName),
    });
  }

  /** From the metadata of a GGUF file, which `fileName` names in errors (`checkpoint.tokenizer`). */
  static fromGguf(values: TokenizerMetadata, fileName: string): Tokenizer {
    const { tokenizerJson, tokenizerConfig } = ggufToTokenizerJson(values, fileName);
    return Tokenizer.fromJson(tokenizerJson, tokenizerConfig, `${fileName}, as tokenizer.json`);
  }

  /**
   * The ids of a text. With `addSpecialTokens` (the default) BOS comes first where the model has one, and only once where
   * the text itself begins with it. Special tokens that a text spells are text like any other, since users may write
   * anything; with `parseSpecialTokens` they become their ids, as in what a chat template makes.
   */
  encode(
    text: string,
    {
      addSpecialTokens = true,
      parseSpecialTokens = false,
    }: { addSpecialTokens?: boolean; parseSpecialTokens?: boolean } = {},
  ): number[] {
    const ids = this.#encoding.encode(text.toWellFormed(), parseSpecialTokens);
    if (!addSpecialTokens) return ids;
    const isBosThere = ids.length > 0 && ids[0] === this.bosTokenId;
    const template = isBosThere && this.#template[0] === this.bosTokenId ? this.#template.slice(1) : this.#template;
    return template.flatMap((id) => id ?? ids);
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
    const token = Number.isInteger(id) ? this.#tokens[id] : undefined;
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

  /** Whether the vocabulary has an id: models may have rows for more, which no text becomes. */
  has(id: number): boolean {
    return this.#tokens[id] !== undefined;
  }

  /** The token that reads so (see `text`), the lowest id of several; undefined where none does. */
  idOf(text: string): number | undefined {
    const id = this.#tokens.findIndex((token, i) => token !== undefined && this.text(i) === text);
    return id < 0 ? undefined : id;
  }

  /** The bytes that the token adds to a text, within it; none for a special token. */
  bytes(id: number): Uint8Array {
    return this.#special.has(id) ? new Uint8Array() : this.#bytesOf(id);
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
    if (this.#special.has(id)) return utf8(token);
    return this.#tokenBytes.bytesOf(token, this.#added.has(id));
  }
}
