import type { EditKind } from "../ops/edit/edit.ts";
import type { EDIT_PAIRS_KINDS } from "../ops/edit-pairs/edit-pairs.ts";
import type { CatalogEntry } from "../points/catalog.ts";
import type { EditFunction, EditPositions } from "./edit-spec.ts";

/** What an edit makes of the program: everything else about it is an input, so that edits of one form share programs. */
export type EditForm =
  /** A piece of each row: one neuron, one head, or all of it. */
  | {
      readonly on: "rows";
      readonly kind: EditKind;
      readonly nPieces: number;
      readonly pieceSize: number;
      /** Numbers of the operand of each row. */
      readonly width: number;
    }
  /** Scores or weights of attention, all by the same numbers. */
  | { readonly on: "pairs"; readonly kind: (typeof EDIT_PAIRS_KINDS)[number]; readonly width: number }
  /** Scores or weights of attention, each by a number of its own. */
  | { readonly on: "eachPair" }
  /** What the experts that a row chose hold, a piece of it, wherever the row has a place for the expert. */
  | {
      readonly on: "experts";
      readonly kind: EditKind;
      readonly nPieces: number;
      readonly pieceSize: number;
      readonly width: number;
    }
  /** Which experts a row chose: one in the place of another. */
  | { readonly on: "chosen" }
  /** A function of the caller, for which the program stops. */
  | { readonly on: "call" };

/** What edits ask of a router's choice, which they must leave possible together. */
export interface Routing {
  readonly banned: readonly number[];
  readonly forced: readonly number[];
  readonly swap?: readonly [from: number, to: number];
  readonly nExperts: number;
  readonly nExpertsPerToken: number;
}

/** A place in the program that edits may use. */
export interface EditSlot {
  readonly entry: CatalogEntry;
  readonly form: EditForm;
}

/** The slots that some edits need, in the order in which they apply. */
export interface EditSlots {
  readonly slots: readonly EditSlot[];
  /** Equal for slots that one program serves. */
  readonly key: string;
}

/** An edit that is ready to be applied. */
export interface Edit extends EditSlot {
  /** As it is written, for counts and messages. */
  readonly text: string;
  /** Positions that count from a sequence's end have been turned into others. */
  readonly positions: EditPositions;
  /** Which piece of a row, or which head; −1 for all. */
  readonly piece: number;
  /** Key position, of scores and weights of attention; −1 for all. */
  readonly key: number;
  /** Of what one expert holds the expert, of a swap the one that goes; −1 otherwise. */
  readonly expert: number;
  /** Of a swap the expert that comes; −1 otherwise. */
  readonly successor: number;
  /** What it asks of a router's choice. */
  readonly routing?: Routing;
  /** Whether it goes on with the edit before it, with which it is counted. */
  readonly isContinued?: boolean;
  /**
   * The operand at a position: of rows `width` numbers, for each pair [nHeads, position + 1].
   * @throws PointError where a recording does not have the position.
   */
  operand(position: number): ArrayLike<number>;
  /** Of a function edit. */
  readonly call?: EditFunction;
}

export const NO_SLOTS: EditSlots = { slots: [], key: "" };

/** For each sequence its edits, and undefined for slots that it does not use. */
export type AlignedEdits = readonly (Edit | undefined)[];

/**
 * Slots in which the edits of several sequences find a place each, in their own order, so that they can share a step;
 * sequences with edits of equal forms share all of them.
 */
export function alignEdits(lists: readonly (readonly Edit[])[]): {
  readonly slots: EditSlots;
  readonly aligned: readonly AlignedEdits[];
} {
  const slots: (EditSlot & { readonly key: string })[] = [];
  const placed = lists.map((edits) => {
    let next = 0;
    return edits.map((edit) => {
      const key = slotKey(edit);
      const found = slots.findIndex((slot, i) => i >= next && slot.key === key);
      const place = found < 0 ? slots.push({ entry: edit.entry, form: edit.form, key }) - 1 : found;
      next = place + 1;
      return place;
    });
  });
  const aligned = lists.map((edits, sequence) => {
    const row = new Array<Edit | undefined>(slots.length).fill(undefined);
    for (const [i, edit] of edits.entries()) row[placed[sequence][i]] = edit;
    return row;
  });
  return { slots: { slots, key: slots.map(({ key }) => key).join("; ") }, aligned };
}

function slotKey({ entry, form }: EditSlot): string {
  return `${entry.name} ${Object.values(form).join(" ")}`;
}
