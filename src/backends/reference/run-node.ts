import type { CacheStorage, Primitive, ReferenceArgs } from "../../tape/op.ts";
import { bindDims } from "../../tape/signature.ts";
import { concreteShape, type StepInputs, sizeOf } from "../../tape/sizes.ts";
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
    if (type === "float") data.set(outputs[i], (floatOuts[name] = floatArray(precision, length)));
    if (type === "int") data.set(outputs[i], (intOuts[name] = new Int32Array(length)));
    if (type === "cache" && cache !== undefined) data.set(outputs[i], cache);
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

/** Sizes by the signature's names in this step, and `nOut`. */
export function concreteDims(node: Node, step: StepInputs): Record<string, number> {
  const { single } = bindDims(node.op.signature, node.inputs, node.attrs, node.scope);
  const dims: Record<string, number> = {};
  for (const [name, dim] of single) {
    // A size that this step does not use (the pairs of another window) has no number.
    dims[name] = sizeOf(dim, step);
  }
  dims.nOut = numel(concreteShape(node.outputs[0].shape, step));
  return dims;
}
