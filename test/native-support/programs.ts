/** Programs and steps for tests of the addon, without the backend around it. */

import type { NativeEngine, NativeStep } from "../../node/native/addon.ts";
import { add, kvAppend, matmul, selectHeads, selectRows } from "../../src/ops/index.ts";
import { type LoweredProgram, lower } from "../../src/program/lower.ts";
import { buildTape, cacheLeaf, input, keepState, weight } from "../../src/tape/builder.ts";

/** out = rows of a table [nRows, nCols]; int input 0 says which. */
export function lookUp(nRows: number, nCols: number): LoweredProgram {
  return lower(
    buildTape("look up", () => ({ out: selectRows(weight("table", [nRows, nCols]), input("R1", "int", ["R1"])) })),
  );
}

/** out = a + b for vectors of `n`, weights 0 and 1. */
export function sum(n: number): LoweredProgram {
  return lower(buildTape("sum", () => ({ out: add(weight("a", [n]), weight("b", [n])) })));
}

/** out = float input 0 [T, nCols] + float input 1 [nCols], without weights. */
export function shift(nCols: number): LoweredProgram {
  return lower(
    buildTape("shift", () => ({ out: add(input("x", "float", ["T", nCols]), input("by", "float", [nCols])) })),
  );
}

/** out = heads of one row [1, nHeads, d], which is weight 0, by int input 0 of three indices. */
export function threeHeads(nHeads: number, d: number): LoweredProgram {
  return lower(
    buildTape("three heads", () => ({
      out: selectHeads(weight("x", [1, nHeads, d]), input("heads", "int", [3])),
    })),
  );
}

/** The product of selected rows of a matrix [n, n] with that matrix, computed `nTimes` over, each time an instruction. */
export function products(n: number, nTimes: number): LoweredProgram {
  const once = lower(
    buildTape("products", () => {
      const w = weight("w", [n, n]);
      return { out: matmul(selectRows(w, input("R1", "int", ["R1"])), w) };
    }),
  );
  const instructions = once.words.subarray(once.firstInstruction);
  const product = instructions.subarray(instructions[1]);
  const words = new Int32Array(once.words.length + (nTimes - 1) * product.length);
  words.set(once.words);
  for (let i = 1; i < nTimes; i++) words.set(product, words.length - i * product.length);
  // The header counts the words of all instructions.
  words[6] = words.length - once.firstInstruction;
  return { ...once, words };
}

/** Fills a cache of one head with the rows of a table [nRows, d]; int input 0 says which. */
export function fillCache(nRows: number, d: number): LoweredProgram {
  return lower(
    buildTape("fill", () => {
      const x = selectRows(weight("table", [nRows, 1, d]), input("allRows", "int", ["T"]));
      keepState("cache", kvAppend(cacheLeaf("cache", [1, d, d]), x, x, input("rows", "rows")));
      return {};
    }),
  );
}

/** Puts a program into an engine whose weights and caches are bound in the order in which it uses them. */
export function compile(engine: NativeEngine, program: LoweredProgram): number {
  const order = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);
  const constants = program.constants.map((data) => Float32Array.from(data));
  return engine.compile(program.words, order(program.weights.length), constants, order(program.caches.length));
}

/** A step without rows, with one output of `nFloats`. */
export function step(nFloats: number, ...ints: readonly (readonly number[])[]): NativeStep {
  return {
    sequence: new Int32Array(0),
    position: new Int32Array(0),
    ropeVariant: new Int32Array(0),
    pages: [],
    ints: ints.map((list) => Int32Array.from(list)),
    floats: [],
    out: [new ArrayBuffer(4 * nFloats)],
    outBlocks: Int32Array.of(0),
    outOffsets: Float64Array.of(0),
  };
}

/** A step of one sequence that begins at position 0, and lies in these pages. */
export function sequenceStep(nRows: number, pages: readonly number[]): NativeStep {
  const count = Int32Array.from({ length: nRows }, (_, i) => i);
  return {
    ...step(0, [...count]),
    sequence: new Int32Array(nRows),
    position: count,
    ropeVariant: Int32Array.of(0),
    pages: [Int32Array.from(pages)],
  };
}

export function floats({ out }: NativeStep): number[] {
  return out.flatMap((block) => [...new Float32Array(block)]);
}
