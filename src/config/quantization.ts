import { FP8_BLOCK } from "../tensor/formats/fp8-e4m3.ts";
import type { ConfigReader } from "./reader.ts";

/**
 * Checks that a checkpoint which says how it was quantised is one of DeepSeek's in fp8: each tensor's own type tells
 * which are, and the scales of their blocks lie beside them (see `weights/pieces.ts`). Rows are not rounded.
 */
export function requireFp8(r: ConfigReader): void {
  const own = r.object("quantization_config");
  if (own === undefined) return;
  own.require("quant_method", "fp8", "in which this family is published; take the model in bf16 otherwise");
  own.require("fmt", "e4m3", "the fp8 format with a scale for each block");
  own.require("activation_scheme", "dynamic", "scales of activations in the file would have to be applied");
  const sizes = own.raw("weight_block_size");
  if (!Array.isArray(sizes) || sizes.length !== 2 || sizes.some((size) => size !== FP8_BLOCK)) {
    throw own.invalid("weight_block_size", `[${FP8_BLOCK}, ${FP8_BLOCK}]`, sizes);
  }
  // To which powers the scales were rounded before they were stored.
  own.raw("scale_fmt");
  // The tensors that are not in fp8.
  own.raw("modules_to_not_convert");
  own.finish();
}
