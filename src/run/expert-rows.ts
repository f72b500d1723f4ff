import { numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * Of values that have a place for each chosen expert, [T, nExpertsPerToken, ...], those of one expert: one row for each
 * token that went to it, [n, ...]; none where no token did.
 */
export function expertRows({ shape, data }: Tensor, chosen: Tensor, expert: number): Tensor {
  const [nRows, nChosen, ...rest] = shape;
  const width = numel(rest);
  const places: number[] = [];
  for (let row = 0; row < nRows; row++) {
    const place = chosen.row(row).data.indexOf(expert);
    if (place >= 0) places.push(row * nChosen + place);
  }
  const values = new (data.constructor as Float32ArrayConstructor)(places.length * width);
  for (const [i, place] of places.entries()) values.set(data.subarray(place * width, (place + 1) * width), i * width);
  return new Tensor([places.length, ...rest], values);
}
