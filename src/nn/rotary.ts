import { nRopeVariants, type RopeConfig, ropeFrequencies, ropeMagnitude } from "../config/rope.ts";
import { rope } from "../ops/index.ts";
import type { RotateAttrs } from "../ops/rotate/rotate.ts";
import { constant, point } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Prepare } from "./attention.ts";

interface RotationOptions {
  /** Dimensions of a head that turn. */
  readonly rotaryDim: number;
  readonly pairing: RotateAttrs["pairing"];
  /** What the frequencies are called in the tape, where a model has several. */
  readonly freqs?: string;
}

/** Turns heads [T, H, D] by the position of each row: their first dimensions, or those after the first `offset` ones. */
export type Rotation = (x: Value, offset?: number) => Value;

export function rotation(config: RopeConfig, rows: Value, options: RotationOptions): Rotation {
  const { rotaryDim, pairing, freqs: name = "ropeFreqs" } = options;
  const nVariants = nRopeVariants(config);
  const variants = Array.from({ length: nVariants }, (_, variant) => [...ropeFrequencies(config, rotaryDim, variant)]);
  const freqs = constant(name, Float64Array.from(variants.flat()), [nVariants, rotaryDim / 2]);
  const magnitude = ropeMagnitude(config);
  return (x, offset) => rope(x, freqs, rows, { pairing, magnitude, offset });
}

/** Rotary embedding of the first dimensions of heads, in the half-split pairing of Hugging Face checkpoints. */
export function rotary(config: RopeConfig, rotaryDim: number, rows: Value, freqs?: string): Prepare {
  const rotate = rotation(config, rows, { rotaryDim, pairing: "half", freqs });
  return (q, k, rounded) => [
    point("rotQ", rotate(q)), // [T, nHeads, headDim]
    point("rotK", rounded(rotate(k))), // [T, nKvHeads, headDim]
  ];
}
