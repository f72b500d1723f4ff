import { RequestError } from "../errors.ts";
import { formatShape, numel } from "./shape.ts";

/** A dense row-major array that belongs to whoever holds it. */
export class Tensor<Data extends Float32Array | Float64Array | Int32Array = Float32Array | Float64Array | Int32Array> {
  readonly shape: readonly number[];
  readonly data: Data;

  constructor(shape: readonly number[], data: Data) {
    if (numel(shape) !== data.length) {
      throw new RequestError("request.option", {
        path: "Tensor",
        expected: `shape ${formatShape(shape)} needs ${numel(shape)} elements`,
        got: `${data.length}`,
      });
    }
    this.shape = shape;
    this.data = data;
  }

  /** One element; negative indices count from the end of their axis. */
  at(...indices: number[]): number {
    return this.data[this.#offset(indices, this.shape.length)];
  }

  /** The block at the given leading indices, as a view on the same memory: `t.row(2)` of [T, d] is [d]. */
  row(...indices: number[]): Tensor<Data> {
    const shape = this.shape.slice(indices.length);
    const length = numel(shape);
    const from = this.#offset(indices, indices.length) * length;
    return new Tensor(shape, this.data.subarray(from, from + length) as Data);
  }

  toString(): string {
    const shown = Array.from(this.data.subarray(0, 8), (x) => (Number.isInteger(x) ? `${x}` : x.toPrecision(4)));
    return `Tensor ${formatShape(this.shape)} [${shown.join(", ")}${this.data.length > 8 ? ", ..." : ""}]`;
  }

  #offset(indices: readonly number[], nAxes: number): number {
    let offset = 0;
    for (let axis = 0; axis < nAxes; axis++) {
      const size = this.shape[axis] ?? 0;
      const given = indices[axis] ?? Number.NaN;
      const index = given < 0 ? given + size : given;
      if (indices.length !== nAxes || !Number.isInteger(index) || index < 0 || index >= size) {
        throw new RequestError("request.option", {
          path: "Tensor",
          expected: `indices must lie inside ${formatShape(this.shape)}`,
          got: formatShape(indices),
        });
      }
      offset = offset * size + index;
    }
    return offset;
  }
}
