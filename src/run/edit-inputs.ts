import { editInput } from "../glass/apply-edits.ts";
import type { AlignedEdits, Edit, EditSlot } from "../glass/edit.ts";
import type { EditPositions } from "../glass/edit-spec.ts";
import { raggedWindow } from "../glass/ragged.ts";
import { pointValue } from "../points/derive.ts";
import type { Rows } from "../tape/rows.ts";
import type { Tape } from "../tape/tape.ts";
import { type FloatArray, floatArray, type Precision } from "../tensor/dtype.ts";

/** A sequence's part of a step, as edits see it. */
export interface EditedRows {
  readonly start: number;
  readonly end: number;
  readonly edits: AlignedEdits;
  /** Whether the token at a position was generated rather than given. */
  readonly isGenerated: (position: number) => boolean;
}

/** What a step's edits are given, and how many rows each edits. */
export interface EditInputs {
  readonly ints: ReadonlyMap<string, Int32Array>;
  readonly floats: ReadonlyMap<string, FloatArray>;
  /** By sequence and slot. */
  readonly nEdited: readonly (readonly number[])[];
}

/** One row of a value that an edit changes. */
interface ActiveRow {
  readonly sequence: number;
  /** Of the value: a row of the step, or of those whose logits are wanted. */
  readonly row: number;
  readonly position: number;
  readonly edit: Edit;
}

/** Which rows each edit changes, and by what: the inputs of the slots of one program. */
export function editInputs(
  slots: readonly EditSlot[],
  tape: Tape,
  rows: Rows,
  sequences: readonly EditedRows[],
  logitRows: Int32Array,
  precision: Precision,
): EditInputs {
  const ints = new Map<string, Int32Array>();
  const floats = new Map<string, FloatArray>();
  const nEdited = sequences.map(() => slots.map(() => 0));
  for (const [slot, { entry, form }] of slots.entries()) {
    const wanted = entry.shape[0] === "R" ? logitRows : undefined;
    const active = activeRows(slot, rows, sequences, wanted);
    for (const { sequence } of active) nEdited[sequence][slot]++;
    if (form.on === "call") continue;
    const nRows = wanted?.length ?? rows.nRows;
    const column = (of: (row: ActiveRow) => number): Int32Array => {
      const array = new Int32Array(nRows);
      for (const row of active) array[row.row] = of(row);
      return array;
    };
    ints.set(
      editInput(slot, "active"),
      column(() => 1),
    );
    ints.set(
      editInput(slot, "piece"),
      column(({ edit }) => edit.piece),
    );
    if (form.on !== "rows") {
      ints.set(
        editInput(slot, "key"),
        column(({ edit }) => edit.key),
      );
    }
    const operand =
      form.on === "eachPair"
        ? pairOperand(
            active,
            rows,
            raggedWindow(pointValue(tape, entry.name))?.window,
            entry.shape[0] as number,
            precision,
          )
        : rowOperand(active, nRows, form.width, precision);
    floats.set(editInput(slot, "operand"), operand);
  }
  return { ints, floats, nEdited };
}

/** The rows that a slot's edits change, sequence by sequence in ascending order. */
export function activeRows(
  slot: number,
  rows: Rows,
  sequences: readonly EditedRows[],
  wanted: Int32Array | undefined,
): ActiveRow[] {
  const active: ActiveRow[] = [];
  const visit = (stepRow: number, row: number): void => {
    const sequence = rows.sequence[stepRow];
    const edit = sequences[sequence].edits[slot];
    const position = rows.position[stepRow];
    if (edit !== undefined && applies(edit.positions, position, sequences[sequence])) {
      active.push({ sequence, row, position, edit });
    }
  };
  if (wanted === undefined) for (let row = 0; row < rows.nRows; row++) visit(row, row);
  else wanted.forEach(visit);
  return active;
}

function applies(positions: EditPositions, position: number, rows: EditedRows): boolean {
  if (positions === "all") return true;
  if (positions === "generated") return rows.isGenerated(position);
  if (positions === "prompt") return !rows.isGenerated(position);
  if (typeof positions === "number") return position === positions;
  return position >= positions[0] && position < positions[1];
}

function rowOperand(active: readonly ActiveRow[], nRows: number, width: number, precision: Precision): FloatArray {
  const operand = floatArray(precision, nRows * width);
  for (const { row, position, edit } of active) operand.set(edit.operand(position), row * width);
  return operand;
}

/** [nHeads, P]: of each active row what its keys are to be. */
function pairOperand(
  active: readonly ActiveRow[],
  rows: Rows,
  window: number | undefined,
  nHeads: number,
  precision: Precision,
): FloatArray {
  const { first, offset } = rows.visible(window);
  const nPairs = offset[rows.nRows];
  const operand = floatArray(precision, nHeads * nPairs);
  for (const { row, position, edit } of active) {
    const values = edit.operand(position);
    for (let head = 0; head < nHeads; head++) {
      for (let key = first[row]; key <= position; key++) {
        operand[head * nPairs + offset[row] + key - first[row]] = values[head * (position + 1) + key];
      }
    }
  }
  return operand;
}
