import { nRopeVariants, type RopeConfig, ropeFrequencies, ropeMagnitude } from "../config/rope.ts";
import { rope } from "../ops/index.ts";
import { constant, point } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Prepare } from "./attention.ts";

/** Rotary embedding of whole heads in the half-split pairing of Hugging Face checkpoints. */
export function rotary(config: RopeConfig, headDim: number, rows: Value): Prepare {
  const nVariants = nRopeVariants(config);
  const variants = Array.from({ length: nVariants }, (_, variant) => [...ropeFrequencies(config, headDim, variant)]);
  const freqs = constant("ropeFreqs", Float64Array.from(variants.flat()), [nVariants, headDim / 2]);
  const attrs = { pairing: "half", magnitude: ropeMagnitude(config) } as const;
  return (q, k, rounded) => [
    point("rotQ", rope(q, freqs, rows, attrs)), // [T, nHeads, headDim]
    point("rotK", rounded(rope(k, freqs, rows, attrs))), // [T, nKvHeads, headDim]
  ];
}
