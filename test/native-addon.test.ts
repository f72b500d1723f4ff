import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { defaultThreads, loadAddon, type NativeAddon, type NativeEngine } from "../node/native/addon.ts";
import { COMPUTE_FORMATS } from "../src/tensor/format.ts";
import { compile, fillCache, floats, lookUp, products, sequenceStep, step, sum } from "./native-support/programs.ts";

const loaded = loadAddon();
const folder = mkdtempSync(join(tmpdir(), "golgi-addon-"));
const go = (): Int32Array => new Int32Array(1);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("the addon loads exactly where it was built", () => {
  const file = join(import.meta.dirname, "..", "native", "build", "Release", "golgi.node");
  expect(loaded !== undefined).toBe(existsSync(file));
});

// Nothing more is registered where it was not built.
if (loaded !== undefined) describe("the addon", () => tests(loaded));

function tests(addon: NativeAddon): void {
  let engine: NativeEngine;

  beforeEach(() => {
    engine = new addon.Engine(2);
  });

  afterEach(() => engine.close());

  /** A file of float32 rows 0, 1, 2, ... after `offset` bytes. */
  function floatFile(name: string, nFloats: number, offset = 0): string {
    const bytes = new Uint8Array(offset + 4 * nFloats);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < nFloats; i++) view.setFloat32(offset + 4 * i, i, true);
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  }

  describe("as a whole", () => {
    it("has kernels that every CPU can run, as the last resort", () => {
      expect(addon.isas().at(-1)).toBe("portable");
      expect(new Set(addon.isas()).size).toBe(addon.isas().length);
    });

    it.each(addon.isas())("computes with %s", async (isa) => {
      const other = new addon.Engine(1, isa);
      other.bindWeightData(1, 3, Float32Array.of(1, 2, 3));
      other.bindWeightData(1, 3, Float32Array.of(10, 20, 30));
      const given = step(3);
      expect(await other.run(compile(other, sum(3)), given, go())).toBe(true);
      expect(floats(given)).toEqual([11, 22, 33]);
      await other.close();
    });

    it("uses at least one thread by default, and no more than there are cores", () => {
      expect(defaultThreads(addon)).toBeGreaterThanOrEqual(1);
      expect(defaultThreads(addon)).toBeLessThanOrEqual(addon.nPhysicalCores());
    });

    it("refuses an ISA that this CPU lacks, and no threads", () => {
      expect(() => new addon.Engine(1, "mmx")).toThrow(/isa must be .*portable; got "mmx"/);
      expect(() => new addon.Engine(0)).toThrow(RangeError);
      expect(() => new addon.Engine(1.5)).toThrow(TypeError);
    });
  });

  describe("a mapped file", () => {
    it("tells its size, and can be closed twice", () => {
      const file = addon.mapFile(floatFile("size", 5));
      expect(file.sizeBytes).toBe(20);
      file.close();
      file.close();
    });

    it("may be empty", () => {
      writeFileSync(join(folder, "empty"), "");
      expect(addon.mapFile(join(folder, "empty")).sizeBytes).toBe(0);
    });

    it.each([
      ["is missing", "nothing-here", "ENOENT"],
      ["is a folder", ".", "EISDIR"],
    ])("says so where it %s", (_, name, got) => {
      expect(() => addon.mapFile(join(folder, name))).toThrow(`the file must be mapped into memory; got ${got}`);
    });

    it("stays readable for an engine after it was closed", async () => {
      const file = addon.mapFile(floatFile("kept", 12, 3));
      engine.bindWeight("f32", 4, 3, [{ file, offset: 3, rowBytes: 12, firstRow: 0, nRows: 4 }]);
      file.close();
      const given = step(6, [3, 0]);
      await engine.run(compile(engine, lookUp(4, 3)), given, go());
      expect(floats(given)).toEqual([9, 10, 11, 0, 1, 2]);
      expect(() => engine.bindWeight("f32", 4, 3, [{ file, offset: 0, rowBytes: 12, firstRow: 0, nRows: 4 }])).toThrow(
        "file must be open",
      );
    });
  });

  describe("a weight", () => {
    it("is put together from segments, with stored rows in any order and gaps between them", async () => {
      const file = addon.mapFile(floatFile("segments", 20));
      const storedRows = Int32Array.of(2, 0);
      engine.bindWeight("f32", 3, 2, [
        { file, offset: 8, rowBytes: 8, firstRow: 0, nRows: 1 },
        { file, offset: 40, rowBytes: 12, firstRow: 1, nRows: 2, storedRows },
      ]);
      const given = step(6, [0, 1, 2]);
      await engine.run(compile(engine, lookUp(3, 2)), given, go());
      expect(floats(given)).toEqual([2, 3, 16, 17, 10, 11]);
    });

    const file = addon.mapFile(floatFile("refused", 10));
    const segment = { file, offset: 0, rowBytes: 8, firstRow: 0, nRows: 5 };
    it.each<[string, Parameters<NativeEngine["bindWeight"]>, RegExp]>([
      ["a row beyond the file", ["f32", 5, 2, [{ ...segment, offset: 4 }]], /every row must lie inside the file/],
      [
        "a stored row beyond the file",
        ["f32", 1, 2, [{ ...segment, nRows: 1, storedRows: Int32Array.of(5) }]],
        /every row must lie inside the file; got stored row 5/,
      ],
      [
        "a negative stored row",
        ["f32", 1, 2, [{ ...segment, nRows: 1, storedRows: Int32Array.of(-1) }]],
        /must not be negative/,
      ],
      ["fewer stored rows than rows", ["f32", 5, 2, [{ ...segment, storedRows: Int32Array.of(0) }]], /5 rows; got 1/],
      ["rows without a segment", ["f32", 6, 2, [segment]], /cover all 6 rows; got 5/],
      ["segments with a gap", ["f32", 5, 2, [{ ...segment, firstRow: 1, nRows: 4 }]], /without gaps/],
      ["rows that overlap", ["f32", 5, 2, [{ ...segment, rowBytes: 4 }]], /must not overlap/],
      ["blocks that a row cuts", ["q8_0", 1, 20, [{ ...segment, nRows: 1 }]], /whole blocks of 32/],
      ["a negative offset", ["f32", 5, 2, [{ ...segment, offset: -8 }]], /offset must be from 0/],
      [
        "a format that is not computed with",
        ["q8_1" as "q8_0", 5, 2, [segment]],
        new RegExp(
          `format must be ${COMPUTE_FORMATS.slice(0, -1).join(", ")} or ${COMPUTE_FORMATS.at(-1)}; got "q8_1"`,
        ),
      ],
      ["no segments", ["f32", 5, 2, []], /cover all 5 rows; got 0/],
      ["an object that is no file", ["f32", 5, 2, [{ ...segment, file: {} as typeof file }]], /must be a MappedFile/],
    ])("refuses %s", (_, args, message) => {
      expect(() => engine.bindWeight(...args)).toThrow(message);
    });

    it("in memory must have all its elements", () => {
      expect(() => engine.bindWeightData(2, 3, new Float32Array(5))).toThrow(RangeError);
      expect(() => engine.bindWeightData(2, 3, new Float64Array(6) as unknown as Float32Array)).toThrow(
        "data must be a Float32Array; got another typed array",
      );
    });
  });

  describe("a program", () => {
    it.each<[string, (words: Int32Array) => void, RegExp]>([
      ["other words", (words) => words.fill(0), /magic number/],
      ["another version", (words) => words.fill(9, 1, 2), /version/],
      ["a count that is too high", (words) => words.fill(99, 5, 6), /must hold all the words|must be/],
      ["an opcode without a kernel", (words) => words.fill(999, -8, -7), /must have a kernel; got 999/],
      ["an instruction of another length", (words) => words.fill(3, -7, -6), /as many words as its kernel/],
      ["an operand that is not in the table", (words) => words.fill(77, -6, -5), /operand 77 is not in the table/],
    ])("is refused where it has %s", (_, spoil, message) => {
      engine.bindWeightData(1, 3, new Float32Array(3));
      engine.bindWeightData(1, 3, new Float32Array(3));
      const { words, ...rest } = sum(3);
      // add: opcode, length, three operands and two sizes; the sizes are the last four words.
      const nWords = 2 + 3 + 4;
      const spoilt = words.slice();
      spoil(spoilt.subarray(0, spoilt.length - nWords + 8));
      expect(() => compile(engine, { ...rest, words: spoilt })).toThrow(message);
    });

    it("is refused where a weight is not bound, or is not what an operand needs", () => {
      expect(() => compile(engine, lookUp(4, 3))).toThrow("weights must be bound; got 0");
      engine.bindWeightData(4, 2, new Float32Array(8));
      expect(() => compile(engine, lookUp(4, 3))).toThrow(/must have rows of 3; got a weight with rows of 2/);
    });

    it("cannot run once it is released", async () => {
      engine.bindWeightData(4, 3, new Float32Array(12));
      const program = compile(engine, lookUp(4, 3));
      engine.release(program);
      engine.release(program);
      expect(() => engine.run(program, step(3, [0]), go())).toThrow("a program must be compiled and not released");
    });
  });

  describe("a run", () => {
    let program: number;

    beforeEach(() => {
      engine.bindWeightData(
        4,
        3,
        Float32Array.from({ length: 12 }, (_, i) => i),
      );
      program = compile(engine, lookUp(4, 3));
    });

    it("takes what it is given before it returns", async () => {
      const given = step(3, [2]);
      const running = engine.run(program, given, go());
      given.ints[0]?.fill(0);
      await running;
      expect(floats(given)).toEqual([6, 7, 8]);
    });

    it("comes after the runs that were asked for before", async () => {
      const order: number[] = [];
      const runs = [0, 1, 2, 3].map(async (i) => {
        await engine.run(program, step(3, [i]), go());
        order.push(i);
      });
      await Promise.all(runs);
      expect(order).toEqual([0, 1, 2, 3]);
    });

    it("gives false where it is cancelled, before and between instructions", async () => {
      const given = step(3, [2]);
      expect(await engine.run(program, given, Int32Array.of(1))).toBe(false);
      expect(floats(given)).toEqual([0, 0, 0]);

      const other = new addon.Engine(2);
      other.bindWeightData(256, 256, new Float32Array(256 * 256));
      const cancel = go();
      const long = other.run(compile(other, products(256, 200_000)), step(256, [0]), cancel);
      await setTimeout(20);
      cancel[0] = 1;
      expect(await long).toBe(false);
      await other.close();
    });

    it("leaves the event loop free", async () => {
      const other = new addon.Engine(1);
      other.bindWeightData(256, 256, new Float32Array(256 * 256));
      const cancel = go();
      let hasEnded = false;
      const long = other.run(compile(other, products(256, 200_000)), step(256, [0]), cancel).then(() => {
        hasEnded = true;
      });
      for (let i = 0; i < 5; i++) await setTimeout(2);
      expect(hasEnded).toBe(false);
      cancel[0] = 1;
      await long;
      await other.close();
    });

    it.each<[string, (given: ReturnType<typeof step>) => object, RegExp]>([
      ["no ints", () => ({ ints: [] }), /every int input must be given/],
      [
        "no place for an output",
        () => ({ outBlocks: new Int32Array(0), outOffsets: new Float64Array(0) }),
        /must have a place/,
      ],
      ["an offset without a block", () => ({ outBlocks: new Int32Array(0) }), /must have a block and an offset/],
      ["a block that is not there", () => ({ outBlocks: Int32Array.of(-1) }), /must count the blocks/],
      ["a place outside the memory", () => ({ outOffsets: Float64Array.of(16) }), /outputs begin inside/],
      ["a crooked place", () => ({ outOffsets: Float64Array.of(2) }), /multiples of 4/],
      ["an absurd place", () => ({ outOffsets: Float64Array.of(Number.NaN) }), /outputs begin inside/],
      ["memory of another kind", () => ({ out: [new Uint8Array(12)] }), /out must hold ArrayBuffers/],
      ["rows without a sequence", () => ({ sequence: Int32Array.of(0), position: Int32Array.of(0) }), /have pages/],
      ["a row without a position", () => ({ sequence: Int32Array.of(0) }), /must have a position/],
      ["ints of another type", () => ({ ints: [Float32Array.of(0)] }), /must be an Int32Array/],
      ["no step at all", () => ({ sequence: undefined }), /sequence must be an Int32Array; got undefined/],
    ])("refuses a step with %s", (_, change, message) => {
      const given = step(3, [0]);
      expect(() => engine.run(program, { ...given, ...change(given) }, go())).toThrow(message);
    });

    it("refuses to begin without a flag for cancelling", () => {
      expect(() => engine.run(program, step(3, [0]), new Int32Array(0))).toThrow("cancel must have an element");
    });
  });

  describe("a cache", () => {
    const [D, N_ROWS] = [64, 512];

    beforeEach(() => {
      engine.bindCache(1, D, D, "f32");
      engine.bindWeightData(
        N_ROWS,
        D,
        Float32Array.from({ length: N_ROWS * D }, (_, i) => i),
      );
    });

    it.each<[string, Partial<ReturnType<typeof step>>, RegExp]>([
      ["a page that is not reserved", { pages: [Int32Array.of(0, 1, 9)] }, /pages must be reserved; got 9/],
      ["a position beyond the pages", { pages: [Int32Array.of(0, 1)] }, /must lie on one of its sequence's pages/],
      ["a negative position", { position: Int32Array.from({ length: 40 }, (_, i) => i - 1) }, /must not be negative/],
      ["positions that jump back", { position: new Int32Array(40) }, /ascending/],
    ])("is safe from a step with %s", (_, change, message) => {
      engine.reserve(3);
      const program = compile(engine, fillCache(N_ROWS, D));
      expect(() => engine.run(program, { ...sequenceStep(40, [2, 0, 1]), ...change }, go())).toThrow(message);
    });

    it("refuses to copy pages that are not reserved", () => {
      engine.reserve(2);
      expect(() => engine.copyPages(Int32Array.of(0), Int32Array.of(2))).toThrow("pages must be reserved; got 2");
      expect(() => engine.copyPages(Int32Array.of(0), Int32Array.of(0, 1))).toThrow("must have a target");
    });

    async function fillAll(nPages: number): Promise<void> {
      const program = compile(engine, fillCache(N_ROWS, D));
      const nPagesOfRun = N_ROWS / 16;
      for (let first = 0; first < nPages; first += nPagesOfRun) {
        const pages = Array.from({ length: nPagesOfRun }, (_, i) => first + i);
        await engine.run(program, sequenceStep(N_ROWS, pages), go());
      }
    }

    it("gives memory back to the system when it is trimmed", async () => {
      const nPages = 4096;
      const cacheBytes = nPages * 16 * 2 * D * 4;
      engine.reserve(nPages);
      const before = process.memoryUsage.rss();
      await fillAll(nPages);
      const full = process.memoryUsage.rss();
      engine.trim(0);
      expect(full - before).toBeGreaterThan(cacheBytes / 2);
      expect(full - process.memoryUsage.rss()).toBeGreaterThan(cacheBytes / 2);
    });
  });

  describe("an engine", () => {
    it("ends the runs under way before it closes, then refuses everything", async () => {
      engine.bindWeightData(256, 256, new Float32Array(256 * 256));
      const program = compile(engine, products(256, 50));
      const order: string[] = [];
      const run = engine.run(program, step(256, [0]), go()).then((finished) => order.push(`run ${finished}`));
      const closed = engine.close().then(() => order.push("closed"));
      await Promise.all([run, closed, engine.close()]);
      expect(order).toEqual(["run true", "closed"]);
      for (const call of [
        () => engine.run(program, step(256, [0]), go()),
        () => engine.reserve(1),
        () => engine.kernels(),
        () => engine.bindWeightData(1, 1, new Float32Array(1)),
      ]) {
        expect(call).toThrow("the engine must be open; got a closed one");
      }
    });

    it("burns no processor time while it has nothing to do", async () => {
      const other = new addon.Engine(4);
      other.bindWeightData(256, 256, new Float32Array(256 * 256));
      await other.run(compile(other, products(256, 50)), step(256, [0]), go());
      await setTimeout(20);
      const before = process.cpuUsage();
      await setTimeout(400);
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1000).toBeLessThan(200);
      await other.close();
    });

    it.each([
      "with an idle engine",
      "by process.exit while a step runs",
      "by an error while a step runs",
      "after a worker was ended while its step ran",
      "after engines were forgotten and collected",
      "after a step whose engine nobody holds",
    ])("lets a process end well: %s", (scenario) => {
      const script = join(import.meta.dirname, "native-support", "exits.ts");
      const { status, signal, stderr } = spawnSync(process.execPath, ["--expose-gc", script, scenario], {
        encoding: "utf8",
        timeout: 20_000,
      });
      expect({ status, signal }, stderr).toEqual({ status: 0, signal: null });
    });
  });
}
