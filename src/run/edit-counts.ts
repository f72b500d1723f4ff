import type { StepOutput } from "../backends/contract.ts";
import { chosenFor } from "../glass/apply-edits.ts";
import type { Edit } from "../glass/edit.ts";
import type { EditInputs } from "./edit-inputs.ts";

/** How many rows of a sequence an edit has changed. */
export interface ChangedRows {
  readonly nRows: number;
  /** Of an edit of one expert: rows at its positions that had nothing to change, since they did not choose the expert. */
  readonly nNotChosen?: number;
}

/** What each slot's edit has changed, by sequence and slot: where it is of an expert, the rows that chose it. */
export function changedRows(
  { nEdited, ofExperts }: EditInputs,
  outputs: ReadonlyMap<string, StepOutput>,
): readonly (readonly ChangedRows[])[] {
  const changed: ChangedRows[][] = nEdited.map((slots) => slots.map((nRows) => ({ nRows })));
  for (const [slot, active] of ofExperts) {
    const { shape, data } = outputs.get(chosenFor(slot)) as StepOutput;
    const nNotChosen = nEdited.map(() => 0);
    for (const { sequence, row, edit } of active) {
      const chosen = data.subarray(row * shape[1], (row + 1) * shape[1]) as Int32Array;
      if (!hasEffect(edit, chosen)) nNotChosen[sequence]++;
    }
    for (const [sequence, n] of nNotChosen.entries()) {
      changed[sequence][slot] = { nRows: nEdited[sequence][slot] - n, nNotChosen: n };
    }
  }
  return changed;
}

/** Whether a row with these experts has something to change. */
function hasEffect({ form, expert, successor }: Edit, chosen: Int32Array): boolean {
  return chosen.includes(expert) && !(form.on === "chosen" && chosen.includes(successor));
}
