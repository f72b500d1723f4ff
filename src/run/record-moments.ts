import { PointError } from "../errors.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Mean and variance (over the population) of each element of some rows. */
export interface Moments {
  readonly mean: Tensor<Float32Array>;
  readonly variance: Tensor<Float32Array>;
}

/**
 * Mean and sum of squared deviations of rows that come in parts, by the update of Chan, Golub and LeVeque (1979), which
 * subtracts no large sums from one another.
 */
export class MomentSums {
  nRows = 0;
  readonly #mean: Float64Array;
  readonly #squares: Float64Array;

  constructor(width: number) {
    this.#mean = new Float64Array(width);
    this.#squares = new Float64Array(width);
  }

  /** Of `n` further rows: their mean is `mean` + `offset`, and `square` is their mean squared distance from `mean`. */
  add(n: number, mean: ArrayLike<number>, offset: ArrayLike<number>, square: ArrayLike<number>): void {
    const nRows = this.nRows + n;
    for (let i = 0; i < this.#mean.length; i++) {
      const delta = mean[i] + offset[i] - this.#mean[i];
      this.#mean[i] += (delta * n) / nRows;
      this.#squares[i] += n * (square[i] - offset[i] ** 2) + delta ** 2 * ((this.nRows * n) / nRows);
    }
    this.nRows = nRows;
  }

  moments(shape: readonly number[]): Moments {
    return {
      mean: new Tensor(shape, Float32Array.from(this.#mean)),
      variance: new Tensor(
        shape,
        Float32Array.from(this.#squares, (squares) => Math.max(0, squares) / this.nRows),
      ),
    };
  }
}

/** Of whole numbers, which say which experts were chosen. */
export function noMean(path: string): PointError {
  const expected = "a mean is one of real numbers";
  return new PointError("point.absent", { path, expected, got: "whole numbers, which experts were chosen" });
}

/** Mean and variance over the first axis. */
export function rowMoments({ shape, data }: Tensor): Moments {
  const [nRows, ...rowShape] = shape;
  const width = data.length / nRows;
  const mean = new Float64Array(width);
  for (let i = 0; i < data.length; i++) mean[i % width] += data[i] / nRows;
  const variance = new Float64Array(width);
  for (let i = 0; i < data.length; i++) variance[i % width] += (data[i] - mean[i % width]) ** 2 / nRows;
  return {
    mean: new Tensor(rowShape, Float32Array.from(mean)),
    variance: new Tensor(rowShape, Float32Array.from(variance)),
  };
}
