import { RequestError } from "../errors.ts";
import { beforeNorm } from "../nn/norm.ts";
import { ACTIVATION_FUNCTIONS, type ActivationFunction, activate } from "../ops/activate/activate.ts";
import { mul, selectColumns, selectRows } from "../ops/index.ts";
import type { Model, WeightScope } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { input } from "../tape/builder.ts";
import { isLeaf, type Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Components, range } from "./components.ts";
import { bySize } from "./extremes.ts";
import type { LayerComponent } from "./options.ts";
import type { Output } from "./writers.ts";
import { buildWritten } from "./written.ts";

/** A sum over the inputs of a neuron, by the names of its value and weights. */
export interface BranchNames {
  readonly name: "gate" | "up";
  readonly point: string;
  readonly weight: string;
  readonly bias: string;
}

/** The sums of the neurons of a layer: first the one that the activation function is applied to. */
export function branchesOf(model: Model, layer: number): readonly BranchNames[] {
  const part = `blocks.${layer}.mlp`;
  const up = { name: "up", weight: `${part}.wUp`, bias: `${part}.bUp` } as const;
  const gate = { name: "gate", weight: `${part}.wGate`, bias: `${part}.bGate` } as const;
  const isGated = model.tape.points.has(`${part}.preLinear`);
  const branches = isGated
    ? [{ ...gate, point: `${part}.pre` } as const, { ...up, point: `${part}.preLinear` } as const]
    : [{ ...up, point: `${part}.pre` } as const];
  const needed = [`blocks.${layer}.ln2.gain`, `${part}.wDown`, ...branches.map(({ weight }) => weight)];
  const missing = needed.find((name) => !model.bindings.weights.has(name));
  if (missing !== undefined) throw cannotExplain(model, `no weight ${missing}`);
  return branches;
}

/** The function between the sums and the value, as the model's own tape has it. */
export function activationOf(model: Model, layer: number): ActivationFunction {
  const from = model.tape.points.get(`blocks.${layer}.mlp.post`)?.from;
  const fn = from === undefined || isLeaf(from) ? undefined : from.attrs.fn;
  const known = ACTIVATION_FUNCTIONS.find((name) => name === fn);
  if (known === undefined) throw cannotExplain(model, "another way from its sums to its value");
  return known;
}

function cannotExplain({ architecture }: Model, got: string): RequestError {
  return new RequestError("request.option", {
    path: "explain: address",
    expected: "a neuron is explained as fn(gate) · up, or fn(up), of sums over what a norm before the MLP gives",
    got: `${got} in the family ${architecture}`,
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
  { layer, index }: LayerComponent,
  branches: readonly BranchNames[],
  run: Run,
): Promise<NeuronSum[]> {
  const { dModel } = model.config;
  const { weights } = model.bindings;
  const normBias = `blocks.${layer}.ln2.bias`;
  const inputs = run.get(`blocks.${layer}.ln2.out`).data;
  const outputs = await model.evaluate(
    ({ weight }) => {
      const neuron = input("neuron", "int", [1]);
      const parts = branches.map((branch) => {
        const row = selectRows(weight(branch.weight), neuron); // [1, dModel]
        return {
          [`${branch.name}.weights`]: row,
          [`${branch.name}.products`]: mul(row, input("inputs", "float", [dModel])),
          ...(weights.has(branch.bias) && { [`${branch.name}.bias`]: selectRows(weight(branch.bias), neuron) }),
          ...(weights.has(normBias) && { [`${branch.name}.normBias`]: mul(row, weight(normBias)) }),
        };
      });
      return Object.assign({}, ...parts);
    },
    { neuron: Int32Array.of(index) },
    { inputs },
  );
  return branches.map(({ name }): NeuronSum => {
    const of = (part: string) => outputs.get(`${name}.${part}`)?.data;
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

/**
 * What wrote the inputs of a neuron's sums, and what its value does: outputs of a tape by branch, whose row 0 is the
 * whole sum and whose row 1 + i the i-th of its largest products.
 */
export async function traceNeuron(
  model: Model,
  { layer, index }: LayerComponent,
  traced: readonly { readonly branch: BranchNames; readonly sum: NeuronSum; readonly nTerms: number }[],
  components: Components,
  run: Run,
  nTokens: number,
): Promise<Output> {
  const { dModel } = model.config;
  const post = `blocks.${layer}.mlp.post`;
  const outputs = await model.evaluate(
    (scope) => {
      const { weight } = scope;
      const column = selectColumns(weight(`blocks.${layer}.mlp.wDown`), input("neuron", "int", [1])); // [1, dModel]
      const parts = traced.map(({ branch, nTerms }) => {
        const directions = input(`${branch.name}.directions`, "float", [1 + nTerms, dModel]);
        return components.build(scope, beforeNorm(directions, ln2Weights(model, scope, layer)), branch.name);
      });
      return Object.assign(
        { activated: activate(input("pre", "float", [1]), { fn: activationOf(model, layer) }) },
        buildWritten(scope, mul(column, input("value", "float", [])), nTokens),
        ...parts,
      );
    },
    { neuron: Int32Array.of(index) },
    {
      ...components.inputs(run),
      pre: [run.get(traced[0].branch.point).at(0, index)],
      value: [run.get(post).at(0, index)],
      ...Object.fromEntries(
        traced.map(({ branch, sum, nTerms }) => [`${branch.name}.directions`, directionsOf(sum, nTerms, dModel)]),
      ),
    },
  );
  return (name) => outputs.get(name) as Tensor;
}

function ln2Weights({ bindings }: Model, { weight }: WeightScope, layer: number): { gain: Value; bias?: Value } {
  const bias = `blocks.${layer}.ln2.bias`;
  const gain = weight(`blocks.${layer}.ln2.gain`);
  return bindings.weights.has(bias) ? { gain, bias: weight(bias) } : { gain };
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
