import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadAddon, type NativeAddon, type NativeEngine, type NativeStep } from "../node/native/addon.ts";
import { compile, fillCache, floats, sequenceStep, shift, step, threeHeads } from "./native-support/programs.ts";

const addon = loadAddon();

// Nothing is registered where it was not built.
if (addon !== undefined) describe("the inputs of a native run", () => tests(addon));

function tests({ Engine }: NativeAddon): void {
  let engine: NativeEngine;
  const go = (): Int32Array => new Int32Array(1);

  beforeEach(() => {
    engine = new Engine(2);
  });

  afterEach(() => engine.close());

  const twoRows = (...lists: readonly (readonly number[])[]): NativeStep => ({
    ...sequenceStep(2, []),
    ints: [],
    floats: lists.map((list) => Float32Array.from(list)),
    out: [new ArrayBuffer(4 * 2 * 3)],
  });

  it("may be numbers, one block for each row or one for all", async () => {
    const given = twoRows([1, 2, 3, 4, 5, 6], [10, 20, 30]);
    const running = engine.run(compile(engine, shift(3)), given, go());
    given.floats[0]?.fill(0);
    await running;
    expect(floats(given)).toEqual([11, 22, 33, 14, 25, 36]);
  });

  it("may be indices, of a number that the program fixes", async () => {
    engine.bindWeightData(1, 8, Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7));
    const given = step(6, [3, 0, 0]);
    await engine.run(compile(engine, threeHeads(4, 2)), given, go());
    expect(floats(given)).toEqual([6, 7, 0, 1, 0, 1]);
  });

  it.each<[string, NativeStep, RegExp]>([
    ["too few numbers for its rows", twoRows([1, 2, 3], [0, 0, 0]), /float input must have as many .*; got 3/],
    ["too few numbers for all rows", twoRows([1, 2, 3, 4, 5, 6], [0, 0]), /float input must have as many .*; got 2/],
    ["more numbers than are read", twoRows([1, 2, 3, 4, 5, 6], [0, 0, 0, 0]), /float input must have as many/],
    ["an input missing", twoRows([1, 2, 3, 4, 5, 6]), /every float input must be given; got 1/],
    [
      "numbers of another type",
      { ...twoRows(), floats: [new Float64Array(6) as unknown as Float32Array] },
      /must be a Float32Array/,
    ],
  ])("are refused with %s", (_, given, message) => {
    const program = compile(engine, shift(3));
    expect(() => engine.run(program, given, go())).toThrow(message);
  });

  it.each([[[0, 1]], [[0, 1, 2, 3]]])("are refused with indices %j in place of three", (indices) => {
    engine.bindWeightData(1, 8, new Float32Array(8));
    const program = compile(engine, threeHeads(4, 2));
    expect(() => engine.run(program, step(6, indices), go())).toThrow(/int input must have as many elements/);
  });

  it("are refused with fewer tokens than the step has rows", () => {
    engine.bindCache(1, 2, 2, "f32");
    engine.bindWeightData(9, 2, new Float32Array(18));
    engine.reserve(1);
    const program = compile(engine, fillCache(9, 2));
    expect(() => engine.run(program, { ...sequenceStep(3, [0]), ints: [Int32Array.of(0, 1)] }, go())).toThrow(
      /int input must have as many elements/,
    );
  });
}
