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
  /** Dimensions before those that turn. */
  readonly offset?: number;
}

/** The rotary embedding of heads [T, H, D] by the position of each row. */
export function rotation(config: RopeConfig, rows: Value, { rotaryDim, pairing, offset }: RotationOptions) {
  const nVariants = nRopeVariants(config);
  const variants = Array.from({ length: nVariants }, (_, variant) => [...ropeFrequencies(config, rotaryDim, variant)]);
  const freqs = constant("ropeFreqs", Float64Array.from(variants.flat()), [nVariants, rotaryDim / 2]);
  const magnitude = ropeMagnitude(config);
  return (x: Value): Value => rope(x, freqs, rows, { pairing, magnitude, offset });
}

/** Rotary embedding of the first dimensions of heads, in the half-split pairing of Hugging Face checkpoints. */
export function rotary(config: RopeConfig, rotaryDim: number, rows: Value): Prepare {
  const rotate = rotation(config, rows, { rotaryDim, pairing: "half" });
  return (q, k, rounded) => [
    point("rotQ", rotate(q)), // [T, nHeads, headDim]
    point("rotK", rounded(rotate(k))), // [T, nKvHeads, headDim]
  ];
}
