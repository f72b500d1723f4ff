import { PointError } from "../errors.ts";
import { type Address, parseAddress } from "../points/address.ts";
import type { CatalogEntry, PointCatalog } from "../points/catalog.ts";
import { atLayer } from "../points/names.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Edit, EditForm } from "./edit.ts";
import {
  EDIT_ACTIONS,
  type EditAction,
  type EditObject,
  type RecordingRef,
  type Vector,
  type VectorRef,
} from "./edit-spec.ts";
import type { Recorded } from "./recording.ts";

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
}

/** Looks up where an edit applies: one edit for each component that it names. @throws PointError */
export function addressEdit(spec: EditObject, text: string, catalog: PointCatalog): AddressedEdit[] {
  const { addresses, positions = "all" } = parseAddress(spec.at, catalog);
  const action = EDIT_ACTIONS.find((name) => spec[name] !== undefined) as EditAction;
  return addresses.map((address) => {
    const onSource = sourceOf(address, spec, action, text, catalog);
    checkAction(onSource.entry, action, text);
    checkInfinite(onSource.entry, spec, text);
    return { text, spec, action, address: onSource, positions: spec.positions ?? positions };
  });
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
  if (isScaled && derive.scalesWith !== undefined && index.length < 2) {
    return { ...address, entry: catalog.get(atLayer(derive.scalesWith, entry.layer)) };
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
    remedy: "Only attention scores may be -Infinity, which hides a key.",
  });
}

/** Reads what the edit works with, and checks that it fits. */
export async function resolveEdit(edit: AddressedEdit, files: EditFiles): Promise<Edit> {
  const { address, text, positions } = edit;
  const { entry, index } = address;
  const overKeys = isOverKeys(entry);
  const { form, operand } = overKeys ? await pairEdit(edit, files) : await rowEdit(edit, files);
  const piece = overKeys ? (index[0] ?? -1) : pieceOf(entry, index).piece;
  return { entry, form, text, positions, piece, key: overKeys ? (index[1] ?? -1) : -1, operand, call: edit.spec.call };
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
  const form = (kind: Extract<EditForm, { on: "rows" }>["kind"], width: number): EditForm => ({
    on: "rows",
    kind,
    nPieces,
    pieceSize,
    width,
  });
  const constant = (kind: Parameters<typeof form>[0], values: ArrayLike<number>): Resolved => ({
    form: form(kind, values.length),
    operand: () => values,
  });
  switch (action) {
    case "clamp":
      return constant("clamp", spec.clamp as readonly [number, number]);
    case "patch": {
      const recorded = await recordingOf(edit, action, entry, files);
      const rows = recordedRows(recorded, entry, spec.sequence ?? 0, text);
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

/** The recorded row of a point at each position. */
function recordedRows(recorded: Recorded, entry: CatalogEntry, sequence: number, path: string) {
  const tensor = recordedTensor(recorded, entry, sequence, path);
  checkShape(tensor.shape.slice(1), entry.shape.slice(1) as number[], path);
  const start = recorded.start(entry.name, sequence);
  return (position: number): Tensor => {
    if (position < start || position >= start + tensor.shape[0]) {
      throw notRecorded(position, start, start + tensor.shape[0], path);
    }
    return tensor.row(position - start);
  };
}

/** The recorded scores or weights of all heads at each position, over the keys up to it. */
function recordedKeys(recorded: Recorded, entry: CatalogEntry, sequence: number, path: string) {
  const tensor = recordedTensor(recorded, entry, sequence, path);
  const [nHeads, nRows, nKeys] = tensor.shape;
  checkShape([nHeads], [entry.shape[0] as number], path);
  const start = recorded.start(entry.name, sequence);
  return (position: number): Float64Array => {
    if (position < start || position >= start + nRows) throw notRecorded(position, start, start + nRows, path);
    const keys = new Float64Array(nHeads * (position + 1));
    for (let head = 0; head < nHeads; head++) {
      const from = (head * nRows + position - start) * nKeys;
      keys.set(tensor.data.subarray(from, from + position + 1), head * (position + 1));
    }
    return keys;
  };
}

function recordedTensor(recorded: Recorded, { name }: CatalogEntry, sequence: number, path: string): Tensor {
  const { sequences, points } = recorded;
  if (!points.includes(name)) {
    const got = `a recording of ${points.slice(0, 6).join(", ")}`;
    throw new PointError("point.edit", {
      path,
      expected: `${name} must have been recorded`,
      got,
      remedy: `Record it: read: ["${name}"].`,
    });
  }
  if (sequences[sequence] === undefined) {
    const expected = `the recording has sequences 0 to ${sequences.length - 1}`;
    throw new PointError("point.edit", { path, expected, got: `${sequence}`, remedy: "Choose one of them." });
  }
  return recorded.get(name, { sequence });
}

function recordedMean(recorded: Recorded, entry: CatalogEntry, path: string): Tensor {
  const mean = recorded.mean(entry.name);
  checkShape(mean.shape, entry.shape.slice(1) as number[], path);
  return mean;
}

function checkShape(found: readonly number[], wanted: readonly number[], path: string): void {
  if (found.length === wanted.length && found.every((size, i) => size === wanted[i])) return;
  throw new PointError("point.edit", {
    path,
    expected: `a recording of a model of the same sizes, here [${wanted.join(", ")}]`,
    got: `[${found.join(", ")}]`,
    remedy: "Record with this model.",
  });
}

function notRecorded(position: number, start: number, end: number, path: string): PointError {
  return new PointError("point.edit", {
    path,
    expected: `the recording has positions ${start} to ${end - 1}`,
    got: `position ${position}`,
    remedy: "Restrict the edit to them, as in @2:5, or record a longer text.",
  });
}
