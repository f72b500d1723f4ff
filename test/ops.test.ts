import { describe, expect, it } from "vitest";
import { reference } from "../src/backends/reference/reference.ts";
import { erf } from "../src/ops/activate/erf.ts";
import { OPS } from "../src/ops/all.ts";
import * as ops from "../src/ops/index.ts";
import type { Composite, Op, Primitive, Sample } from "../src/tape/op.ts";
import { expand } from "../src/tape/rewrite.ts";
import { concreteDims } from "../src/tape/sizes.ts";
import { CANDIDATES, OP_TOLERANCE } from "./op-support/backends.ts";
import { KNOWN, knownTape } from "./op-support/known.ts";
import { type SampleCase, sampleCase } from "./op-support/sample-case.ts";
import { type Outputs, runSteps, stepInputs, type TestRun } from "./op-support/steps.ts";

const SEEDS = [1, 2, 3];

/** Every op with each of its samples, and a name for it. */
const samples = OPS.flatMap((op) =>
  op.samples.map((sample, i): [name: string, Op, Sample] => [`${op.name} (sample ${i})`, op, sample]),
);
const composites = samples.filter((entry): entry is [string, Composite, Sample] => entry[1].kind === "composite");

async function outputsOf({ steps, weights }: SampleCase, run: TestRun): Promise<Outputs> {
  return (await runSteps(steps, { ...run, weights })).at(-1) as Outputs;
}

/** The largest difference of two arrays, absolute or relative, whichever is smaller; infinite where one has a NaN. */
function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const differences = Array.from(expected, (e, i) => {
    if (Object.is(actual[i], e)) return 0;
    const d = Math.abs((actual[i] ?? Number.NaN) - e) / Math.max(1, Math.abs(e));
    return Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  });
  return Math.max(0, ...differences);
}

function expectClose(actual: Outputs, expected: Outputs, tolerance: number): void {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  for (const [name, { shape, data }] of expected) {
    const found = actual.get(name);
    expect(found?.shape).toEqual(shape);
    if (data instanceof Int32Array) expect(found?.data).toEqual(data);
    else expect(difference(found?.data ?? [], data)).toBeLessThanOrEqual(tolerance);
  }
}

describe.each(CANDIDATES)("$backend.name in $precision", ({ backend, precision, unsupported }) => {
  it("has every primitive, or a reason why not", () => {
    const missing = OPS.filter((op) => op.kind === "primitive" && !backend.supports(op));
    expect(missing.map(({ name }) => name)).toEqual(Object.keys(unsupported).sort());
  });

  it.each(samples)("computes %s like the reference in float64", async (_, op, sample) => {
    for (const seed of SEEDS) {
      const sampled = sampleCase(op, sample, seed);
      const expected = await outputsOf(sampled, { backend: reference, precision: "f64" });
      expectClose(await outputsOf(sampled, { backend, precision }), expected, OP_TOLERANCE[precision]);
    }
  });

  it.each(composites)("computes %s as its expansion", async (_, op, sample) => {
    const whole = sampleCase(op, sample, 1);
    const steps = whole.steps.map((step) => ({ ...step, tape: expand(step.tape) }));
    const run = { backend, precision };
    expectClose(await outputsOf(whole, run), await outputsOf({ ...whole, steps }, run), OP_TOLERANCE[precision]);
  });
});

describe("the reference", () => {
  it.each(samples)("gives %s the shape of its signature", async (_, op, sample) => {
    const sampled = sampleCase(op, sample, 1);
    const outputs = await outputsOf(sampled, {});
    for (const [name, shape] of sampled.shapes) {
      expect(outputs.get(name)?.shape).toEqual(shape);
      expect(outputs.get(name)?.data).toHaveLength(shape.reduce((product, size) => product * size, 1));
    }
  });

  it.each(KNOWN)("$promise", async ({ build, expected, ...given }) => {
    const [outputs] = await runSteps([{ tape: knownTape(build), ...given }]);
    const found = [...(outputs?.values() ?? [])].map(({ data }) => [...data]);
    expect(found).toHaveLength(expected.length);
    for (const [i, numbers] of expected.entries()) {
      expect(difference(found[i] ?? [], numbers), `${found[i]} instead of ${numbers}`).toBeLessThanOrEqual(1e-12);
    }
  });

  it("has a result that is known by other means for every op", () => {
    const known = new Set(
      KNOWN.flatMap(({ build }) => {
        const tape = knownTape(build);
        return tape.nodes.map(({ op }) => op.name);
      }),
    );
    expect(OPS.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
  });

  it("gives erf to 1e-15", () => {
    // Python's math.erf.
    const known = new Map([
      [0, 0],
      [1e-8, 1.1283791670955126e-8],
      [0.1, 0.1124629160182849],
      [0.5, 0.5204998778130465],
      [1, 0.8427007929497149],
      [2, 0.9953222650189527],
      [2.4999, 0.9995928300996666],
      [2.5, 0.999593047982555],
      [3, 0.9999779095030014],
      [4, 0.9999999845827421],
      [5.5, 0.9999999999999927],
      [Number.POSITIVE_INFINITY, 1],
    ]);
    for (const [x, y] of known) {
      expect(Math.abs(erf(x) - y), `erf(${x})`).toBeLessThanOrEqual(1e-15);
      expect(erf(-x)).toBe(-erf(x));
    }
    expect(erf(Number.NaN)).toBeNaN();
  });
});

describe("the definition of an op", () => {
  it.each(OPS)("$name: says what it does, in a sentence", ({ doc }) => {
    expect(doc).toMatch(/^\S.*\.$/);
  });

  it.each(OPS)("$name: has samples, and one without each optional input", ({ samples, signature }) => {
    expect(samples).not.toHaveLength(0);
    const optional = signature.inputs.filter((slot) => slot.optional).map(({ name }) => name);
    for (const name of optional) {
      expect(samples.some(({ without = [] }) => without.includes(name))).toBe(true);
      expect(samples.some(({ without = [] }) => !without.includes(name))).toBe(true);
    }
  });

  it.each(OPS)("$name: uses every attribute", async (op) => {
    const used = new Set(op.signature.outputs.flatMap(({ dims = [] }) => dims.flatMap((dim) => dim.split("*"))));
    const watched = watchAttributes(op, used);
    for (const sample of op.samples) await outputsOf(sampleCase(watched, sample, 1), {});
    expect(Object.keys(op.attrs).filter((name) => !used.has(name))).toEqual([]);
  });

  it.each(samples)("%s: costs no less than nothing", (_, op, sample) => {
    const { tape, steps } = sampleCase(op, sample, 1);
    const step = stepInputs(steps.at(-1)!);
    const names = op.signature.inputs.map(({ name }) => name);
    for (const node of expand(tape).nodes.filter((n) => op.kind === "composite" || n.op === op)) {
      const { flops, reads } = (node.op as Primitive).cost(concreteDims(node, step), node.attrs);
      expect(Number.isSafeInteger(flops) && flops >= 0).toBe(true);
      if (op.kind === "primitive") expect(names).toEqual(expect.arrayContaining(Object.keys(reads)));
      for (const nElements of Object.values(reads)) expect(nElements >= 0).toBe(true);
    }
  });

  it.each(composites)(
    "%s: decomposes into a value of the same shape, with the inner points that it names",
    (_, op, sample) => {
      const { tape } = sampleCase(op, sample, 1);
      const expanded = expand(tape, (node) => node.op === op);
      expect(expanded.nodes.some((node) => node.op === op)).toBe(false);
      expect(expanded.outputs.get("out")?.shape).toEqual(tape.outputs.get("out")?.shape);
      expect([...expanded.points.keys()]).toEqual(op.innerPoints);
    },
  );

  it("counts a multiply-add as two operations, and each pair of row and visible key once", () => {
    const flops = (op: Op): number => {
      const { tape, steps } = sampleCase(op, op.samples[0]!, 1);
      const node = tape.nodes.find((n) => n.op === op)!;
      return (op as Primitive).cost(concreteDims(node, stepInputs(steps.at(-1)!)), node.attrs).flops;
    };
    expect(flops(ops.matmul.op)).toBe(2 * 3 * 4 * 5);
    // Two rows at positions 3 and 4 see 4 + 5 keys.
    expect(flops(ops.attentionScores.op)).toBe(2 * 4 * 9 * 3);
    expect(flops(ops.attentionMix.op)).toBe(2 * 4 * 9 * 2);
  });
});

/** The op, noting in `used` each attribute that its meaning looks at. */
function watchAttributes(op: Op, used: Set<string>): Op {
  const watch = <A extends object>(attrs: A): A =>
    new Proxy(attrs, {
      get: (target, name) => {
        used.add(String(name));
        return Reflect.get(target, name);
      },
    });
  return op.kind === "primitive"
    ? { ...op, reference: (args) => op.reference({ ...args, attrs: watch(args.attrs) }) }
    : { ...op, decompose: (inputs, attrs) => op.decompose(inputs, watch(attrs)) };
}
