import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../config/model-config.ts";
import type { Bindings } from "../weights/bind.ts";

/** Bytes that are looked at in three places of each tensor: its beginning, its middle and its end. */
const SAMPLE_BYTES = 4096;

/**
 * Tells models apart: a SHA-256, in hexadecimal, over the architecture, the config as golgi understands it, and of each
 * tensor that the model uses its name, type, shape, first, middle and last 4 KiB. Equal for copies of one model's files,
 * under whatever names; another file format or type is another model. Weights that differ elsewhere alone go unnoticed.
 */
export async function fingerprintOf(
  architecture: string,
  config: ModelConfig,
  bindings: Bindings,
  checkpoint: Checkpoint,
): Promise<string> {
  const pieces = [...bindings.weights.values()].flatMap((binding) => binding.pieces);
  const used = pieces.flatMap(({ tensor, scales }) => (scales === undefined ? [tensor] : [tensor, scales.tensor]));
  const tensors = new Map(used.map((tensor) => [tensor.name, tensor]));
  const sorted = [...tensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const described = sorted.map(({ name, dtype, shape }) => [name, dtype, shape]);
  const contents = [new TextEncoder().encode(canonicalJson([architecture, config, described]))];
  for (const tensor of sorted) {
    for (const sample of samplesOf(tensor)) contents.push(await checkpoint.read(sample));
  }
  const digest = await crypto.subtle.digest("SHA-256", concatenated(contents));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Parts of a tensor's bytes; all of a small one. */
function samplesOf(tensor: StoredTensor): StoredTensor[] {
  const { offset, sizeBytes } = tensor;
  if (sizeBytes <= 3 * SAMPLE_BYTES) return [tensor];
  const last = sizeBytes - SAMPLE_BYTES;
  return [0, Math.floor(last / 2), last].map((from) => {
    return { ...tensor, offset: offset + from, sizeBytes: SAMPLE_BYTES };
  });
}

/** Equal for equal values, in whatever order their keys were set. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    const isPlain = typeof inner === "object" && inner !== null && !Array.isArray(inner);
    return isPlain ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner;
  });
}

function concatenated(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
