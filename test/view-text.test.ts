/** Views as text: that they fit their width whatever tokens hold, and how they read. */

import { inspect, stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RequestError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import { attention } from "../src/views/attention.ts";
import { diff } from "../src/views/diff.ts";
import { head } from "../src/views/head.ts";
import { neuron } from "../src/views/neuron.ts";
import { type Printable, report } from "../src/views/report.ts";
import { residual } from "../src/views/residual.ts";
import { figures } from "../src/views/text/figures.ts";
import { bar, heatMap } from "../src/views/text/picture.ts";
import { table } from "../src/views/text/table.ts";
import { quoteToken, widthOf } from "../src/views/text/width.ts";
import { stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { range } from "./support/view-cases.ts";

const widest = (text: string): number => Math.max(...text.split("\n").map(widthOf));

const HOSTILE = [
  ...[
    "\u001b[31mred",
    "\u001b]0;title\u0007",
    "a\nb\r\tc",
    "\u202eright to left",
    "日本語のとても長いトークンです",
    "👩‍👩‍👧‍👧",
    "é".normalize("NFD"),
  ],
  ...["", " ", "\u00a0", "\u200b", "x".repeat(200), "\ud800", '"', "\\", "│"],
];

describe("a report", () => {
  const made = () => report({ a: 1, rows: [{ b: 2 }] }, (width) => `${width} columns`);

  it("is plain data to JSON, to loops over its keys and to copies", () => {
    expect(JSON.stringify(made())).toBe('{"a":1,"rows":[{"b":2}]}');
    expect(Object.keys(made())).toEqual(["a", "rows"]);
    expect(structuredClone(made())).toEqual({ a: 1, rows: [{ b: 2 }] });
  });

  it("prints itself as a string, in the width asked for, and in Node's console", () => {
    expect(`${made()}`).toBe("80 columns");
    expect(made().toString({ width: 120 })).toBe("120 columns");
    expect(inspect(made())).toBe("80 columns");
  });

  it("refuses a width that no table fits", () => {
    for (const width of [39, 80.5, Number.NaN]) expect(() => made().toString({ width })).toThrow(RequestError);
  });
});

describe("a table", () => {
  const rows = HOSTILE.map((text, i) => [text, quoteToken(text), i, i / 7, null, `${i} ${text}`]);
  const head = ["text", "token", "n", "share", "none", "日本語"];

  it.each([40, 60, 80, 200])(
    "keeps within %i columns, one line for each row, and lets nothing steer the terminal",
    (width) => {
      const text = table({ head, rows, width });
      expect(widest(text)).toBeLessThanOrEqual(width);
      expect(text.split("\n")).toHaveLength(rows.length + 1);
      expect(stripVTControlCharacters(text)).toBe(text);
      expect(text).not.toMatch(/(?!\n)[\p{Cc}\u200b\u202e]/u);
    },
  );

  it("columns stand in line where characters are wide or combine", () => {
    const lines = table({
      rows: [
        ["日本", 1],
        ["ab", 22],
        ["é".normalize("NFD"), 3],
      ],
      width: 80,
    }).split("\n");
    expect(lines).toEqual(["日本   1", "ab    22", `${"é".normalize("NFD")}      3`]);
  });

  it("numbers stand to the right with equal decimals, and what is not there is a dash", () => {
    const text = table({
      head: ["x", "n"],
      rows: [
        [12.345, 1],
        [-0.5, undefined],
        [null, 30],
      ],
      width: 80,
    });
    expect(text.split("\n")).toEqual(["    x   n", "12.35   1", "-0.50   –", "    –  30"]);
  });

  it("text is cut before numbers are", () => {
    const text = table({ rows: [["x".repeat(100), 123_456, "y".repeat(50)]], width: 40 });
    expect(text).toMatch(/^x+… {2}123456 {2}y+…$/);
    expect(widthOf(text)).toBe(40);
  });

  it("without rows it is its head", () => {
    expect(table({ head: ["a", "b"], rows: [], width: 80 })).toBe("a  b");
  });
});

describe("figures", () => {
  it.each([
    [
      [1, 20, 300],
      ["1", "20", "300"],
    ],
    [
      [0.5, 1.25],
      ["0.500", "1.250"],
    ],
    [
      [1234.5, 0.25],
      ["1235", "2.5e-1"],
    ],
    [
      [0.5, 1e-7, 0],
      ["0.500", "1.0e-7", "0.000"],
    ],
    [
      [1.5e9, 1.5],
      ["1.5e+9", "2"],
    ],
    [
      [0.25, Number.NaN, Number.POSITIVE_INFINITY],
      ["0.250", "NaN", "Infinity"],
    ],
  ])("of %j are %j", (values, expected) => {
    expect(values.map(figures(values))).toEqual(expected);
  });
});

describe("a heat map", () => {
  it("has a darker mark for a larger value, marks of their own below 0, and says what they stand for", () => {
    const map = heatMap(
      [
        [0, 1, 2, 3, 4],
        [0, -1, -2, -4, Number.NaN],
      ],
      { rowLabels: ["a", "b"], width: 41 },
    );
    expect(
      map
        .split("\n")
        .slice(1, 3)
        .map((line) => line.replaceAll(/(.)\1+/g, "$1")),
    ).toEqual(["a ░▒▓█", "b -=#"]);
    expect(map.split("\n")[3]).toBe("░/- ±1  ▒/= ±2  ▓/≡ ±3  █/# ±4");
  });

  it.each([40, 80])("of any size keeps within %i columns, and loses no peak", (width) => {
    const labels = HOSTILE.slice(0, 8);
    for (const nColumns of [0, 1, 7, 30, 79, 80, 500, 1234]) {
      const matrix = labels.map((_, i) => range(nColumns).map((j) => (j === (i * 171) % nColumns ? 9 : 0.1)));
      const columnLabels = range(nColumns).map((j) => HOSTILE[j % HOSTILE.length]);
      const map = heatMap(matrix, { rowLabels: labels, columnLabels, width });
      expect(widest(map)).toBeLessThanOrEqual(width);
      expect(map).not.toMatch(/(?!\n)\p{Cc}/u);
      const marks = map.split("\n").slice(1, -1);
      if (nColumns > 0) for (const line of marks) expect(line).toContain("█");
    }
  });
});

describe("a bar", () => {
  it("grows by eighths, and is empty where there is nothing to show", () => {
    expect([0, 1 / 16, 0.5, 1, 2, -1, Number.NaN].map((share) => bar(share, 2))).toEqual([
      "",
      "▏",
      "█",
      "██",
      "██",
      "",
      "",
    ]);
  });
});

describe("the views of a small model", () => {
  let model: Model;
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  const edits = ["L2.H6 = 0"];
  const views: Readonly<Record<string, (text: string | readonly number[]) => Promise<Printable>>> = {
    attention: (text) => attention(model, text),
    "attention-layer": (text) => attention(model, text, { layers: [2] }),
    neuron: (on) => neuron(model, "L2.N17", { on }),
    head: (on) => head(model, "L2.H6", { on }),
    residual: (text) => residual(model, text),
    diff: (text) => diff(model, { model, edits }, text),
  };

  it.each(Object.keys(views))("%s reads as its snapshot says", async (name) => {
    const text = `${await views[name]("Lily and her mom saw Lily and her cat")}`;
    expect(widest(text)).toBeLessThanOrEqual(80);
    await expect(`${text}\n`).toMatchFileSnapshot(`snapshots/view-${name}.txt`);
  });

  it.each(Object.keys(views))("%s fits any width, with tokens of control characters", async (name) => {
    // Bytes stand at the beginning of the vocabulary.
    const data = await views[name](range(40));
    for (const width of [40, 80, 160]) {
      const text = data.toString({ width });
      expect(widest(text)).toBeLessThanOrEqual(width);
      expect(text).not.toMatch(/(?!\n)\p{Cc}|undefined|NaN/u);
    }
  });

  it.each(Object.keys(views))("%s is the same after a journey through JSON, and has rows for plots", async (name) => {
    const data = await views[name]([1, 5, 9, 5]);
    expect(JSON.parse(JSON.stringify(data))).toEqual(data);
    const { rows } = data as Printable & { readonly rows: readonly Readonly<Record<string, unknown>>[] };
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows)
      for (const value of Object.values(row)) expect(typeof (value ?? 0)).toMatch(/number|string/);
  });
});
