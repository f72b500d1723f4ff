import { edit, editExperts, editPairs, mergeHeads, patchPairs, splitHeads, swapExperts } from "../ops/index.ts";
import { inputLeaf, pointValue } from "../points/derive.ts";
import { input } from "../tape/builder.ts";
import { expand, type Replacement, replaceValues } from "../tape/rewrite.ts";
import { gapOutput } from "../tape/split.ts";
import type { Tape } from "../tape/tape.ts";
import type { Node, Value } from "../tape/value.ts";
import type { EditForm, EditSlot } from "./edit.ts";
import { raggedWindow } from "./ragged.ts";
import { choicePoint, indicesPoint } from "./routing.ts";

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
export function editInput(slot: number, what: "active" | "piece" | "key" | "expert" | "successor" | "operand"): string {
  return `edit ${slot} ${what}`;
}

/** The name under which the tape keeps the experts that each row had chosen where the slot's edit looked for its own. */
export function chosenFor(slot: number): string {
  return `edit ${slot} chosen`;
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
  const routes = new RoutesOnNewTape(tape, slots);
  const gaps: (CallGap & { slots: number[] })[] = [];
  const replace = (old: Value, made: Value): Replacement | undefined => {
    const indices = slotsOf.get(old);
    if (indices === undefined) {
      routes.note(old, made);
      return undefined;
    }
    const former = new Map(
      [...tape.points].filter(([, value]) => value === old).map(([name]) => [beforeEdits(name), made]),
    );
    let value = made;
    for (const slot of indices) {
      const { form } = slots[slot];
      if (form.on === "experts" || form.on === "chosen") {
        const chosen = form.on === "chosen" ? value : routes.chosen(slots[slot]);
        former.set(chosenFor(slot), chosen);
        value =
          form.on === "chosen"
            ? emitSwap(value, slot, routes.choice(slots[slot]))
            : emitOfExpert(value, slot, form, chosen);
        continue;
      }
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
    routes.note(old, value);
    return { value, names: former };
  };
  return { tape: replaceValues(tape, replace), gaps };
}

/** What edits of experts need of the tape that is being made: its choices of experts, and what they are made by. */
class RoutesOnNewTape {
  readonly #tape: Tape;
  /** By values of the old tape. */
  readonly #now = new Map<Value, Value | undefined>();

  constructor(tape: Tape, slots: readonly EditSlot[]) {
    this.#tape = tape;
    for (const { entry, form } of slots) {
      if (form.on !== "experts" && form.on !== "chosen") continue;
      this.#now.set(pointValue(tape, indicesPoint(entry.layer)), undefined);
      this.#now.set(
        pointValue(
          tape,
          choicePoint(entry.layer, (name) => tape.points.has(name)),
        ),
        undefined,
      );
    }
  }

  /** Takes in what stands for a value of the old tape from now on. */
  note(old: Value, value: Value): void {
    if (this.#now.has(old)) this.#now.set(old, value);
  }

  /** int [T, nExpertsPerToken], after its edits. */
  chosen({ entry }: EditSlot): Value {
    return this.#at(indicesPoint(entry.layer));
  }

  /** [T, nExperts], after its edits. */
  choice({ entry }: EditSlot): Value {
    return this.#at(choicePoint(entry.layer, (name) => this.#tape.points.has(name)));
  }

  #at(name: string): Value {
    const value = this.#now.get(pointValue(this.#tape, name));
    if (value === undefined) throw new Error(`${name} comes after what is edited by it`);
    return value;
  }
}

/** x [T, A, ...], or [T, A] of one number for each expert. */
function emitOfExpert(x: Value, slot: number, form: EditForm & { on: "experts" }, chosen: Value): Value {
  const { kind, nPieces, pieceSize, width } = form;
  const [, nChosen] = x.shape as [string, number];
  const ints = (what: "active" | "piece" | "expert"): Value => input(editInput(slot, what), "int", ["T"]);
  const numbers = input(editInput(slot, "operand"), "float", ["T", width]);
  const isPlain = x.shape.length === 2;
  const places = isPlain ? splitHeads(x, { nHeads: nChosen, headDim: 1 }) : x;
  const attrs = { kind, nPieces, pieceSize };
  const edited = editExperts(places, chosen, ints("active"), ints("expert"), ints("piece"), numbers, attrs);
  return isPlain ? mergeHeads(edited) : edited;
}

function emitSwap(chosen: Value, slot: number, choice: Value): Value {
  const ints = (what: "active" | "expert" | "successor"): Value => input(editInput(slot, what), "int", ["T"]);
  return swapExperts(chosen, choice, ints("active"), ints("expert"), ints("successor"));
}

type PlainForm = Extract<EditForm, { on: "rows" | "pairs" | "eachPair" }>;

function emitEdit(x: Value, slot: number, form: PlainForm, rows: Value): Value {
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
