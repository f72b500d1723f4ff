import { layOutSafetensors } from "../checkpoint/write-safetensors.ts";
import { RequestError } from "../errors.ts";
import type { Host, Sink } from "../host.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Provenance } from "./recording.ts";
import { LENGTHS, type RecordingPlan, recordingTensors, TOKENS } from "./recording-layout.ts";
import { planMetadata } from "./recording-metadata.ts";

/** Takes a recording's values, each at its place: elements of a tensor from `at` on. */
export interface RecordingTarget {
  put(tensor: string, at: number, data: Tensor["data"]): void | Promise<void>;
}

/** More would take a header that readers refuse. */
const MAX_TENSORS = 100_000;

/** Writes a recording's file: `fill` brings the values of all points. Where anything fails, nothing is left behind. */
export async function writeRecording(
  path: string,
  host: Host,
  plan: RecordingPlan,
  provenance: Provenance,
  fill: (target: RecordingTarget) => Promise<void>,
): Promise<void> {
  const tensors = recordingTensors(plan);
  if (tensors.length > MAX_TENSORS) {
    throw new RequestError("request.option", {
      path,
      expected: `a recording's file has at most ${MAX_TENSORS} tensors, of which each text takes one for each point over keys`,
      got: `${tensors.length}`,
      remedy: "Record fewer of these points, or fewer texts.",
    });
  }
  const { header, offsets } = layOutSafetensors(tensors, planMetadata(plan, provenance));
  const sink = await createFile(host, path);
  try {
    const target: RecordingTarget = {
      put: (tensor, at, { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT }) =>
        sink.write(
          (offsets.get(tensor) as number) + at * BYTES_PER_ELEMENT,
          new Uint8Array(buffer, byteOffset, byteLength),
        ),
    };
    await sink.write(0, header);
    await target.put(TOKENS, 0, Int32Array.from(plan.sequences.flatMap(({ tokens }) => tokens)));
    await target.put(
      LENGTHS,
      0,
      Int32Array.from(plan.sequences, ({ tokens }) => tokens.length),
    );
    await fill(target);
    await sink.finish();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** Tensors that are whole already. */
export async function putAll(tensors: ReadonlyMap<string, Tensor>, target: RecordingTarget): Promise<void> {
  for (const [name, { data }] of tensors) await target.put(name, 0, data);
}

function createFile(host: Host, path: string): Promise<Sink> {
  if (host.createFile !== undefined) return host.createFile(path);
  throw new RequestError("request.option", {
    path,
    expected: "a recording can be written only where the platform has files",
    remedy: "Record into memory.",
  });
}
