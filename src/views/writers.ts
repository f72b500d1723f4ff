/** The parts of a model that write to the residual stream, each with what it has along some directions. */

import { add, matmulTransposed, mul, splitHeads, sum } from "../ops/index.ts";
import type { WeightScope } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { constant, input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { extremes, largestInSize } from "./extremes.ts";
import type { Route } from "./route.ts";

/**
 * `attention` and `mlp` are whole parts; where heads or neurons are told apart, an `mlp` is without its bias. A sparse
 * layer has `expert`s and a `shared` one in the place of an `mlp`, each with its bias unless neurons are told apart.
 */
export const COMPONENT_KINDS = [
  "embed",
  "posEmbed",
  "attention",
  "head",
  "attentionBias",
  "mlp",
  "neuron",
  "otherNeurons",
  "mlpBias",
  "expert",
  "expertBias",
  "shared",
  "normBias",
  "softcap",
] as const;
export type ComponentKind = (typeof COMPONENT_KINDS)[number];

/** A part of the model, and what it gives to a sum. */
export interface Component {
  /** `L5.H3`, as addresses are written, or what there is no address for: `L5.mlp bias`. */
  readonly label: string;
  readonly kind: ComponentKind;
  readonly layer?: number;
  readonly head?: number;
  readonly neuron?: number;
  /** Of an expert, and of a neuron that is one of its. */
  readonly expert?: number;
  readonly value: number;
}

export type Output = (name: string) => Tensor;

export interface Writer {
  /** Points that must be read where it is looked at. */
  readonly points: readonly string[];
  /** What `build` declares as inputs, from a run that read the points at the one position. */
  inputs(run: Run): WriterInputs;
  /** Outputs of a tape over weights: what it has along directions [n, dModel]. */
  build(scope: WeightScope, directions: Value): Readonly<Record<string, Value>>;
  /** What they say about one of the directions. */
  present(output: Output, row: number, run: Run): Component[];
}

export interface WriterInputs {
  readonly floats: Readonly<Record<string, ArrayLike<number>>>;
  readonly ints?: Readonly<Record<string, Int32Array>>;
}

export type Label = Omit<Component, "value">;

/** Values of points as inputs of their names. */
export function asRead(run: Run, points: readonly string[]): Record<string, ArrayLike<number>> {
  return Object.fromEntries(points.map((point) => [point, run.get(point).data]));
}

/** What a point has, as it is added to the stream. */
export function pointWriter(label: Label, point: string, dModel: number): Writer {
  return {
    points: [point],
    inputs: (run) => ({ floats: asRead(run, [point]) }),
    build: (_, directions) => ({ [point]: along(directions, input(point, "float", [dModel])) }),
    present: (output, row) => [{ ...label, value: output(point).at(row) }],
  };
}

export function biasWriter(label: Label, bias: string, route: Route): Writer {
  return {
    points: route.points,
    inputs: (run) => ({ floats: route.inputs(run) }),
    build: (scope, directions) => ({ [bias]: along(route.back(scope, directions), scope.weight(bias)) }),
    present: (output, row) => [{ ...label, value: output(bias).at(row) }],
  };
}

/** What a point has without a bias, which is told apart. */
export function unbiasedWriter(label: Label, point: string, bias: string, dModel: number, route: Route): Writer {
  const whole = pointWriter(label, point, dModel);
  return {
    ...whole,
    points: [point, ...route.points],
    inputs: (run) => ({ floats: { ...asRead(run, [point]), ...route.inputs(run) } }),
    build(scope, directions) {
      const ofBias = along(route.back(scope, directions), scope.weight(bias));
      const minus = mul(ofBias, constant("−1", Float64Array.of(-1), []));
      return { [point]: add(along(directions, input(point, "float", [dModel])), minus) };
    },
  };
}

/**
 * The heads of a layer, without the bias. The directions are taken back through the output weights once, rather than
 * each head's vector forth: wOᵀ · direction has what all of them need.
 */
export function headsWriter(layer: number, nHeads: number, route: Route): Writer {
  const [z, wO] = ["z", "wO"].map((part) => `blocks.${layer}.attn.${part}`);
  return {
    points: [z, ...route.points],
    inputs: (run) => ({ floats: { ...asRead(run, [z]), ...route.inputs(run) } }),
    build(scope, directions) {
      const weights = scope.weight(wO); // [dModel, nHeads * headDim]
      const size = weights.shape[1] as number;
      const perElement = mul(matmulTransposed(route.back(scope, directions), weights), input(z, "float", [size]));
      return { [z]: sum(splitHeads(perElement, { nHeads, headDim: size / nHeads })) }; // [n, nHeads]
    },
    present: (output, row) =>
      Array.from(output(z).row(row).data, (value, head): Component => {
        return { label: `L${layer}.H${head}`, kind: "head", layer, head, value };
      }),
  };
}

/** The neurons of a layer, without the bias: the `nNamed` largest each, and the others as one. */
export function neuronsWriter(layer: number, dFf: number, nNamed: number, route: Route): Writer {
  const [post, wDown] = ["post", "wDown"].map((part) => `blocks.${layer}.mlp.${part}`);
  const k = Math.min(nNamed, dFf);
  return {
    points: [post, ...route.points],
    inputs: (run) => ({ floats: { ...asRead(run, [post]), ...route.inputs(run) } }),
    build(scope, directions) {
      const back = matmulTransposed(route.back(scope, directions), scope.weight(wDown));
      const perNeuron = mul(back, input(post, "float", [dFf])); // [n, dFf]
      return { [post]: sum(perNeuron), ...(k > 0 && extremes(post, perNeuron, k)) };
    },
    present(output, row) {
      const named = k > 0 ? largestInSize(post, output, row) : [];
      const rest = named.reduce((left, { value }) => left - value, output(post).at(row));
      const others: Component = { label: `L${layer} other neurons`, kind: "otherNeurons", layer, value: rest };
      return [
        ...named.map(({ index: neuron, value }): Component => {
          return { label: `L${layer}.N${neuron}`, kind: "neuron", layer, neuron, value };
        }),
        ...(k < dFf ? [others] : []),
      ];
    },
  };
}

/** [n, dModel] and [dModel] -> [n] */
export function along(directions: Value, vector: Value): Value {
  return sum(mul(directions, vector));
}
