import { edit, editPairs, mergeHeads, patchPairs, splitHeads } from "../ops/index.ts";
import { inputLeaf, pointValue } from "../points/derive.ts";
import { input } from "../tape/builder.ts";
import { expand, type Replacement, replaceValues } from "../tape/rewrite.ts";
import { gapOutput } from "../tape/split.ts";
import type { Tape } from "../tape/tape.ts";
import type { Node, Value } from "../tape/value.ts";
import type { EditForm, EditSlot } from "./edit.ts";
import { raggedWindow } from "./ragged.ts";

/** What takes a value's place while a function of the caller has it in hand. */
export interface CallGap {
  /** Name of the point that holds the value before; and of the input for what comes back. */
  readonly name: string;
  readonly to: Value;
  /** Indices of the slots whose functions are called, one after another. */
  readonly slots: readonly number[];
}

export interface EditedTape {
  readonly tape: Tape;
  readonly gaps: readonly CallGap[];
}

/** The name under which the tape keeps what a point was before its edits. */
export function beforeEdits(point: string): string {
  return `before ${point}`;
}

/** Names of a slot's inputs. */
export function editInput(slot: number, what: "active" | "piece" | "key" | "operand"): string {
  return `edit ${slot} ${what}`;
}

/**
 * Rewrites a tape so that everything after an edited value reads the edited one. A composite one of whose inner values
 * is edited is expanded; all others stay as they are.
 */
export function applyEdits(model: Tape, slots: readonly EditSlot[]): EditedTape {
  if (slots.length === 0) return { tape: model, gaps: [] };
  const edited = new Set(slots.map(({ entry }) => entry.name));
  const tape = expand(model, (node) => innerPoints(node).some((name) => edited.has(name)));
  const slotsOf = new Map<Value, number[]>();
  for (const [i, { entry }] of slots.entries()) {
    const value = pointValue(tape, entry.name);
    slotsOf.set(value, [...(slotsOf.get(value) ?? []), i]);
  }
  const rows = inputLeaf(tape, "rows");
  const gaps: (CallGap & { slots: number[] })[] = [];
  const replace = (old: Value, made: Value): Replacement | undefined => {
    const indices = slotsOf.get(old);
    if (indices === undefined) return undefined;
    const former = new Map(
      [...tape.points].filter(([, value]) => value === old).map(([name]) => [beforeEdits(name), made]),
    );
    let value = made;
    for (const slot of indices) {
      const { form } = slots[slot];
      if (form.on !== "call") {
        value = emitEdit(value, slot, form, rows);
        continue;
      }
      // Functions that follow one another directly share one stop.
      const last = gaps.at(-1);
      if (last?.to === value) {
        last.slots.push(slot);
        continue;
      }
      const name = gapOutput(gaps.length);
      former.set(name, value);
      const to = input(name, "float", value.shape);
      gaps.push({ name, to, slots: [slot] });
      value = to;
    }
    return { value, names: former };
  };
  return { tape: replaceValues(tape, replace), gaps };
}

function emitEdit(x: Value, slot: number, form: Exclude<EditForm, { on: "call" }>, rows: Value): Value {
  const window = raggedWindow(x)?.window;
  const symbol = form.on === "rows" ? x.shape[0] : "T";
  const ints = (what: "active" | "piece" | "key"): Value => input(editInput(slot, what), "int", [symbol]);
  const operand = editInput(slot, "operand");
  switch (form.on) {
    case "rows": {
      const { kind, nPieces, pieceSize, width } = form;
      const numbers = input(operand, "float", [symbol, width]);
      const change = (flat: Value): Value =>
        edit(flat, ints("active"), ints("piece"), numbers, { kind, nPieces, pieceSize });
      if (x.shape.length === 2) return change(x);
      const [, nHeads, headDim] = x.shape as [string, number, number];
      return splitHeads(change(mergeHeads(x)), { nHeads, headDim });
    }
    case "pairs": {
      const numbers = input(operand, "float", [symbol, form.width]);
      return editPairs(x, rows, ints("active"), ints("piece"), ints("key"), numbers, { kind: form.kind, window });
    }
    case "eachPair": {
      const numbers = input(operand, "float", x.shape);
      return patchPairs(x, rows, ints("active"), ints("piece"), ints("key"), numbers, { window });
    }
  }
}

function innerPoints({ op, scope }: Node): string[] {
  if (op.kind !== "composite") return [];
  return op.innerPoints.map((name) => (scope === "" ? name : `${scope}.${name}`));
}
