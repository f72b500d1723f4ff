import { RequestError } from "../errors.ts";
import { mul } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { input } from "../tape/builder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Components, range } from "./components.ts";
import { bySize } from "./extremes.ts";
import { activated, activationOf } from "./neuron-activation.ts";
import {
  mlpInput,
  type NeuronPart,
  type NeuronReader,
  neuronBias,
  neuronColumn,
  neuronInputs,
  neuronRow,
  ofPart,
} from "./neuron-part.ts";
import { routeOf } from "./route.ts";
import type { Output } from "./writers.ts";
import { buildWritten } from "./written.ts";

/** A sum over the inputs of a neuron, by the names of its value and weights within its MLP. */
export interface BranchNames {
  readonly name: "gate" | "up";
  readonly point: "pre" | "preLinear";
  readonly weight: string;
  readonly bias: string;
}

/** The sums of a neuron: first the one that the activation function is applied to. */
export function branchesOf(model: Model, part: NeuronPart): readonly BranchNames[] {
  const up = { name: "up", weight: "wUp", bias: "bUp" } as const;
  const gate = { name: "gate", weight: "wGate", bias: "bGate", point: "pre" } as const;
  const isGated = model.tape.points.has(ofPart(part, "preLinear"));
  const branches = isGated ? [gate, { ...up, point: "preLinear" } as const] : [{ ...up, point: "pre" } as const];
  const missing = ["wDown", ...branches.map(({ weight }) => weight)].find(
    (name) => !model.bindings.weights.has(ofPart(part, name)),
  );
  if (missing === undefined) return branches;
  throw new RequestError("request.option", {
    path: "explain: address",
    expected: "a neuron is explained as fn(gate) · up, or fn(up), of sums over what its MLP reads",
    got: `no weight ${ofPart(part, missing)} in the family ${model.architecture}`,
  });
}

/** One input times its weight. */
export interface Product {
  readonly dimension: number;
  readonly input: number;
  readonly weight: number;
  readonly value: number;
  /** The part of `value` that the norm's bias makes; 0 without one. */
  readonly normBias: number;
}

export interface NeuronSum {
  readonly bias: number;
  /** The largest first. */
  readonly products: readonly Product[];
  readonly weights: ArrayLike<number>;
}

/** Every product of the sums of one neuron, at the position that was read. */
export async function neuronSums(
  model: Model,
  part: NeuronPart,
  branches: readonly BranchNames[],
  run: Run,
): Promise<NeuronSum[]> {
  const { dModel } = model.config;
  const has = (name: string): boolean => model.bindings.weights.has(name);
  const normBias = `blocks.${part.layer}.ln2.bias`;
  const inputs = run.get(mlpInput(model, part.layer).point).data;
  const outputs = await model.evaluate(
    (scope) => {
      const sums = branches.map((branch) => {
        const row = neuronRow(model, scope, part, branch.weight); // [1, dModel]
        return {
          [`${branch.name}.weights`]: row,
          [`${branch.name}.products`]: mul(row, input("inputs", "float", [dModel])),
          ...(has(ofPart(part, branch.bias)) && { [`${branch.name}.bias`]: neuronBias(scope, part, branch.bias) }),
          ...(has(normBias) && { [`${branch.name}.normBias`]: mul(row, scope.weight(normBias)) }),
        };
      });
      return Object.assign({}, ...sums);
    },
    neuronInputs(model, part),
    { inputs },
  );
  return branches.map(({ name }): NeuronSum => {
    const of = (what: string) => outputs.get(`${name}.${what}`)?.data;
    const [row, products] = [of("weights"), of("products")] as [Float32Array, Float32Array];
    const list = range(dModel).map((dimension): Product => {
      const value = products[dimension];
      return {
        dimension,
        input: inputs[dimension],
        weight: row[dimension],
        value,
        normBias: of("normBias")?.[dimension] ?? 0,
      };
    });
    return { bias: of("bias")?.[0] ?? 0, products: list.sort(bySize), weights: row };
  });
}

/** A sum of a neuron whose largest products are traced. */
interface TracedSum {
  readonly branch: BranchNames;
  readonly sum: NeuronSum;
  readonly nTerms: number;
}

/**
 * What wrote the inputs of a neuron's sums, and what its value does: outputs of a tape by branch, whose row 0 is the
 * whole sum and whose row 1 + i the i-th of its largest products.
 */
export async function traceNeuron(
  model: Model,
  part: NeuronPart,
  traced: readonly TracedSum[],
  components: Components,
  run: Run,
  reader: NeuronReader,
  nTokens: number,
): Promise<Output> {
  const { dModel } = model.config;
  const route = routeOf(model, part.layer, "mlp");
  const mlp = mlpInput(model, part.layer);
  const read = components.inputs(run);
  const outputs = await model.evaluate(
    (scope) => {
      const written = mul(neuronColumn(model, scope, part), input("value", "float", [])); // [1, dModel]
      const sums = traced.map(({ branch, nTerms }) => {
        const directions = input(`${branch.name}.directions`, "float", [1 + nTerms, dModel]);
        return components.build(scope, mlp.back(scope, directions), branch.name);
      });
      return Object.assign(
        { activated: activated(activationOf(model, part), input("pre", "float", [1])) },
        buildWritten(scope, route.forth(scope, written), nTokens),
        ...sums,
      );
    },
    { ...read.ints, ...neuronInputs(model, part) },
    {
      ...read.floats,
      ...route.inputs(run),
      pre: [reader.value("pre")],
      value: [reader.factor * reader.value("post")],
      ...Object.fromEntries(
        traced.map(({ branch, sum, nTerms }) => [`${branch.name}.directions`, directionsOf(sum, nTerms, dModel)]),
      ),
    },
  );
  return (name) => outputs.get(name) as Tensor;
}

/** At the norm's output: all weights of a sum, then each of its largest products' weight alone. */
function directionsOf({ products, weights }: NeuronSum, nTerms: number, dModel: number): Float64Array {
  const directions = new Float64Array((1 + nTerms) * dModel);
  directions.set(Array.from(weights));
  for (const [i, { dimension, weight }] of products.slice(0, nTerms).entries()) {
    directions[(1 + i) * dModel + dimension] = weight;
  }
  return directions;
}
