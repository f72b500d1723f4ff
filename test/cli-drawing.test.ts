/** What the command line draws, where a process would add nothing to the test. */

import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { renderTrace } from "../node/cli/render-trace.ts";
import { printable } from "../node/cli/terminal.ts";
import type { TracedModel } from "../node/html/trace-data.ts";
import { asManyAsFit, bar, clip, quoteToken, type Trace, widthOf, wrap } from "../node/index.ts";

const ESC = "\u001b";
const widest = (text: string): number => Math.max(...text.split("\n").map((line) => widthOf(line)));

describe("the drawing of a trace", () => {
  const header: TracedModel = {
    name: "some/where/large-model-with-a-rather-long-name-as-they-have-today",
    architecture: "llama",
    backend: "reference",
    config: { nLayers: 1, nHeads: 64, dFf: 28_672 } as TracedModel["config"],
    edits: ["L0.N1 = 0", `L0.residPost = [${"0.1, ".repeat(50)}0]`],
  };
  const longToken = { token: 1, text: `${" ".repeat(100)}\u00a0wide 日本語` };

  function made(length: number): Trace {
    const predictions = [1, 0.0004, 0].map((probability) => ({ ...longToken, probability }));
    const neurons = [-1, 1].map((sign) => ({ neuron: 28_671, value: 12_345 * sign, promotes: [longToken, longToken] }));
    const edge = { layer: 0, head: 63, from: 1, to: 0, weight: 1, fromText: longToken.text, toText: longToken.text };
    const lengths = { attention: length, mlp: length / 2, residual: length * 2 };
    return {
      prompt: "p".repeat(300),
      text: "",
      tokens: [longToken, longToken],
      nPromptTokens: 2,
      position: 1,
      embed: { predictions, length },
      layers: [{ layer: 0, predictions, lengths, neurons, edges: [edge] }],
    };
  }

  it.each([40, 80, 200])("keeps within %i columns with the longest names, tokens and numbers", (width) => {
    for (const length of [0, 1e-9, 99.996, 9999.6, 123_456, 1e9]) {
      const drawn = stripVTControlCharacters(renderTrace(header, made(length), width));
      expect(widest(drawn)).toBeLessThanOrEqual(width);
      expect(drawn).not.toMatch(/NaN|undefined/);
    }
  });

  it("says so where nothing came after the token", () => {
    expect(stripVTControlCharacters(renderTrace(header, made(1), 80))).toContain("Nothing came after this token.");
  });
});

describe("text on a terminal", () => {
  it("is wrapped at spaces, keeps its own lines, and breaks only words that are wider than a line", () => {
    expect(wrap("one two\n\nthree", 7)).toBe("one two\n\nthree");
    expect(wrap("one two three", 8)).toBe("one two\nthree");
    expect(wrap("日本語日本語 a", 5)).toBe("日本\n語日\n本語\na");
  });

  it("is cut at a column, colours aside", () => {
    const red = `${ESC}[31mabcdef${ESC}[39m`;
    expect(clip("abcdef", 6)).toBe("abcdef");
    expect(clip("abcdef", 4)).toBe("abc…");
    expect(clip(red, 6)).toBe(red);
    expect(clip(red, 4)).toBe(`${ESC}[31mabc${ESC}[39m…`);
    expect(clip("日本語", 4)).toBe("日…");
  });

  it("shows as many items as fit, and a part of the first in any case", () => {
    expect(asManyAsFit(["aa", "bb", "cc"], 6)).toBe("aa  bb");
    expect(asManyAsFit(["aaaa"], 3)).toBe("aa…");
    expect(asManyAsFit([], 3)).toBe("");
  });

  it("has no characters that cannot be seen or that steer the terminal", () => {
    expect(quoteToken(' a"\n\u00a0\u200b')).toBe('" a\\"\\n\\u00a0\\u200b"');
    expect(printable(`a\tb\r\n${ESC}[2J\u202e`)).toBe("a    b\n\\u001b[2J\\u202e");
  });

  it("has bars in eighths of a column", () => {
    expect([0, 0.5, 0.5625, 1, 2].map((share) => bar(share, 2))).toEqual(["", "█", "█▏", "██", "██"]);
  });
});
