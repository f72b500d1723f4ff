import { editInput } from "../glass/apply-edits.ts";
import type { AlignedEdits, Edit, EditSlot } from "../glass/edit.ts";
import type { EditPositions } from "../glass/edit-spec.ts";
import { raggedWindow } from "../glass/ragged.ts";
import { checkRouting } from "../glass/routing.ts";
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
  /** By slots of what experts hold and of which are chosen: the rows at the edits' positions. */
  readonly ofExperts: ReadonlyMap<number, readonly ActiveRow[]>;
}

/** One row of a value that an edit changes. */
export interface ActiveRow {
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
  const ofExperts = new Map<number, readonly ActiveRow[]>();
  const routed: ActiveRow[] = [];
  for (const [slot, { entry, form }] of slots.entries()) {
    const wanted = entry.shape[0] === "R" ? logitRows : undefined;
    const active = activeRows(slot, rows, sequences, wanted);
    for (const { sequence } of active) nEdited[sequence][slot]++;
    for (const row of active) if (row.edit.routing !== undefined) routed.push(row);
    if (form.on === "experts" || form.on === "chosen") ofExperts.set(slot, active);
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
    for (const what of COLUMNS[form.on]) {
      ints.set(
        editInput(slot, what),
        column(({ edit }) => edit[what]),
      );
    }
    if (form.on === "chosen") continue;
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
  checkRoutes(routed);
  return { ints, floats, nEdited, ofExperts };
}

/** What of an edit is an input of its slot, beside the rows and the operand. */
const COLUMNS = {
  rows: ["piece"],
  pairs: ["piece", "key"],
  eachPair: ["piece", "key"],
  experts: ["expert", "piece"],
  chosen: ["expert", "successor"],
} as const;

/** Refuses edits of a router's choice that a row cannot follow together. @throws PointError */
function checkRoutes(routed: readonly ActiveRow[]): void {
  const byRow = new Map<string, ActiveRow[]>();
  for (const row of routed) {
    const key = `${row.row} ${row.edit.entry.layer}`;
    const others = byRow.get(key);
    if (others === undefined) byRow.set(key, [row]);
    else others.push(row);
  }
  const checked = new Set<string>();
  for (const rows of byRow.values()) {
    const texts = [...new Set(rows.map(({ edit }) => edit.text))].join(", ");
    if (checked.has(texts)) continue;
    checked.add(texts);
    checkRouting(
      rows.flatMap(({ edit }) => edit.routing ?? []),
      `${texts} at position ${rows[0].position}`,
    );
  }
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
