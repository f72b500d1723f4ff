import { type RopeConfig, ropeFrequencies, ropeMagnitude } from "../config/rope.ts";
import { rope } from "../ops/index.ts";
import { constant, point } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";

/** Rotates the queries and keys of a layer by their rows' positions. */
export type Rotary = (q: Value, k: Value) => readonly [q: Value, k: Value];

/** Rotary embedding of whole heads in the half-split pairing of Hugging Face checkpoints. */
export function rotary(config: RopeConfig, headDim: number, rows: Value): Rotary {
  const freqs = constant("ropeFreqs", ropeFrequencies(config, headDim), [1, headDim / 2]);
  const attrs = { pairing: "half", magnitude: ropeMagnitude(config) } as const;
  return (q, k) => [
    point("rotQ", rope(q, freqs, rows, attrs)), // [T, nHeads, headDim]
    point("rotK", rope(k, freqs, rows, attrs)), // [T, nKvHeads, headDim]
  ];
}
