import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.ts";
import { openSafetensorsFile } from "../checkpoint/safetensors.ts";
import { layOutSafetensors } from "../checkpoint/write-safetensors.ts";
import { CheckpointError, PointError, RequestError } from "../errors.ts";
import type { Host, Sink } from "../host.ts";
import { formatBytes } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { checkList, checkOptions } from "./options.ts";
import { openNamedFile } from "./read-vector.ts";
import { type Provenance, Recording } from "./recording.ts";
import { LENGTHS, pointTensors, type RecordingPlan, recordingTensors, TOKENS } from "./recording-layout.ts";
import { parsePlan, planMetadata } from "./recording-metadata.ts";

/** Most that a recording may hold in memory. */
export const MAX_LOADED_BYTES = 2 ** 31;

/** Takes a recording's values, each at its place: elements of a tensor from `at` on. */
export interface RecordingTarget {
  put(tensor: string, at: number, data: Tensor["data"]): void | Promise<void>;
}

/** Writes a recording's file: `fill` brings the values of all points. Where anything fails, nothing is left behind. */
export async function writeRecording(
  path: string,
  host: Host,
  plan: RecordingPlan,
  provenance: Provenance,
  fill: (target: RecordingTarget) => Promise<void>,
): Promise<void> {
  const { header, offsets } = layOutSafetensors(recordingTensors(plan), planMetadata(plan, provenance));
  const sink = await createFile(host, path);
  try {
    const target: RecordingTarget = {
      put: (tensor, at, { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT }) =>
        sink.write((offsets.get(tensor) as number) + at * BYTES_PER_ELEMENT, bytesOf(buffer, byteOffset, byteLength)),
    };
    await sink.write(0, header);
    await target.put(TOKENS, 0, Int32Array.from(plan.sequences.flatMap(({ tokens }) => tokens)));
    await target.put(LENGTHS, 0, Int32Array.from(plan.sequences, ({ tokens }) => tokens.length));
    await fill(target);
    await sink.finish();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

function bytesOf(buffer: ArrayBufferLike, byteOffset: number, byteLength: number): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function createFile(host: Host, path: string): Promise<Sink> {
  if (host.createFile !== undefined) return host.createFile(path);
  throw new RequestError("request.option", {
    path,
    expected: "a recording can be written only where the platform has files",
    remedy: "Record into memory.",
  });
}

export interface OpenRecordingOptions {
  /** The points to load; all of them unless stated. */
  readonly points?: readonly string[];
}

/** Loads a recording that `Model.record` or `Recording.save` wrote. @throws CheckpointError for any other file. */
export async function openRecording(
  path: string,
  host: Host,
  options: OpenRecordingOptions = {},
): Promise<Recording> {
  checkOptions("openRecording", options, ["points"]);
  const checkpoint = await openSafetensorsFile(await openNamedFile(host, path));
  try {
    const { plan, provenance } = await parsePlan(checkpoint, (name) => readTensor(checkpoint, name));
    const { points = plan.points.map(({ name }) => name) } = options;
    checkList("openRecording: points", points, "points");
    const unknown = points.find((name) => plan.points.every((point) => point.name !== name));
    if (unknown !== undefined) {
      throw new PointError("point.absent", {
        path: unknown,
        expected: `a point must be in ${path}`,
        got: `points ${plan.points.map(({ name }) => name).join(", ")}`,
      });
    }
    const loaded = { ...plan, points: plan.points.filter(({ name }) => points.includes(name)) };
    const names = loaded.points.flatMap((point) => pointTensors(point, plan).map(({ name }) => name));
    checkSize(path, names.map((name) => checkpoint.tensors.get(name) as StoredTensor));
    const tensors = new Map<string, Tensor>();
    for (const name of names) tensors.set(name, await readTensor(checkpoint, name));
    const unloaded = plan.points.map(({ name }) => name).filter((name) => !points.includes(name));
    return new Recording({ plan: loaded, provenance, tensors, unloaded }, host);
  } finally {
    await checkpoint.close();
  }
}

/** A tensor of f32 or i32, which all tensors of a recording are. */
async function readTensor(checkpoint: Checkpoint, name: string): Promise<Tensor> {
  const tensor = checkpoint.tensors.get(name) as StoredTensor;
  const { buffer } = await checkpoint.read(tensor);
  return new Tensor(tensor.shape, tensor.dtype === "i32" ? new Int32Array(buffer) : new Float32Array(buffer));
}

function checkSize(path: string, tensors: readonly StoredTensor[]): void {
  const sizeBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  if (sizeBytes <= MAX_LOADED_BYTES) return;
  throw new CheckpointError("checkpoint.shape", {
    path,
    expected: `at most ${formatBytes(MAX_LOADED_BYTES)} of a recording can be loaded`,
    got: formatBytes(sizeBytes),
    remedy: "Choose some of its points: openRecording(path, { points: [...] }).",
  });
}
