/** Results of the ops that edit values, which can be checked in one's head. */

import type { EditKind } from "../../src/ops/edit/edit.ts";
import * as ops from "../../src/ops/index.ts";
import { input } from "../../src/tape/builder.ts";
import type { Value } from "../../src/tape/value.ts";
import { threeScores } from "./known-attention.ts";
import { given, type KnownResult, rows, three } from "./known-results.ts";

/** Changes three rows of four elements, 1 to 12, as two pieces: the second of row 0, none of row 1, both of row 2. */
function editedRows(kind: EditKind, operand: readonly number[]): Pick<KnownResult, "build" | "ints" | "floats"> {
  return {
    build: () =>
      ops.edit(
        given([3, 4], 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        input("active", "int", [3]),
        input("index", "int", [3]),
        input("operand", "float", [3, operand.length / 3]),
        { kind, nPieces: 2, pieceSize: 2 },
      ),
    ints: { active: [1, 0, 1], index: [1, 0, -1] },
    floats: { operand },
  };
}

const rowEdits: readonly KnownResult[] = [
  {
    promise: "edit sets one piece of each active row, or all of them",
    ...editedRows("set", [10, 20, 30, 40, 50, 60]),
    expected: [[1, 2, 10, 20, 5, 6, 7, 8, 50, 60, 50, 60]],
  },
  {
    promise: "edit adds a vector to each piece",
    ...editedRows("add", [10, 20, 30, 40, 50, 60]),
    expected: [[1, 2, 13, 24, 5, 6, 7, 8, 59, 70, 61, 72]],
  },
  {
    promise: "edit scales by one number for all elements",
    ...editedRows("scale", [2, 3, -1]),
    expected: [[1, 2, 6, 8, 5, 6, 7, 8, -9, -10, -11, -12]],
  },
  {
    promise: "edit clamps between two bounds",
    ...editedRows("clamp", [-5, 3.5, 0, 0, 10.5, 11]),
    expected: [[1, 2, 3, 3.5, 5, 6, 7, 8, 10.5, 10.5, 11, 11]],
  },
  {
    promise: "edit takes out of each piece its part along a direction of any length",
    ...editedRows("projectOut", [0, 7, 1, 1, 3, 3]),
    expected: [[1, 2, 3, 0, 5, 6, 7, 8, -0.5, 0.5, -0.5, 0.5]],
  },
  {
    promise: "edit leaves a NaN within any bounds",
    build: () =>
      ops.edit(
        given([1, 3], Number.NaN, -9, 9),
        input("active", "int", [1]),
        input("index", "int", [1]),
        given([1, 2], -1, 1),
        { kind: "clamp", nPieces: 1, pieceSize: 3 },
      ),
    ints: { active: [1], index: [0] },
    expected: [[Number.NaN, -1, 1]],
  },
];

type PairEdit = (x: Value, rows: Value, active: Value, head: Value, key: Value, numbers: Value) => Value;

/** Scores 1; 1, 2; 1, 2, 3 of one head, or 1; 1, 2; 2, 3 under a window of two keys. */
function editedScores(
  change: PairEdit,
  shape: readonly (number | string)[],
  { active = [1, 1, 1], head = [0, 0, 0], key = [-1, -1, -1] },
  numbers: readonly number[],
  window?: number,
): Omit<KnownResult, "promise" | "expected"> {
  const byRow = (name: string): Value => input(name, "int", ["T"]);
  return {
    build: () =>
      change(
        threeScores(window),
        rows(),
        byRow("active"),
        byRow("head"),
        byRow("key"),
        input("numbers", "float", shape),
      ),
    sequences: three.sequences,
    ints: { ...three.ints, active, head, key },
    floats: { numbers },
  };
}

function edited(kind: "set" | "add" | "scale" | "clamp", window?: number): PairEdit {
  return (...args) => ops.editPairs(...args, { kind, window });
}

const pairEdits: readonly KnownResult[] = [
  {
    promise: "editPairs sets the score of one key, in rows that see it",
    ...editedScores(edited("set"), ["T", 1], { key: [1, 1, 2] }, [7, 8, 9]),
    expected: [[1, 1, 8, 1, 2, 9]],
  },
  {
    promise: "editPairs finds a key under a window",
    ...editedScores(edited("add", 2), ["T", 1], { key: [0, 1, 1] }, [10, 20, 30], 2),
    expected: [[11, 1, 22, 32, 3]],
  },
  {
    promise: "editPairs scales all keys of active rows",
    ...editedScores(edited("scale"), ["T", 1], { active: [1, 0, 1] }, [2, 2, 2]),
    expected: [[2, 1, 2, 2, 4, 6]],
  },
  {
    promise: "editPairs leaves other heads",
    ...editedScores(edited("scale"), ["T", 1], { head: [1, -1, 0] }, [2, 2, 2]),
    expected: [[1, 2, 4, 2, 4, 6]],
  },
  {
    promise: "editPairs clamps between two bounds",
    ...editedScores(edited("clamp"), ["T", 2], {}, [3, 4, 0, 1.5, 1.5, 2.5]),
    expected: [[3, 1, 1.5, 1.5, 2, 2.5]],
  },
  {
    promise: "patchPairs takes what is named from other values",
    ...editedScores(
      (...args) => ops.patchPairs(...args, {}),
      [1, "P"],
      { active: [0, 1, 1], head: [0, -1, 0], key: [-1, -1, 1] },
      [10, 20, 30, 40, 50, 60],
    ),
    expected: [[1, 20, 30, 1, 50, 3]],
  },
  {
    promise: "patchPairs finds a key under a window",
    ...editedScores(
      (...args) => ops.patchPairs(...args, { window: 2 }),
      [1, "P2"],
      { key: [2, 1, 2] },
      [10, 20, 30, 40, 50],
      2,
    ),
    expected: [[1, 1, 30, 2, 50]],
  },
];

export const KNOWN_EDITS: readonly KnownResult[] = [...rowEdits, ...pairEdits];
