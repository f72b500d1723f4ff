import { type StoredTensor, tensorPath } from "../checkpoint/checkpoint.ts";
import { openSafetensorsFile } from "../checkpoint/safetensors.ts";
import { CheckpointError, PointError } from "../errors.ts";
import type { Host } from "../host.ts";
import { formatBytes } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkList, checkOptions } from "./options.ts";
import { openNamedFile } from "./read-vector.ts";
import { Recording } from "./recording.ts";
import { pointTensors, type RecordedPoint, type RecordingPlan, reducedTensor } from "./recording-layout.ts";
import { DAMAGED_RECORDING, parseRecording, readTensor } from "./recording-metadata.ts";

/** Most that a recording may hold in memory. */
export const MAX_LOADED_BYTES = 2 ** 31;

export interface OpenRecordingOptions {
  /** The points to load; all of them unless stated. */
  readonly points?: readonly string[];
}

/** Loads a recording that `Model.record` or `Recording.save` wrote. @throws CheckpointError for any other file. */
export async function openRecording(path: string, host: Host, options: OpenRecordingOptions = {}): Promise<Recording> {
  checkOptions("openRecording", options, ["points"]);
  const checkpoint = await openSafetensorsFile(await openNamedFile(host, path));
  try {
    const { plan, provenance } = await parseRecording(checkpoint);
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
    checkSize(
      path,
      names.map((name) => checkpoint.tensors.get(name) as StoredTensor),
    );
    const tensors = new Map<string, Tensor>();
    for (const name of names) tensors.set(name, await readTensor(checkpoint, name));
    for (const point of loaded.points) checkPlaces(path, point, plan, tensors);
    const unloaded = plan.points.map(({ name }) => name).filter((name) => !points.includes(name));
    return new Recording({ plan: loaded, provenance, tensors, unloaded }, host);
  } finally {
    await checkpoint.close();
  }
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

/** Largest rows must be rows of the recorded texts. */
function checkPlaces(
  path: string,
  { name }: RecordedPoint,
  { sequences, reduce }: RecordingPlan,
  tensors: ReadonlyMap<string, Tensor>,
): void {
  if (typeof reduce !== "object") return;
  const { data: of } = tensors.get(reducedTensor(name, "top.sequence")) as Tensor;
  const { data: at } = tensors.get(reducedTensor(name, "top.position")) as Tensor;
  for (let i = 0; i < of.length; i++) {
    if (of[i] === -1 && at[i] === -1) continue;
    if (at[i] >= 0 && at[i] < (sequences[of[i]]?.tokens.length ?? 0)) continue;
    throw new CheckpointError("checkpoint.tensor", {
      path: tensorPath(path, reducedTensor(name, "top.position")),
      expected: "the largest rows must be rows of the recorded texts",
      got: `position ${at[i]} of sequence ${of[i]}`,
      remedy: DAMAGED_RECORDING,
    });
  }
}
