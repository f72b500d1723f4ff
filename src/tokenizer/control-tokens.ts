import { RequestError } from "../errors.ts";

/** Characters that Unicode keeps for use within a program, and that no text has. */
const NONCHARACTERS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

/** A stretch of a rendered chat; as text, whatever special tokens it spells are none. */
export interface Stretch {
  readonly text: string;
  readonly isText: boolean;
}

/**
 * Tells special tokens that a chat template writes from those that a message's text spells, which must not end a turn or
 * begin another. Before rendering, a mark breaks each one that the messages spell; whatever the template then does with the
 * text, what is whole afterwards is the template's own.
 */
export class ControlTokens {
  readonly #starts: RegExp;
  readonly #whole: RegExp;
  readonly #texts: string;

  constructor(texts: readonly string[]) {
    // A mark does not fit into a single character.
    const breakable = texts.filter((text) => Array.from(text).length > 1).sort((a, b) => b.length - a.length);
    const any = breakable.map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|") || "(?!)";
    this.#starts = new RegExp(`(?=${any}).`, "gsu");
    this.#whole = new RegExp(`(${any})`, "u");
    this.#texts = breakable.join("");
  }

  /** `values` with their special tokens broken by `mark`; no mark where they spell none. */
  protect<T>(values: T, source: string): { values: T; mark: string | undefined } {
    const all: string[] = [];
    mapTexts(values, (text) => {
      all.push(text);
      return text;
    });
    if (!all.some((text) => this.#whole.test(text))) return { values, mark: undefined };
    const taken = [...all, source, this.#texts];
    const mark = NONCHARACTERS.find((one) => !taken.some((text) => text.includes(one)));
    if (mark === undefined) {
      const [path, got] = ["messages", "all of U+FDD0 to U+FDEF"];
      throw new RequestError("request.chat", { path, expected: "must leave out a noncharacter of Unicode", got });
    }
    return { values: mapTexts(values, (text) => text.replaceAll(this.#starts, `$&${mark}`)), mark };
  }

  /** The stretches of a text that was rendered with marks. Between two special tokens a text stays one stretch. */
  split(rendered: string, mark: string): Stretch[] {
    const stretches: Stretch[] = [];
    let own = "";
    // Special tokens are the odd pieces.
    for (const piece of rendered.split(this.#whole)) {
      if (!piece.includes(mark)) {
        own += piece;
        continue;
      }
      stretches.push({ text: own, isText: false }, { text: piece.replaceAll(mark, ""), isText: true });
      own = "";
    }
    return [...stretches, { text: own, isText: false }].filter(({ text }) => text !== "");
  }
}

/** `value` with each string in it replaced, however deep, keys too. */
function mapTexts<T>(value: T, map: (text: string) => string): T {
  if (typeof value === "string") return map(value) as T;
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, map)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [map(key), mapTexts(item, map)])) as T;
}
