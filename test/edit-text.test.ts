/** Edits as text, as objects and as JSON. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PointError } from "../src/errors.ts";
import type { EditObject, EditSpec } from "../src/glass/edit-spec.ts";
import { formatEdit, readEdit } from "../src/glass/edit-text.ts";
import { MALFORMED, MALFORMED_JSON, MALFORMED_OBJECTS } from "./support/malformed-edits.ts";

const V = { file: "vec.safetensors", tensor: "v" };
const CLEAN = { file: "clean.safetensors" };
const { POSITIVE_INFINITY: INFINITY } = Number;

const EDITS: readonly (readonly [text: string, edit: EditObject])[] = [
  ["L5.N1234 = 0", { at: "L5.N1234", set: 0 }],
  ["L5.H3@7 = 0", { at: "L5.H3", positions: 7, set: 0 }],
  ["L5.H3@-1 = -0.5", { at: "L5.H3", positions: -1, set: -0.5 }],
  ["L5.N3@2:5 = 1e-7", { at: "L5.N3", positions: [2, 5], set: 1e-7 }],
  ["L5.N3@all = 1e+21", { at: "L5.N3", positions: "all", set: 1e21 }],
  ["L3.residPost@generated += 4 * vec.safetensors:v", { at: "L3.residPost", positions: "generated", add: V, times: 4 }],
  ["L3.residPost += vec.safetensors:v", { at: "L3.residPost", add: V }],
  ["L3.residPost -= vec.safetensors:v", { at: "L3.residPost", add: V, times: -1 }],
  ["L3.residPost@prompt -= 0.5 * vec.safetensors:v", { at: "L3.residPost", positions: "prompt", add: V, times: -0.5 }],
  ["L3.residPost += 2", { at: "L3.residPost", add: 2 }],
  ["L3.residPost += 3 * [1, -2]", { at: "L3.residPost", add: [1, -2], times: 3 }],
  ["L2.mlp *= 0.5", { at: "L2.mlp", scale: 0.5 }],
  ["L2.mlp *= [0, 1]", { at: "L2.mlp", scale: [0, 1] }],
  ["L3.residPost = [0.1, 2, 3]", { at: "L3.residPost", set: [0.1, 2, 3] }],
  ["L3.residPost = vec.safetensors:v", { at: "L3.residPost", set: V }],
  ["L2.mlp = clamp(-1, 1)", { at: "L2.mlp", clamp: [-1, 1] }],
  ["L2.mlp = clamp(0, Infinity)", { at: "L2.mlp", clamp: [0, INFINITY] }],
  ["L3.residPost = projectOut(vec.safetensors:v)", { at: "L3.residPost", projectOut: V }],
  ["L4.H1 = patch(clean.safetensors)", { at: "L4.H1", patch: CLEAN }],
  ["L4.H1@3 = patch(clean.safetensors, 2)", { at: "L4.H1", positions: 3, patch: CLEAN, sequence: 2 }],
  ["L4.H1 = mean(clean.safetensors)", { at: "L4.H1", mean: CLEAN }],
  ['embed = "my file":"a:b"', { at: "embed", set: { file: "my file", tensor: "a:b" } }],
  ["l_out-5 = 0", { at: "l_out-5", set: 0 }],
  ["L*.H3.pattern[7] = 0", { at: "L*.H3.pattern[7]", set: 0 }],
  ["layers_output[5][2] = 0", { at: "layers_output[5][2]", set: 0 }],
  ["L5.E17.N200@7 *= 2", { at: "L5.E17.N200", positions: 7, scale: 2 }],
  ["L5.E17.weight = 0", { at: "L5.E17.weight", set: 0 }],
  ["L5.router ban 17", { at: "L5.router", ban: 17 }],
  ["blocks.5.router@2:5 ban [3, 17]", { at: "blocks.5.router", positions: [2, 5], ban: [3, 17] }],
  ["L*.router force [17]", { at: "L*.router", force: [17] }],
  ["L5.router@generated swap 3 -> 17", { at: "L5.router", positions: "generated", swap: [3, 17] }],
];

describe("an edit", () => {
  it.each(EDITS)("%s is the same as text, as an object and as JSON", (text, edit) => {
    expect(readEdit(text)).toEqual(edit);
    expect(readEdit(edit)).toEqual(edit);
    // JSON has no infinite numbers.
    if (!text.includes("Infinity")) expect(readEdit(` ${JSON.stringify(edit)}`)).toEqual(edit);
  });

  it.each(EDITS)("%s is written as it is read", (text, edit) => {
    expect(formatEdit(edit)).toBe(text);
  });

  it.each<[text: string, canonical: string]>([
    ["  L5.N3=0  ", "L5.N3 = 0"],
    ["L5.N3@7=+.5", "L5.N3@7 = 0.5"],
    ["L5.N3@-1-=2", "L5.N3@-1 -= 2"],
    ["L2.mlp*=2", "L2.mlp *= 2"],
    ["l_out-5-=v:x", "l_out-5 -= v:x"],
    ["L*.H3 = 0 @prompt", "L*.H3@prompt = 0"],
    ["L3.residPost+=4*vec.safetensors:v@generated", "L3.residPost@generated += 4 * vec.safetensors:v"],
    ["L3.residPost -= -4 * v:x", "L3.residPost += 4 * v:x"],
    ["L3.residPost += -4 * v:x", "L3.residPost -= 4 * v:x"],
    ["L2.mlp = clamp( -inf ,1 )", "L2.mlp = clamp(-Infinity, 1)"],
    ["L2.mlp = patch( clean.st ,0 )@1", "L2.mlp@1 = patch(clean.st, 0)"],
    ["L2.mlp = C:\\vec.safetensors:v", 'L2.mlp = "C:\\\\vec.safetensors":v'],
    ["L2.mlp = ../dir/vec.safetensors:blocks.3.dir", "L2.mlp = ../dir/vec.safetensors:blocks.3.dir"],
    ['{"at": "L5.N3@7", "set": 0}', "L5.N3@7 = 0"],
    ["L5.router  ban[ 3 ,17]@7", "L5.router@7 ban [3, 17]"],
    ["L5.router swap 3->17 @prompt", "L5.router@prompt swap 3 -> 17"],
    ['{"at": "L5.router.weights", "expert": 17, "scale": 2}', "L5.experts.17.weight *= 2"],
    ['{"at": "blocks.*.experts.post[3]@7", "expert": 17, "set": 0}', "blocks.*.experts.17.post[3]@7 = 0"],
  ])("%s is %s", (text, canonical) => {
    expect(formatEdit(readEdit(text))).toBe(canonical);
    expect(readEdit(canonical)).toEqual(readEdit(text));
  });

  it("carries positions in its address or beside it, with one result", () => {
    const beside = readEdit({ at: "L5.N3", positions: [2, 5], set: 0 });
    expect(readEdit({ at: "L5.N3@2:5", set: 0 })).toEqual(beside);
    expect(readEdit("L5.N3 = 0 @2:5")).toEqual(beside);
  });

  it("keeps functions, recordings in memory and typed arrays as they are", () => {
    const call = () => undefined;
    const recording = { points: [], sequences: [], get: call, start: () => 0, mean: call } as never;
    const vector = Float32Array.of(1, 2);
    expect(readEdit({ at: "L5", call }).call).toBe(call);
    expect(readEdit({ at: "L5", patch: recording }).patch).toBe(recording);
    expect(readEdit({ at: "L5", add: vector }).add).toBe(vector);
    expect(formatEdit({ at: "L5", call })).toBe("L5 = call");
    expect(formatEdit({ at: "L5", mean: recording })).toBe("L5 = mean(recording)");
    expect(formatEdit({ at: "L5", set: new Float64Array(4096) })).toBe("L5 = [0, 0, 0, ... 4096 numbers]");
  });

  it("is read back from its text, whatever its numbers and names", () => {
    fc.assert(
      fc.property(anyEdit, (edit) => {
        expect(readEdit(formatEdit(edit))).toEqual(edit);
      }),
      { numRuns: 1000 },
    );
  });

  it("is read back from its JSON, whatever its numbers and names", () => {
    fc.assert(
      fc.property(anyEdit, (edit) => {
        fc.pre(edit.clamp === undefined || edit.clamp.every(Number.isFinite));
        expect(readEdit(JSON.stringify(edit, (_, x) => (Object.is(x, -0) ? 0 : x)))).toEqual(withoutNegativeZero(edit));
      }),
    );
  });

  it("refuses any text with a PointError or reads it, and throws nothing else", () => {
    const pieces = [
      "L5",
      ".N3",
      ".H1",
      "@7",
      "@",
      "=",
      "+=",
      "*",
      "-",
      "0",
      "1e5",
      "[",
      "]",
      ",",
      "(",
      ")",
      "patch",
      "ban",
      "swap",
      "->",
      '"',
      ":",
      "v",
      " ",
      "{",
      "}",
      "\\",
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        try {
          const edit = readEdit(text);
          expect(readEdit(formatEdit(edit))).toEqual(edit);
        } catch (error) {
          expect(error).toBeInstanceOf(PointError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("a malformed edit", () => {
  it("is one of more than 200 different ones", () => {
    expect(new Set(MALFORMED.map(([text]) => text)).size).toBeGreaterThan(200);
  });

  it.each(MALFORMED)("%j is refused at character %i", (text, position, message) => {
    const error = refusal(text);
    expect(error).toMatchObject({ code: "point.edit", position });
    expect(error.message).toContain(`at character ${position}, `);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/; got .+\. \S.*[.?]$/s);
  });

  it.each(MALFORMED_JSON)("%s is refused at character %i", (text, position, message) => {
    expect(refusal(text)).toMatchObject({ code: "point.edit", position, message: expect.stringContaining(message) });
  });

  it.each(MALFORMED_OBJECTS)("$edit is refused: $message", ({ edit, message }) => {
    expect(refusal(edit as EditSpec)).toMatchObject({ code: "point.edit", message: expect.stringContaining(message) });
  });
});

function refusal(spec: EditSpec): PointError {
  try {
    readEdit(spec);
  } catch (error) {
    expect(error).toBeInstanceOf(PointError);
    return error as PointError;
  }
  throw new Error(`${JSON.stringify(spec)} was read`);
}

const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const name = fc.oneof(
  fc.constantFrom("v", "a.b:c", "-x", "5", "C:\\x", 'say "hi"', "a b"),
  fc.string({ minLength: 1, unit: "binary" }),
);
const reference = fc.record({ file: name, tensor: name });
const direction = fc.oneof(fc.array(finite, { minLength: 1, maxLength: 16 }), reference);
const vector = fc.oneof(finite, direction);
const bound = fc.oneof(finite, fc.constantFrom(INFINITY, -INFINITY));

const expert = fc.nat(999);
const experts = fc.oneof(expert, fc.uniqueArray(expert, { minLength: 1, maxLength: 5 }));

const action = fc.oneof(
  fc.record({ set: vector }),
  fc.record({ add: vector, times: finite }, { requiredKeys: ["add"] }),
  fc.record({ scale: vector }),
  fc.tuple(bound, bound).map(([a, b]) => ({ clamp: a <= b ? [a, b] : [b, a] })),
  fc.record({ projectOut: direction }),
  fc.record({ patch: fc.record({ file: name }), sequence: fc.nat() }, { requiredKeys: ["patch"] }),
  fc.record({ mean: fc.record({ file: name }) }),
  fc.record({ ban: experts }),
  fc.record({ force: experts }),
  fc.record({ swap: fc.uniqueArray(expert, { minLength: 2, maxLength: 2 }) }),
);

const place = fc.record(
  {
    at: fc.constantFrom(
      "L5",
      "L5.N12",
      "L*.H3.q[2]",
      "blocks.*.mlp.out",
      "Qcur-5",
      "layers_output[5]",
      "attn_probs.5[3,7]",
      "**",
    ),
    positions: fc.oneof(
      fc.integer({ min: -999, max: 999 }),
      fc.tuple(fc.nat(99), fc.integer({ min: 100, max: 999 })),
      fc.constantFrom("all", "prompt", "generated"),
    ),
  },
  { requiredKeys: ["at"] },
);

const anyEdit = fc.tuple(place, action).map(([where, what]) => ({ ...where, ...what }) as EditObject);

function withoutNegativeZero<T>(value: T): T {
  if (typeof value === "number") return (value === 0 ? 0 : value) as T;
  if (Array.isArray(value)) return value.map(withoutNegativeZero) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutNegativeZero(item)])) as T;
}
