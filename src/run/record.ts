import { RequestError } from "../errors.ts";
import type { Read } from "../glass/plan.ts";
import type { Host } from "../host.ts";
import { formatBytes, numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { VERSION } from "../version.ts";
import type { Prompt } from "./chat.ts";
import type { Model } from "./model.ts";
import { MAX_LOADED_BYTES } from "./open-recording.ts";
import { progressOf } from "./progress.ts";
import { checkRecordOptions, checkSequences, pointOf, type RecordOptions } from "./record-options.ts";
import { type Collector, reductionOf } from "./record-reduce.ts";
import { type Provenance, Recording } from "./recording.ts";
import {
  firstRows,
  pointTensors,
  type RecordedSequence,
  type RecordingPlan,
  sequenceTensor,
} from "./recording-layout.ts";
import { putAll, type RecordingTarget, writeRecording } from "./write-recording.ts";

const DEFAULT_BATCH = 512;

/** See `Model.record`. */
export async function record(
  model: Model,
  host: Host,
  texts: readonly Prompt[],
  options: RecordOptions,
): Promise<Recording> {
  checkRecordOptions(texts, options);
  const { to, reduce } = options;
  const reads = model.resolveReads(options.read);
  const sequences = texts.map((text) => ({ tokens: model.encode(text) }));
  checkSequences(sequences, model.config);
  const points = reads.map((read) => pointOf(read, sequences, reduce));
  const plan: RecordingPlan = { points, sequences, reduce };
  const provenance = await provenanceOf(model, options);
  const progress = progressOf(host, countTokens(sequences), options.onProgress);
  const fill = (target: RecordingTarget): Promise<void> =>
    runAll(model, sequences, collectorOf(plan, reads, target), options, progress);
  if (to !== undefined && reduce === undefined) {
    await writeRecording(to, host, plan, provenance, fill);
    const unloaded = points.map(({ name }) => name);
    return new Recording({ plan: { ...plan, points: [] }, provenance, tensors: new Map(), unloaded }, host);
  }
  const memory = new MemoryTarget(plan);
  if (to === undefined) await fill(memory);
  else {
    // The file is begun first: that it cannot be written should not show when all is computed.
    await writeRecording(to, host, plan, provenance, async (file) => {
      await fill(memory);
      await putAll(memory.tensors, file);
    });
  }
  return new Recording({ plan, provenance, tensors: memory.tensors, unloaded: [] }, host);
}

async function provenanceOf(model: Model, { edits = [] }: RecordOptions): Promise<Provenance> {
  return {
    version: VERSION,
    // Where it lies here concerns no other machine.
    model: model.name.split(/[/\\]/).findLast((part) => part !== "") ?? "",
    architecture: model.architecture,
    fingerprint: await model.fingerprint(),
    edits: edits.map((spec) => (typeof spec === "string" ? spec : spec.at)),
  };
}

/** Runs all sequences, some in each step. */
async function runAll(
  model: Model,
  sequences: readonly RecordedSequence[],
  collector: Collector,
  { read, batch = DEFAULT_BATCH, edits, signal }: RecordOptions,
  progress: (nDone: number) => void,
): Promise<void> {
  const reads = collector.derived === undefined ? read : [];
  let nDone = 0;
  for (const part of batches(sequences, batch)) {
    const texts = part.map(({ tokens }) => tokens);
    const run = await model.runDerived(texts, collector.derived, { read: reads, logits: "none", edits, signal });
    await collector.add(run);
    nDone += countTokens(part);
    progress(nDone);
  }
  await collector.finish();
}

function collectorOf(plan: RecordingPlan, reads: readonly Read[], target: RecordingTarget): Collector {
  const { reduce } = plan;
  return reduce === undefined ? allValues(plan, target) : reductionOf({ ...plan, reduce }, reads, target);
}

/** Puts every value in its place as soon as it is there. */
function allValues({ points, sequences }: RecordingPlan, target: RecordingTarget): Collector {
  const rows = points.map((point) => firstRows(point, sequences));
  let first = 0;
  return {
    derived: undefined,
    async add(run) {
      for (const [s] of run.sequences.entries()) {
        for (const [i, { name, rowShape, isOverKeys }] of points.entries()) {
          const { data } = run.get(name, { sequence: s });
          const values = data instanceof Float64Array ? Float32Array.from(data) : data;
          if (isOverKeys) await target.put(sequenceTensor(name, first + s), 0, values);
          else await target.put(name, rows[i][first + s] * numel(rowShape), values);
        }
      }
      first += run.sequences.length;
    },
    async finish() {},
  };
}

/** Consecutive sequences that share a step. */
function* batches(sequences: readonly RecordedSequence[], nTokens: number): Generator<readonly RecordedSequence[]> {
  let from = 0;
  while (from < sequences.length) {
    let to = from + 1;
    let n = sequences[from].tokens.length;
    while (to < sequences.length && n + sequences[to].tokens.length <= nTokens) n += sequences[to++].tokens.length;
    yield sequences.slice(from, to);
    from = to;
  }
}

/** Keeps a recording's values in memory. */
class MemoryTarget implements RecordingTarget {
  readonly tensors = new Map<string, Tensor>();

  constructor(plan: RecordingPlan) {
    const described = plan.points.flatMap((point) => pointTensors(point, plan));
    const sizeBytes = described.reduce((sum, { shape }) => sum + 4 * numel(shape), 0);
    if (sizeBytes > MAX_LOADED_BYTES) {
      throw new RequestError("request.option", {
        path: "record",
        expected: `a recording in memory takes at most ${formatBytes(MAX_LOADED_BYTES)}`,
        got: formatBytes(sizeBytes),
        remedy: "Write it to a file with { to: path }, reduce it, or record fewer points.",
      });
    }
    for (const { name, shape, dtype } of described) {
      const length = numel(shape);
      this.tensors.set(name, new Tensor(shape, dtype === "i32" ? new Int32Array(length) : new Float32Array(length)));
    }
  }

  put(name: string, at: number, data: Tensor["data"]): void {
    this.tensors.get(name)?.data.set(data, at);
  }
}

function countTokens(sequences: readonly RecordedSequence[]): number {
  return sequences.reduce((sum, { tokens }) => sum + tokens.length, 0);
}
