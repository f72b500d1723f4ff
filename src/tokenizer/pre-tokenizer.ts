/**
 * Splits a text into the pieces within which merges take place, as the `pre_tokenizer` of a tokenizer.json says. Every
 * kind of splitting is a pattern and what becomes of its matches; byte-level steps also respell a piece.
 */
import { isObject, quote, unusable } from "./json.ts";
import { readPattern } from "./pattern.ts";
import { byteLevelText } from "./token-bytes.ts";

/** One step: a piece becomes several, or is respelled. `isFirst`: the piece begins the text. */
type Step = (piece: string, isFirst: boolean) => readonly string[];

/** In two parts, of which the second looks at nothing but a piece, so that what becomes of it can be remembered. */
export interface PreTokenizer {
  readonly split: Step;
  finish(piece: string): readonly string[];
}

export function readPreTokenizer(preTokenizer: unknown, path: string): PreTokenizer {
  const steps = readSteps(preTokenizer, path);
  const lastOfSplit = Math.max(
    steps.findIndex(({ role }) => role === "divides"),
    steps.findLastIndex(({ role }) => role === "asks"),
  );
  const split = chain(steps.slice(0, lastOfSplit + 1));
  const finish = chain(steps.slice(lastOfSplit + 1));
  return { split, finish: (piece) => finish(piece, false) };
}

interface ReadStep {
  readonly step: Step;
  /** It divides a text into pieces, it respells a piece, or it also asks whether a piece begins the text. */
  readonly role: "divides" | "respells" | "asks";
}

function chain(steps: readonly ReadStep[]): Step {
  const [first, ...others] = steps.map(({ step }) => step);
  if (first === undefined) return (piece) => [piece];
  return (piece, isFirst) =>
    others.reduce<readonly string[]>(
      (pieces, step) => pieces.flatMap((one, i) => step(one, isFirst && i === 0)),
      first(piece, isFirst),
    );
}

const WHITE_SPACE = /\p{White_Space}/gu;
const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const NUMBER = /\p{N}/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;
const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{White_Space}]+/gu;

function readSteps(preTokenizer: unknown, path: string): ReadStep[] {
  if (preTokenizer === undefined || preTokenizer === null) return [];
  const step = isObject(preTokenizer) ? preTokenizer : { type: preTokenizer };
  const splitting = (pattern: RegExp, behavior: Behavior, isInverted = false): ReadStep => ({
    step: (piece) => splitAt(piece, pattern, behavior, isInverted),
    role: "divides",
  });
  switch (step.type) {
    case "Sequence":
      if (!Array.isArray(step.pretokenizers))
        throw unusable(path, "a Sequence must list its pretokenizers", quote(step));
      return step.pretokenizers.flatMap((one) => readSteps(one, path));
    case "Split": {
      const pattern = readPattern(step.pattern, path);
      return [splitting(pattern, readBehavior(step.behavior, "Removed", path), step.invert === true)];
    }
    case "Digits":
      return [splitting(NUMBER, step.individual_digits === true ? "Isolated" : "Contiguous")];
    case "Punctuation":
      return [splitting(PUNCTUATION, readBehavior(step.behavior, "Isolated", path))];
    case "WhitespaceSplit":
      return [splitting(WHITE_SPACE, "Removed")];
    case "Whitespace":
      return [splitting(WORD, "Removed", true)];
    case "ByteLevel":
      return readByteLevel(step);
    case "Metaspace":
      return [{ step: readMetaspace(step, path), role: "asks" }];
    default: {
      const known = "ByteLevel, Digits, Metaspace, Punctuation, Split, Whitespace, WhitespaceSplit";
      throw unusable(path, `its type must be ${known}, or a Sequence of them`, quote(step));
    }
  }
}

function readByteLevel(step: Record<string, unknown>): ReadStep[] {
  const respell: ReadStep = { step: (piece) => [byteLevelText(piece)], role: "respells" };
  const prefix: ReadStep = { step: (piece) => [piece.startsWith(" ") ? piece : ` ${piece}`], role: "respells" };
  const split: ReadStep = { step: (piece) => splitAt(piece, GPT2, "Isolated", false), role: "divides" };
  return [...(step.add_prefix_space === true ? [prefix] : []), ...(step.use_regex === false ? [] : [split]), respell];
}

function readMetaspace(step: Record<string, unknown>, path: string): Step {
  const { replacement = "▁", prepend_scheme: scheme = "always", add_prefix_space: isPrefixing } = step;
  if (typeof replacement !== "string" || replacement === "") {
    throw unusable(path, "the replacement of Metaspace must be a character", quote(replacement));
  }
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") {
    throw unusable(path, "prepend_scheme must be always, first or never", quote(scheme));
  }
  const mark = readPattern({ String: replacement }, path);
  return (piece, isFirst) => {
    const marked = piece.replaceAll(" ", () => replacement);
    const isPrepending = isPrefixing !== false && (scheme === "always" || (scheme === "first" && isFirst));
    const text = isPrepending && !marked.startsWith(replacement) ? replacement + marked : marked;
    return step.split === false ? [text] : splitAt(text, mark, "MergedWithNext", false);
  };
}

const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = (typeof BEHAVIORS)[number];

function readBehavior(behavior: unknown, normally: Behavior, path: string): Behavior {
  const known = BEHAVIORS.find((one) => one === (behavior ?? normally));
  if (known !== undefined) return known;
  throw unusable(path, `behavior must be ${BEHAVIORS.join(", ")}`, quote(behavior));
}

/** A stretch of the text, which the pattern matched or which lies between matches. */
interface Span {
  readonly text: string;
  readonly isMatch: boolean;
}

function splitAt(text: string, pattern: RegExp, behavior: Behavior, isInverted: boolean): readonly string[] {
  if (behavior === "Isolated" || (behavior === "Removed" && isInverted)) {
    const matches = text.match(pattern) ?? [];
    // The usual case: the pattern leaves nothing out.
    if (matches.reduce((length, match) => length + match.length, 0) === text.length) return matches.filter(isSome);
  }
  const spans = spansOf(text, pattern).map((span) => ({ ...span, isMatch: span.isMatch !== isInverted }));
  return join(spans, behavior).filter(isSome);
}

function isSome(text: string): boolean {
  return text !== "";
}

/** An empty match divides the text, too. */
function spansOf(text: string, pattern: RegExp): Span[] {
  const spans: Span[] = [];
  let done = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (index > done) spans.push({ text: text.slice(done, index), isMatch: false });
    if (match !== "") spans.push({ text: match, isMatch: true });
    done = index + match.length;
  }
  if (done < text.length) spans.push({ text: text.slice(done), isMatch: false });
  return spans;
}

function join(spans: readonly Span[], behavior: Behavior): string[] {
  if (behavior === "Removed") return spans.filter(({ isMatch }) => !isMatch).map(({ text }) => text);
  if (behavior === "Isolated") return spans.map(({ text }) => text);
  const groups: string[] = [];
  const ordered = behavior === "MergedWithNext" ? spans.toReversed() : spans;
  for (const [i, { text, isMatch }] of ordered.entries()) {
    const before = ordered[i - 1];
    const isJoined =
      before !== undefined && (behavior === "Contiguous" ? isMatch === before.isMatch : isMatch && !before.isMatch);
    if (!isJoined) groups.push(text);
    else if (behavior === "MergedWithNext") groups.push(text + groups.pop());
    else groups.push(groups.pop() + text);
  }
  return behavior === "MergedWithNext" ? groups.reverse() : groups;
}
