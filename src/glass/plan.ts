import { selectPairs, selectRows } from "../ops/index.ts";
import type { CatalogEntry } from "../points/catalog.ts";
import { buildDerived, inputLeaf, pointValue, sourcesOf, weightLeaf } from "../points/derive.ts";
import type { Positions } from "../points/read-spec.ts";
import { extendTape, input } from "../tape/builder.ts";
import type { Op } from "../tape/op.ts";
import { expand, prune, tap, withOutputs } from "../tape/rewrite.ts";
import { type Part, splitAtGaps } from "../tape/split.ts";
import type { Tape } from "../tape/tape.ts";
import type { Node, Value } from "../tape/value.ts";
import { applyEdits, beforeEdits, type CallGap, chosenFor } from "./apply-edits.ts";
import type { EditSlots } from "./edit.ts";
import { type Ragged, raggedWindow } from "./ragged.ts";

/** One point to read, at some positions of each sequence. */
export interface Read {
  readonly entry: CatalogEntry;
  readonly positions: Positions;
  /** What it was before the edits of the point itself; after all of them unless asked otherwise. */
  readonly before?: boolean;
}

/** Values that a view computes from points and weights on the tape, so that only the result leaves the backend. */
export interface Derived {
  /** Identifies the structure: equal keys build equal tapes. */
  readonly key: string;
  /** The points that `build` asks for. */
  readonly points: readonly string[];
  /** For the integer inputs that `build` declares, by name; they are no part of the structure. */
  readonly ints?: Readonly<Record<string, Int32Array>>;
  build(scope: GlassScope): Readonly<Record<string, Value>>;
}

/** What a view can build on. */
export interface GlassScope {
  at(point: string): Value;
  weight(name: string): Value;
  readonly rows: Value;
  /** Indices of the rows at these positions of each sequence. */
  rowsAt(positions: Positions): Value;
  /** The family's final norm and unembedding of any residual stream [n, dModel]. */
  unembed(resid: Value): Value;
}

/** A tape with reads as outputs, and what each output is. */
export interface GlassPlan {
  readonly tape: Tape;
  /** The tape as it runs: in one part unless functions of the caller come between. */
  readonly parts: readonly Part[];
  /** Where they come between, by the number that the parts give. */
  readonly gaps: readonly CallGap[];
  readonly edits: EditSlots;
  readonly reads: readonly PlannedRead[];
  /** The reads by every name of their points. */
  readonly byName: ReadonlyMap<string, PlannedRead>;
  /** What each selection input of the tape selects. */
  readonly selections: ReadonlyMap<string, Selection>;
}

export interface Selection {
  readonly positions: Positions;
  /** For messages: the point that was read there first. */
  readonly path: string;
}

export interface PlannedRead extends Read {
  readonly output: string;
  /** Whether the output has all rows of the step, of which the read's positions are taken from it. */
  readonly hasAllRows: boolean;
  /** Of a part of one expert the output that says which experts each row of the step chose. */
  readonly chosen?: string;
  /** The window of a value over (row, key) pairs; undefined for one without keys. */
  readonly ragged: Ragged | undefined;
}

export interface GlassRequest {
  readonly logits: boolean;
  readonly reads: readonly Read[];
  readonly edits: EditSlots;
  readonly derived?: Derived;
  /** Whether the caches must be complete afterwards, or only as far as the outputs need. */
  readonly keepsState: boolean;
}

/**
 * Rewrites a model's tape so that edits are applied and reads are outputs. An inner point of a composite is a tap where `taps` says that
 * the backend's kernel can store it; otherwise that one composite is expanded. Derived points are added only where they are read, and whatever no output needs is dropped.
 */
export function planGlass(
  model: Tape,
  unembed: (resid: Value) => Value,
  taps: (op: Op) => readonly string[],
  request: GlassRequest,
): GlassPlan {
  const { reads, derived, logits, keepsState, edits } = request;
  const { tape: edited, gaps } = applyEdits(model, edits.slots);
  const needed = new Set([
    ...reads.flatMap(({ entry }) => sourcesOf(entry.row, entry.layer)),
    ...(derived?.points ?? []),
  ]);
  const tappable = (node: Node): string[] => innerPoints(node, needed).filter((name) => taps(node.op).includes(name));
  const tapped = tap(edited, tappable);
  const tape = expand(tapped, (node) => innerPoints(node, needed).some((name) => !node.taps.has(name)));
  const selections = new Map<string, Selection>();
  const inputs = new Map<string, Value>();
  const rowsAt = (positions: Positions, path = "view"): Value => {
    const key = JSON.stringify(positions);
    const known = inputs.get(key);
    if (known !== undefined) return known;
    const name = `R${inputs.size + 1}`;
    const value = input(name, "int", [name]);
    inputs.set(key, value);
    selections.set(name, { positions, path });
    return value;
  };
  const rows = inputLeaf(tape, "rows");
  const planned: PlannedRead[] = [];
  const values = new Map<string, Value>();
  const ofParts = new Map<string, string>();
  /** A new output, whose numbers belong to the caller. */
  const outputOf = ({ entry, positions, before = false }: Read): string => {
    const { row, layer, name } = entry;
    const output = `read ${values.size}`;
    const value = (point: string): Value =>
      (before ? tape.points.get(beforeEdits(point)) : undefined) ?? pointValue(tape, point);
    const whole = row.derive === undefined ? value(name) : buildDerived(tape, row, layer, value);
    values.set(output, positions === "all" ? whole : selectPositions(whole, rows, rowsAt(positions, name)));
    return output;
  };
  /** The output that parts of several experts are taken from, and nothing else. */
  const sourceOfParts = (read: Read): string => {
    const key = JSON.stringify([read.entry.name, read.positions, read.before ?? false]);
    const output = ofParts.get(key) ?? outputOf(read);
    ofParts.set(key, output);
    return output;
  };
  const extended = extendTape(tape, () => {
    for (const { entry, positions, before } of reads) {
      const { whole = entry, indices } = entry.ofExpert ?? {};
      // Rows are selected as float values; of whole numbers, which are few, all are handed out.
      const hasAllRows = whole.type === "int";
      const source = { entry: whole, positions: hasAllRows ? "all" : positions, before };
      const output = indices === undefined ? outputOf(source) : sourceOfParts(source);
      const chosen = indices && sourceOfParts({ entry: indices, positions: "all" });
      const ragged = raggedWindow(values.get(output) as Value);
      planned.push({ entry, positions, before, output, hasAllRows, chosen, ragged });
    }
    const scope: GlassScope = {
      at: (name) => pointValue(tape, name),
      weight: (name) => weightLeaf(tape, name),
      rows,
      rowsAt,
      unembed,
    };
    return derived?.build(scope) ?? {};
  });
  const outputs = new Map(extended.outputs);
  if (!logits) outputs.delete("logits");
  for (const [output, value] of values) outputs.set(output, value);
  for (const { name } of gaps) outputs.set(name, pointValue(extended, name));
  for (const [slot, { form }] of edits.slots.entries()) {
    if (form.on !== "experts" && form.on !== "chosen") continue;
    outputs.set(chosenFor(slot), pointValue(extended, chosenFor(slot)));
  }
  const pruned = prune(withOutputs(extended, Object.fromEntries(outputs)), { keepsState });
  return {
    tape: pruned,
    parts: splitAtGaps(
      pruned,
      gaps.map(({ name, to }) => ({ from: pointValue(pruned, name), to })),
    ),
    gaps,
    edits,
    reads: planned,
    byName: new Map(
      planned.flatMap((read) =>
        [read.entry.name, ...read.entry.aliases].map((name) => [readName(name, read.before), read] as const),
      ),
    ),
    selections,
  };
}

/** How a plan calls a read of a point by one of its names. */
export function readName(point: string, before = false): string {
  return before ? beforeEdits(point) : point;
}

/** Rows at an index input; of a value laid out over keys, those rows with their own keys. */
function selectPositions(value: Value, rows: Value, indices: Value): Value {
  const window = raggedWindow(value);
  return window === undefined ? selectRows(value, indices) : selectPairs(value, rows, indices, window);
}

/** The inner points of a node that are asked for. */
function innerPoints({ op, scope }: Node, needed: ReadonlySet<string>): string[] {
  if (op.kind !== "composite") return [];
  return op.innerPoints.filter((name) => needed.has(scope === "" ? name : `${scope}.${name}`));
}
