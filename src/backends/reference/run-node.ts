import type { CacheStorage, Primitive, ReferenceArgs } from "../../tape/op.ts";
import { concreteDims, concreteShape, type StepInputs } from "../../tape/sizes.ts";
import type { Attrs, Node, Value } from "../../tape/value.ts";
import { type FloatArray, floatArray, type Precision } from "../../tensor/dtype.ts";
import { numel } from "../../tensor/shape.ts";

export type NodeData = Map<Value, FloatArray | Int32Array | CacheStorage>;

/** Runs one primitive's loops on the data of its inputs, and enters the data of its outputs. */
export function runNode(
  node: Node & { readonly op: Primitive },
  data: NodeData,
  step: StepInputs,
  precision: Precision,
): void {
  const { op, inputs, outputs, attrs } = node;
  const floats: Record<string, FloatArray> = {};
  const ints: Record<string, Int32Array> = {};
  let cache: CacheStorage | undefined;
  op.signature.inputs.forEach(({ name, type }, i) => {
    const value = inputs[i];
    const given = value && data.get(value);
    if (given === undefined) return;
    if (type === "float") floats[name] = given as FloatArray;
    if (type === "int") ints[name] = given as Int32Array;
    if (type === "cache") cache = given as CacheStorage;
  });
  const floatOuts: Record<string, FloatArray> = {};
  const intOuts: Record<string, Int32Array> = {};
  op.signature.outputs.forEach(({ name, type }, i) => {
    const length = type === "cache" ? 0 : numel(concreteShape(outputs[i].shape, step));
    if (type === "float") floatOuts[name] = floatArray(precision, length);
    if (type === "int") intOuts[name] = new Int32Array(length);
    const made = floatOuts[name] ?? intOuts[name] ?? cache;
    if (made !== undefined) data.set(outputs[i], made);
  });
  const args: ReferenceArgs<Attrs> = {
    floats,
    ints,
    rows: step.rows,
    // Ops without a cache in their signature have no name by which to reach this.
    cache: cache ?? NO_CACHE,
    out: Object.values(floatOuts)[0] ?? NO_FLOATS,
    floatOuts,
    intOuts,
    dims: concreteDims(node, step),
    attrs,
  };
  op.reference(args);
}

const NO_FLOATS = new Float32Array(0);
const NO_CACHE: CacheStorage = { k: NO_FLOATS, v: NO_FLOATS };
