import { isObject, quote, unusable } from "./json.ts";
import { readPattern } from "./pattern.ts";
import { trimEnd, trimStart } from "./white-space.ts";

export type Normalizer = (text: string) => string;

/** Reads the `normalizer` of a tokenizer.json: what happens to a text before it is split. */
export function readNormalizer(normalizer: unknown, path: string): Normalizer {
  if (normalizer === undefined || normalizer === null) return (text) => text;
  const step = isObject(normalizer) ? normalizer : { type: normalizer };
  const refuse = (expected: string) => unusable(path, expected, quote(step));
  switch (step.type) {
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = step.type;
      return (text) => text.normalize(form);
    }
    case "Lowercase":
      return (text) => text.toLowerCase();
    case "Strip": {
      const isLeft = step.strip_left !== false;
      const isRight = step.strip_right !== false;
      return (text) => {
        const left = isLeft ? trimStart(text) : text;
        return isRight ? trimEnd(left) : left;
      };
    }
    case "Prepend": {
      const { prepend } = step;
      if (typeof prepend !== "string") throw refuse("Prepend must say what");
      return (text) => (text === "" ? "" : prepend + text);
    }
    case "Replace": {
      const pattern = readPattern(step.pattern, path);
      const { content } = step;
      if (typeof content !== "string") throw refuse("Replace must say by what");
      return (text) => text.replaceAll(pattern, () => content);
    }
    case "Sequence": {
      if (!Array.isArray(step.normalizers)) throw refuse("a Sequence must list its normalizers");
      const steps = step.normalizers.map((one) => readNormalizer(one, path));
      return (text) => steps.reduce((before, next) => next(before), text);
    }
    default:
      throw refuse("its type must be NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, or a Sequence of them");
  }
}
