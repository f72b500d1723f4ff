import { type Checkpoint, quote, tensorPath } from "../checkpoint/checkpoint.ts";
import { isObject } from "../config/reader.ts";
import { CheckpointError } from "../errors.ts";
import { parseRead } from "../points/read-spec.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { parseJson } from "./parse-json.ts";
import type { Provenance } from "./recording.ts";
import {
  LENGTHS,
  pointTensors,
  type RecordedPoint,
  type RecordedSequence,
  type RecordingPlan,
  type Reduce,
  reducedTensor,
  sequenceTensor,
  TOKENS,
} from "./recording-layout.ts";

/** Of the format, beside the version of golgi that wrote the file. */
const FORMAT = "1";

/** What a recording's file says about itself in `__metadata__`, where all values are strings. */
export function planMetadata({ points, reduce }: RecordingPlan, provenance: Provenance): Record<string, string> {
  const { version, edits, ...names } = provenance;
  return {
    ...names,
    golgi: version,
    recording: FORMAT,
    edits: JSON.stringify(edits),
    points: JSON.stringify(points.map(({ name, positions }) => ({ at: name, positions }))),
    reduce: JSON.stringify(reduce ?? "none"),
  };
}

/** What a file holds, checked against its tensors: nobody vouches for it. */
export async function parseRecording(
  checkpoint: Checkpoint,
): Promise<{ readonly plan: RecordingPlan; readonly provenance: Provenance }> {
  const { metadata, name: path } = checkpoint;
  if (metadata.recording !== FORMAT) {
    throw new CheckpointError("checkpoint.header", {
      path,
      expected: `it must be a recording (${FORMAT} under "recording" in __metadata__)`,
      got: quote(metadata.recording),
      remedy: "Give a file that Recording.save or record with { to } wrote.",
    });
  }
  const text = (key: string): string => metadata[key] ?? "";
  const sequences = await readSequences(checkpoint);
  const reduce = parseField(path, "reduce", text("reduce"), isReduce);
  const written = parseField(path, "points", text("points"), Array.isArray);
  const plan = {
    points: written.map((point) => parsePoint(checkpoint, point, reduce)),
    sequences,
    reduce: reduce === "none" ? undefined : reduce,
  };
  checkTensors(checkpoint, plan);
  const [model, architecture, fingerprint, version] = ["model", "architecture", "fingerprint", "golgi"].map(text);
  const edits = parseField(path, "edits", text("edits"), isTexts);
  return { plan, provenance: { model, architecture, fingerprint, version, edits } };
}

/** A tensor of f32 or i32, which all tensors of a recording are. */
export async function readTensor(checkpoint: Checkpoint, name: string): Promise<Tensor> {
  const tensor = checkpoint.tensors.get(name);
  const type = tensor?.dtype;
  if (tensor === undefined || (type !== "f32" && type !== "i32")) throw damaged(checkpoint, name, type ?? "nothing");
  const { buffer } = new Uint8Array(await checkpoint.read(tensor));
  return new Tensor(tensor.shape, type === "i32" ? new Int32Array(buffer) : new Float32Array(buffer));
}

async function readSequences(checkpoint: Checkpoint): Promise<RecordedSequence[]> {
  const [tokens, lengths] = [await readTensor(checkpoint, TOKENS), await readTensor(checkpoint, LENGTHS)];
  let at = 0;
  const sequences = Array.from(lengths.data, (length) => {
    if (length < 1 || at + length > tokens.data.length) throw damaged(checkpoint, LENGTHS, `${length}`);
    at += length;
    return { tokens: Array.from(tokens.data.subarray(at - length, at)) };
  });
  if (at !== tokens.data.length || at === 0) throw damaged(checkpoint, TOKENS, `${tokens.data.length} of ${at} tokens`);
  return sequences;
}

function parsePoint(checkpoint: Checkpoint, written: unknown, reduce: Reduce | "none"): RecordedPoint {
  const { pattern: name, positions } = inFile(checkpoint.name, () => parseRead(Object(written)));
  const { tensors } = checkpoint;
  if (reduce !== "none") {
    const kept = tensors.get(reducedTensor(name, typeof reduce === "string" ? "mean" : "top"));
    const rowShape = typeof reduce === "string" ? kept?.shape : kept?.shape.slice(1);
    return { name, positions, rowShape: rowShape ?? [], isOverKeys: false, dtype: "f32" };
  }
  const whole = tensors.get(name);
  if (whole !== undefined) {
    const dtype = whole.dtype === "i32" ? "i32" : "f32";
    return { name, positions, rowShape: whole.shape.slice(1), isOverKeys: false, dtype };
  }
  const first = tensors.get(sequenceTensor(name, 0));
  return { name, positions, rowShape: first?.shape.slice(0, 1) ?? [], isOverKeys: true, dtype: "f32" };
}

/** Every tensor must be there as the plan says, and no other. */
function checkTensors(checkpoint: Checkpoint, plan: RecordingPlan): void {
  const { tensors, name: path } = checkpoint;
  const known = new Set([TOKENS, LENGTHS]);
  for (const point of plan.points) {
    // Positions that a text does not have show here.
    for (const { name, shape, dtype } of inFile(path, () => pointTensors(point, plan))) {
      const found = tensors.get(name);
      if (found?.dtype !== dtype || !sameShape(found.shape, shape) || known.has(name)) {
        throw damaged(checkpoint, name, found === undefined ? "none" : `${found.dtype} ${formatShape(found.shape)}`);
      }
      known.add(name);
    }
  }
  const other = [...tensors.keys()].find((name) => !known.has(name));
  if (other !== undefined) throw damaged(checkpoint, other, "a tensor of no point");
}

function damaged(checkpoint: Checkpoint, tensor: string, got: string): CheckpointError {
  return new CheckpointError("checkpoint.tensor", {
    path: tensorPath(checkpoint.name, tensor),
    expected: "a recording must hold the tokens and the values that its points and texts need, and nothing else",
    got,
    remedy: DAMAGED_RECORDING,
  });
}

export const DAMAGED_RECORDING = "The file is damaged, or was changed by another program: record again.";

function parseField<T>(path: string, key: string, text: string, isValid: (value: unknown) => value is T): T {
  const value = inFile(path, () => parseJson(text));
  if (isValid(value)) return value;
  throw unreadable(path, `${key} ${quote(text)}`);
}

/** What is read of a file, with errors that name the file. */
function inFile<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw unreadable(path, `${(cause as Error).message}`, cause);
  }
}

function unreadable(path: string, got: string, cause?: unknown): CheckpointError {
  const expected = "what __metadata__ says of the recording must be whole";
  return new CheckpointError("checkpoint.header", { path, expected, got, remedy: DAMAGED_RECORDING, cause });
}

function isReduce(value: unknown): value is Reduce | "none" {
  if (value === "none" || value === "mean" || value === "variance") return true;
  return isObject(value) && Number.isSafeInteger(value.topK) && (value.topK as number) > 0;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
