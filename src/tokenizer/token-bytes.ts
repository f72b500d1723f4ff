/**
 * The bytes that a vocabulary entry adds to a text, as the `decoder` of tokenizer.json defines them. Text comes from
 * bytes and never from decoded pieces, since one character may be spread over several tokens.
 */
import { isObject, quote, unusable } from "./json.ts";

/** A decoder, reduced to what it does to one entry and to the beginning of a text. */
export interface TokenBytes {
  /** `isAdded`: the entry is one of `added_tokens`, which byte-level decoders do not read in the byte alphabet. */
  bytesOf(token: string, isAdded: boolean): Uint8Array<ArrayBuffer>;
  /** How many spaces at the very beginning of a text are taken away: those that encoding had put there. */
  readonly nLeadingSpaces: number;
}

const REMEDY = "golgi reads the decoders ByteLevel, Metaspace, and a Sequence of Replace, ByteFallback, Fuse, Strip.";

/** Reads the `decoder` of a tokenizer.json; refuses by name (`checkpoint.tokenizer`) what it cannot stream. */
export function readDecoder(decoder: unknown, fileName: string): TokenBytes {
  const steps = decoderSteps(decoder);
  return steps.length === 1 && steps[0]?.type === "ByteLevel"
    ? { bytesOf: (token, isAdded) => (isAdded ? utf8(token) : byteLevelBytes(token)), nLeadingSpaces: 0 }
    : readSentencePiece(steps, `${fileName}, decoder`);
}

/** Whole characters as themselves, every other byte as `<0xNN>`. */
export function bytesForDisplay(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const [lead = 0] = bytes.subarray(at);
    const length = sequenceLength(lead);
    const character = decodeWhole(bytes.subarray(at, at + length));
    text += character ?? byteName(lead);
    at += character === undefined ? 1 : length;
  }
  return text;
}

/** How many of the first bytes are spaces, counted up to `nAtMost`. */
export function countLeadingSpaces(bytes: Uint8Array, nAtMost: number): number {
  let n = 0;
  while (n < nAtMost && bytes[n] === 0x20) n++;
  return n;
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/**
 * GPT-2's alphabet, which spells bytes in printable characters: printable Latin-1 stands for itself, the other
 * bytes follow from U+0100 on in ascending order (`bytes_to_unicode` in openai/gpt-2, src/encoder.py).
 */
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = (() => {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  let nOthers = 0;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [
      String.fromCodePoint(isPrintable(byte) ? byte : 0x100 + nOthers++),
      byte,
    ]),
  );
})();

const CHARACTER_OF_BYTE: readonly string[] = Array.from(BYTE_OF_CHARACTER.keys());

/** A text's bytes, spelled in the alphabet. */
export function byteLevelText(text: string): string {
  return Array.from(utf8(text), (byte) => CHARACTER_OF_BYTE[byte]).join("");
}

/** An entry with a character outside the alphabet was not spelled in it, and stands for itself. */
function byteLevelBytes(token: string): Uint8Array<ArrayBuffer> {
  const bytes = Array.from(token, (character) => BYTE_OF_CHARACTER.get(character));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : utf8(token);
}

type Step = Readonly<Record<string, unknown>>;

/** The decoders in order of application, nested sequences laid flat. */
function decoderSteps(decoder: unknown): Step[] {
  if (!isObject(decoder)) return [{ type: decoder }];
  if (decoder.type !== "Sequence" || !Array.isArray(decoder.decoders)) return [decoder];
  return decoder.decoders.flatMap(decoderSteps);
}

function readSentencePiece(steps: readonly Step[], path: string): TokenBytes {
  const replacements: [pattern: string, content: string][] = [];
  let [hasByteFallback, isFused, nLeadingSpaces] = [false, false, 0];
  const refuse = (expected: string, step: Step) => unusable(path, expected, quote(step), REMEDY);

  for (const step of steps) {
    switch (step.type) {
      case "Replace":
      case "Metaspace": {
        if (hasByteFallback || isFused) throw refuse(`${step.type} must come before ByteFallback and Fuse`, step);
        const replacement = step.type === "Replace" ? readReplace(step) : readMetaspace(step);
        if (replacement === undefined) throw refuse("Replace must put one string for another", step);
        replacements.push(replacement);
        if (step.type === "Metaspace") nLeadingSpaces = isPrepending(step) ? 1 : 0;
        break;
      }
      case "ByteFallback":
        if (isFused) throw refuse("ByteFallback must come before Fuse", step);
        hasByteFallback = true;
        break;
      case "Fuse":
        isFused = true;
        break;
      case "Strip":
        if (!isFused) throw refuse("Strip must come after Fuse, so that it acts on the whole text", step);
        if (step.content !== " " || step.stop !== 0 || !isCount(step.start)) {
          throw refuse("Strip must take spaces from the beginning only", step);
        }
        nLeadingSpaces = step.start;
        break;
      default:
        throw refuse("the type of a decoder must be one that golgi reads", step);
    }
  }
  return { bytesOf: (token) => pieceBytes(token, replacements, hasByteFallback), nLeadingSpaces };
}

function pieceBytes(
  token: string,
  replacements: readonly (readonly [pattern: string, content: string])[],
  hasByteFallback: boolean,
): Uint8Array<ArrayBuffer> {
  const text = replacements.reduce((piece, [pattern, content]) => piece.replaceAll(pattern, () => content), token);
  const byte = hasByteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1] : undefined;
  return byte === undefined ? utf8(text) : Uint8Array.of(Number.parseInt(byte, 16));
}

function readReplace(step: Step): [string, string] | undefined {
  const pattern = isObject(step.pattern) ? step.pattern.String : undefined;
  return typeof pattern === "string" && pattern !== "" && typeof step.content === "string"
    ? [pattern, step.content]
    : undefined;
}

function readMetaspace(step: Step): [string, string] {
  return [typeof step.replacement === "string" && step.replacement !== "" ? step.replacement : "▁", " "];
}

/** `add_prefix_space: false` is how older files say `prepend_scheme: "never"`. */
function isPrepending(step: Step): boolean {
  return step.prepend_scheme === undefined ? step.add_prefix_space !== false : step.prepend_scheme !== "never";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function decodeWhole(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** How many bytes the UTF-8 sequence has that begins with `lead`. */
function sequenceLength(lead: number): number {
  if (lead < 0xc0) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}

/** How SentencePiece's vocabularies name a byte. */
export function byteName(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}
