import { blockOf } from "../src/tensor/format.ts";
import type { Round } from "./compare.ts";
import type { ModelWork } from "./report.ts";
import type { ModelShape } from "./shapes.ts";
import { FORMATS, type FormatName } from "./write-model.ts";

/**
 * What a prompt and a token cost, by golgi's own count over the model's tape (`describeModel`); nothing where golgi
 * never opened the model.
 */
export function workOf(
  rounds: readonly Pick<Round, "golgi">[],
  shape: ModelShape,
  format: FormatName,
  nPrefill: number,
): ModelWork {
  const perToken = rounds.find(({ golgi }) => golgi.load?.perToken !== undefined)?.golgi.load?.perToken;
  const [first, last] = perToken ?? [];
  if (first === undefined || last === undefined) return { nPrefill, prefillFlops: Number.NaN, decodeBytes: Number.NaN };
  // Work grows in a straight line with the tokens before, so the mean of the prompt's ends stands for all of it.
  const slope = (last.flops - first.flops) / (last.nCached - first.nCached || 1);
  const withAllLogits = nPrefill * (first.flops + (slope * (nPrefill - 1)) / 2);
  const prefillFlops = withAllLogits - (nPrefill - 1) * 2 * shape.unembedMultiplyAdds;
  return { nPrefill, prefillFlops, decodeBytes: decodeBytes(first.weightElements, shape, format) };
}

/**
 * Vectors and one row of the embedding aside, everything has the format's size; GPT-2's projections that a
 * safetensors file holds transposed are converted to float32 when the model is opened.
 */
function decodeBytes(weightElements: number, { tensors }: ModelShape, format: FormatName): number {
  const { kind, type } = FORMATS[format];
  const { nElements, sizeBytes } = blockOf(type);
  const converted = tensors.filter(({ isTransposed }) => isTransposed && kind === "safetensors");
  const nConverted = converted.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  return ((weightElements - nConverted) * sizeBytes) / nElements + nConverted * 4;
}
