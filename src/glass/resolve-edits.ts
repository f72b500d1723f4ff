import { PointError } from "../errors.ts";
import { type Address, parseAddress } from "../points/address.ts";
import type { CatalogEntry, PointCatalog } from "../points/catalog.ts";
import { atLayer } from "../points/names.ts";
import type { Edit, EditForm, Routing } from "./edit.ts";
import {
  EDIT_ACTIONS,
  type EditAction,
  type EditObject,
  type RecordingRef,
  ROUTING_ACTIONS,
  type RoutingAction,
  type Vector,
  type VectorRef,
} from "./edit-spec.ts";
import { recordedKeys, recordedMean, recordedOfExpert, recordedRows } from "./recorded-values.ts";
import type { Recorded } from "./recording.ts";
import { routingEdits } from "./routing.ts";

/** Brings what edits name in files. */
export interface EditFiles {
  vector(ref: VectorRef): Promise<Float32Array>;
  /** Loads these points of it. */
  recording(ref: RecordingRef, points: readonly string[]): Promise<Recorded>;
  /** Of the model that is edited; see `Model.fingerprint`. */
  fingerprint(): Promise<string>;
}

/** An edit whose address is known; what it works with may still lie in a file. */
export interface AddressedEdit {
  readonly text: string;
  readonly spec: EditObject;
  readonly action: EditAction;
  readonly address: Address;
  readonly positions: Edit["positions"];
  readonly routing?: Routing;
  readonly isContinued?: boolean;
}

/** Looks up where an edit applies: one edit for each component that it names. @throws PointError */
export function addressEdit(spec: EditObject, text: string, catalog: PointCatalog): AddressedEdit[] {
  const { addresses, positions = "all" } = parseAddress(spec.at, catalog);
  const action = EDIT_ACTIONS.find((name) => spec[name] !== undefined) as EditAction;
  const common = { text, spec, action, positions: spec.positions ?? positions };
  return addresses.flatMap((address): AddressedEdit[] => {
    if (isRouting(action)) {
      const edits = routingEdits(address, spec, action, text, catalog);
      return edits.map((edit, i) => ({ ...common, ...edit, isContinued: i > 0 }));
    }
    const onSource = sourceOf(address, spec, action, text, catalog);
    checkAction(onSource.entry, action, text);
    checkInfinite(onSource.entry, spec, text);
    return [{ ...common, address: onSource }];
  });
}

function isRouting(action: EditAction): action is RoutingAction {
  return ROUTING_ACTIONS.some((one) => one === action);
}

/** An edit of a derived point as one of the value that it follows from, where that is the same. */
function sourceOf(
  address: Address,
  spec: EditObject,
  action: EditAction,
  path: string,
  catalog: PointCatalog,
): Address {
  const { entry, index } = address;
  const { derive } = entry.row;
  if (derive === undefined) return address;
  const isScaled = (action === "scale" && typeof spec.scale === "number") || (action === "set" && spec.set === 0);
  const isSame = index.length < 2 || derive.scalesByElement === true;
  if (isScaled && isSame && derive.scalesWith !== undefined) {
    const whole = atLayer(derive.scalesWith, entry.layer);
    const { ofExpert } = entry;
    const name = ofExpert === undefined ? whole : whole.replace("experts.", `experts.${ofExpert.expert}.`);
    return { ...address, entry: catalog.get(name) };
  }
  throw new PointError("point.edit", {
    path,
    expected: `${entry.name} exists only while it is read, so it cannot be edited`,
    got: action,
    remedy: derive.instead,
  });
}

function isOverKeys({ shape }: CatalogEntry): boolean {
  return shape.includes("S");
}

function checkAction(entry: CatalogEntry, action: EditAction, path: string): void {
  if (entry.type === "int") {
    throw new PointError("point.edit", {
      path,
      expected: `${entry.name} are whole numbers, which experts were chosen, so they cannot be edited as values`,
      got: action,
      remedy: `Ban, force or swap experts: L${entry.layer}.router swap 3 -> 17.`,
    });
  }
  if (entry.ofExpert !== undefined && action === "call") {
    throw new PointError("point.edit", {
      path,
      expected: "a function gets whole rows, with a place for each chosen expert",
      got: entry.name,
      remedy: `Give call at ${entry.ofExpert.whole.name}, whose places ${entry.ofExpert.indices.name} names, or set, add, scale or clamp.`,
    });
  }
  if (!isOverKeys(entry) || (action !== "projectOut" && action !== "mean")) return;
  throw new PointError("point.edit", {
    path,
    expected: `${entry.name} has another number of keys at each position`,
    got: action,
    remedy: "Set, add, scale, clamp or patch it.",
  });
}

/** −∞ means something to a softmax only. */
function checkInfinite({ name, row }: CatalogEntry, { set }: EditObject, path: string): void {
  if (set !== Number.NEGATIVE_INFINITY || row.invisible === Number.NEGATIVE_INFINITY) return;
  throw new PointError("point.edit", {
    path,
    expected: `${name} takes finite numbers`,
    got: "-Infinity",
    remedy: name.includes(".router.")
      ? "To keep an expert from being chosen, ban it."
      : "Only attention scores may be -Infinity, which hides a key.",
  });
}

/** Reads what the edit works with, and checks that it fits. */
export async function resolveEdit(edit: AddressedEdit, files: EditFiles): Promise<Edit> {
  const { address, text, positions, routing, isContinued } = edit;
  const { entry, index } = address;
  const overKeys = isOverKeys(entry);
  const { form, operand } = overKeys ? await pairEdit(edit, files) : await rowEdit(edit, files);
  const [from = -1, to = -1] = routing?.swap ?? [];
  return {
    // Which expert it is of is an input, so all experts share a program.
    entry: entry.ofExpert?.whole ?? entry,
    ...{ form, text, positions, operand, routing, isContinued, call: edit.spec.call },
    piece: overKeys ? (index[0] ?? -1) : pieceOf(entry, index).piece,
    key: overKeys ? (index[1] ?? -1) : -1,
    expert: entry.ofExpert?.expert ?? from,
    successor: to,
  };
}

interface Resolved {
  readonly form: EditForm;
  readonly operand: Edit["operand"];
}

const CALL: Resolved = { form: { on: "call" }, operand: () => [] };

async function rowEdit(edit: AddressedEdit, files: EditFiles): Promise<Resolved> {
  const { address, spec, action, text } = edit;
  if (action === "call") return CALL;
  const { entry, index } = address;
  const { nPieces, pieceSize, piece } = pieceOf(entry, index);
  const on = entry.ofExpert === undefined ? "rows" : "experts";
  const form = (kind: Extract<EditForm, { on: "rows" }>["kind"], width: number): EditForm => ({
    ...{ on, kind, nPieces, pieceSize, width },
  });
  const constant = (kind: Parameters<typeof form>[0], values: ArrayLike<number>): Resolved => ({
    form: form(kind, values.length),
    operand: () => values,
  });
  switch (action) {
    case "clamp":
      return constant("clamp", spec.clamp as readonly [number, number]);
    case "ban":
      return constant("add", bans(edit.routing as Routing));
    case "force":
      return constant("set", [Number.POSITIVE_INFINITY]);
    case "swap":
      return { form: { on: "chosen" }, operand: () => [] };
    case "patch": {
      const recorded = await recordingOf(edit, action, entry, files);
      const rowsOf = entry.ofExpert === undefined ? recordedRows : recordedOfExpert;
      const rows = rowsOf(recorded, entry, spec.sequence ?? 0, text);
      return { form: form("set", pieceSize), operand: (position) => pieceAt(rows(position).data, piece, pieceSize) };
    }
    case "mean": {
      const mean = recordedMean(await recordingOf(edit, action, entry, files), entry, text);
      return constant("set", pieceAt(mean.data, piece, pieceSize));
    }
    default: {
      const values = await numbersOf(spec[action] as Vector, files);
      const isWhole = action === "projectOut";
      checkLength(values, pieceSize, isWhole, address, text);
      return constant(action, action === "add" ? addend(values, spec.times ?? 1) : values);
    }
  }
}

async function pairEdit(edit: AddressedEdit, files: EditFiles): Promise<Resolved> {
  const { address, spec, action, text } = edit;
  if (action === "call") return CALL;
  if (action === "clamp") {
    return { form: { on: "pairs", kind: "clamp", width: 2 }, operand: () => spec.clamp as readonly [number, number] };
  }
  if (action === "patch") {
    const keys = recordedKeys(
      await recordingOf(edit, action, address.entry, files),
      address.entry,
      spec.sequence ?? 0,
      text,
    );
    return { form: { on: "eachPair" }, operand: keys };
  }
  const kind = action as "set" | "add" | "scale";
  const values = await numbersOf(spec[kind] as Vector, files);
  checkLength(values, 1, false, address, text);
  const numbers = kind === "add" ? addend(values, spec.times ?? 1) : values;
  return { form: { on: "pairs", kind, width: 1 }, operand: () => numbers };
}

/** Which piece of a row of the point an index means; all of a row is one piece. */
function pieceOf({ shape }: CatalogEntry, index: readonly number[]) {
  const axes = shape.slice(1) as number[];
  const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
  const nPieces = product(axes.slice(0, index.length));
  const piece = index.reduce((at, i, axis) => at * axes[axis] + i, 0);
  return { nPieces, pieceSize: product(axes.slice(index.length)), piece };
}

function pieceAt(row: ArrayLike<number> & { subarray?: unknown }, piece: number, size: number): ArrayLike<number> {
  return (row as Float32Array).subarray(piece * size, (piece + 1) * size);
}

async function numbersOf(vector: Vector, files: EditFiles): Promise<ArrayLike<number>> {
  if (typeof vector === "number") return [vector];
  return "file" in vector ? files.vector(vector) : vector;
}

function checkLength(values: ArrayLike<number>, size: number, isWhole: boolean, { text }: Address, path: string): void {
  const isDirection = Array.from(values).some((value) => value !== 0);
  if ((values.length === size && (!isWhole || isDirection)) || (values.length === 1 && !isWhole)) return;
  throw new PointError("point.edit", {
    path,
    expected: isWhole ? `a direction in ${text} has ${size} numbers, not all 0` : `${text} takes one number or ${size}`,
    got: values.length === size ? "zeros" : `${values.length}`,
    remedy: size === 1 ? "Give one number." : "Give a vector of that length.",
  });
}

/** What takes banned experts out of a choice and leaves the scores of others as they are to the last bit. */
function bans({ banned, nExperts }: Routing): Float64Array {
  const addends = new Float64Array(nExperts).fill(-0);
  for (const expert of banned) addends[expert] = Number.NEGATIVE_INFINITY;
  return addends;
}

/** x + −0 is x for every x, even −0, whose sign x + 0 would lose. */
function addend(values: ArrayLike<number>, times: number): Float64Array {
  return Float64Array.from(values, (value) => value * times || -0);
}

/** What an edit puts in, which must be of this model unless the edit says otherwise. */
async function recordingOf(
  { spec, text }: AddressedEdit,
  action: "patch" | "mean",
  { name }: CatalogEntry,
  files: EditFiles,
): Promise<Recorded> {
  const given = spec[action] as Recorded | RecordingRef;
  const recording = "file" in given ? await files.recording(given, [name]) : given;
  if (spec.anyModel || recording.fingerprint === undefined) return recording;
  const fingerprint = await files.fingerprint();
  if (recording.fingerprint === fingerprint) return recording;
  throw new PointError("point.edit", {
    path: text,
    expected: `a recording of this model, ${fingerprint.slice(0, 12)}`,
    got: `one of ${recording.fingerprint.slice(0, 12)}`,
    remedy: "Record with this model, or give { ..., anyModel: true } where that is meant.",
  });
}
