/** Edits whose vectors and values are inputs of the step, and what they must leave as it is, bit for bit. */
import type { NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import {
  attentionScores,
  edit,
  editPairs,
  kvAppend,
  patchPairs,
  selectPairs,
  selectRows,
} from "../../src/ops/index.ts";
import { buildTape, cacheLeaf, input, weight } from "../../src/tape/builder.ts";
import type { Value } from "../../src/tape/value.ts";
import { randomFloats, randomFrom } from "../../test/op-support/random.ts";
import { type NativeCase, PLAIN } from "./case.ts";

const N_ROWS = 5;
const N_PAIRS = 15;
const N_HEADS = 3;
const D = 33;

const sequences = [{ pages: [0], start: 0, nRows: N_ROWS, ropeVariant: 0 }];
const ints = { allRows: [0, 1, 2, 3, 4], active: [0, 1, 1, 0, 1], index: [0, 1, -1, 1, 2], key: [-1, 1, 9, 0, -1] };
/** The rows that are not active. */
const R1 = [0, 3];

const rows = (): Value => input("rows", "rows");
const byRow = (name: string): Value => input(name, "int", ["T"]);

export function* editCases(): Generator<NativeCase> {
  yield rowEdit();
  yield* pairEdits();
}

/** Numbers that arithmetic would change. */
function rowEdit(): NativeCase {
  const special = [-0, Number.NaN, Number.NEGATIVE_INFINITY, 1e-42];
  const shape = [N_ROWS, N_HEADS * D];
  const data = Float32Array.from({ length: N_ROWS * N_HEADS * D }, (_, i) => special[i % special.length]);
  const tape = buildTape("edit", () => {
    const operand = input("operand", "float", ["T", D]);
    const x = selectRows(weight("x", shape), byRow("allRows"));
    return { out: edit(x, byRow("active"), byRow("index"), operand, { kind: "set", nPieces: N_HEADS, pieceSize: D }) };
  });
  const floats = { operand: [...randomFloats(randomFrom(1), N_ROWS * D)] };
  const weights = [{ name: "x", shape, data }];
  return { name: "edit leaves special numbers", weights, steps: [{ tape, sequences, ints, floats }], storage: PLAIN };
}

/** Scores of which those of rows that are not active must have the bits that they have without an edit. */
function* pairEdits(): Generator<NativeCase> {
  const random = randomFrom(1);
  const given = (name: string, nHeads: number): NamedTensor => {
    return { name, shape: [N_ROWS, nHeads, D], data: randomFloats(random, N_ROWS * nHeads * D) };
  };
  const weights = [given("q", N_HEADS), given("k", 1)];
  const [q, k] = weights.map(
    ({ name, shape }) =>
      () =>
        selectRows(weight(name, shape), byRow("allRows")),
  );
  const floats = { o: [...randomFloats(random, N_ROWS)], values: [...randomFloats(random, N_HEADS * N_PAIRS)] };
  const scores = (): Value => {
    const cache = kvAppend(cacheLeaf("cache", [1, D, D]), k(), k(), rows());
    return attentionScores(q(), cache, rows(), { scale: 1 });
  };
  const kept = (x: Value): Value => selectPairs(x, rows(), input("R1", "int", ["R1"]), {});
  const pairCase = (name: string, build: () => Record<string, Value>): NativeCase => {
    const step = { tape: buildTape(name, build), sequences, ints: { ...ints, R1 }, floats };
    return { name, weights, steps: [step], storage: PLAIN };
  };
  const plain = pairCase("selectPairs of scores", () => ({ kept: kept(scores()) }));
  yield plain;
  const edited = pairCase("editPairs leaves rows", () => {
    const o = input("o", "float", ["T", 1]);
    const out = editPairs(scores(), rows(), byRow("active"), byRow("index"), byRow("key"), o, { kind: "add" });
    return { out, kept: kept(out) };
  });
  yield { ...edited, twin: plain.name };
  const patched = pairCase("patchPairs leaves rows", () => {
    const values = input("values", "float", [N_HEADS, "P"]);
    const out = patchPairs(scores(), rows(), byRow("active"), byRow("index"), byRow("key"), values, {});
    return { out, kept: kept(out) };
  });
  yield { ...patched, twin: plain.name };
}
