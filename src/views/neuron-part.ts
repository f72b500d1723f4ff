import { sparseSizes } from "../config/model-config.ts";
import { RequestError } from "../errors.ts";
import { beforeNorm } from "../nn/norm.ts";
import { selectColumns, selectRows } from "../ops/index.ts";
import type { Address } from "../points/address.ts";
import type { Model, WeightScope } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { chosenExperts, expertRows, rowsOf } from "./expert-writers.ts";
import type { LayerComponent } from "./options.ts";

/** A neuron: of a layer's MLP, of its shared expert, or of one of its experts. */
export interface NeuronPart extends LayerComponent {
  readonly group: "mlp" | "shared" | "experts";
  /** Which one, of experts. */
  readonly expert?: number;
}

const GROUPS: ReadonlyMap<string, NeuronPart["group"]> = new Map([
  ["blocks.{i}.mlp.post", "mlp"],
  ["blocks.{i}.shared.post", "shared"],
  ["blocks.{i}.experts.post", "experts"],
]);

/** The neuron that an address names, or undefined for anything else. */
export function neuronOf({ text, entry, index, expert }: Address): NeuronPart | undefined {
  const group = GROUPS.get(entry.row.name);
  if (group === undefined || index.length !== 1 || (group === "experts") !== (expert !== undefined)) return undefined;
  return { address: text, layer: entry.layer ?? 0, index: index[0], group, expert };
}

/** How a neuron is written: `L5.N12`, `L5.shared.N12`, `L5.E17.N12`. */
export function neuronAddress({ layer, group, expert, index }: Omit<NeuronPart, "address">): string {
  const owner = { mlp: "", shared: "shared.", experts: `E${expert}.` }[group];
  return `L${layer}.${owner}N${index}`;
}

/** The name of a point or weight of the neuron's MLP. */
export function ofPart({ layer, group }: NeuronPart, name: string): string {
  return `blocks.${layer}.${group}.${name}`;
}

/** Which row of the input weights, and which rows of the output weight, are the neuron's; inputs of a tape about it. */
export function neuronInputs(
  { config }: Pick<Model, "config">,
  { index, expert }: NeuronPart,
): Record<string, Int32Array> {
  const { dModel } = config;
  if (expert === undefined) return { neuron: Int32Array.of(index) };
  return {
    neuron: Int32Array.of(index),
    expert: Int32Array.of(expert),
    neuronRow: Int32Array.of(expert * sparseSizes(config).dExpert + index),
    expertRows: rowsOf(expert, dModel),
  };
}

/** The neuron's row of an input weight. [1, dModel] */
export function neuronRow(model: Model, scope: WeightScope, part: NeuronPart, name: string): Value {
  const weight = ofPart(part, name);
  if (part.expert === undefined) return selectRows(scope.weight(weight), input("neuron", "int", [1]));
  return expertRows(model, weight, input("neuronRow", "int", [1]));
}

/** The neuron's column of the output weight: what it writes for each unit of its value. [1, dModel] */
export function neuronColumn(model: Model, scope: WeightScope, part: NeuronPart): Value {
  const [weight, neuron] = [ofPart(part, "wDown"), input("neuron", "int", [1])];
  if (part.expert === undefined) return selectColumns(scope.weight(weight), neuron);
  return selectColumns(expertRows(model, weight, input("expertRows", "int", [model.config.dModel])), neuron);
}

/** The neuron's entry of a bias. One element. */
export function neuronBias(scope: WeightScope, part: NeuronPart, name: string): Value {
  const [bias, neuron] = [scope.weight(ofPart(part, name)), input("neuron", "int", [1])];
  if (part.expert === undefined) return selectRows(bias, neuron);
  return selectColumns(selectRows(bias, input("expert", "int", [1])), neuron);
}

/** What must be read at a position to know where the neuron's values are, and what they are multiplied with afterwards. */
export function factorPoints({ tape }: Pick<Model, "tape">, { layer, group }: NeuronPart): string[] {
  if (group === "experts") return [`blocks.${layer}.router.indices`, `blocks.${layer}.router.weights`];
  const gate = `blocks.${layer}.shared.gate`;
  return group === "shared" && tape.points.has(gate) ? [gate] : [];
}

/** How the values of one neuron are found in a run that read one position. */
export interface NeuronReader {
  /** Of a point of its MLP, such as `post`. */
  value(point: string): number;
  /** What the neuron's value is multiplied with on its way out: the expert's weight, the shared expert's gate, 1 otherwise. */
  readonly factor: number;
}

/** @throws RequestError where the neuron's expert was not chosen, and so has no values. */
export function neuronReader(model: Model, part: NeuronPart, run: Run, position: number): NeuronReader {
  const [first] = factorPoints(model, part);
  const { layer, index, expert, address } = part;
  if (expert === undefined) {
    const value = (point: string): number => run.get(ofPart(part, point)).at(0, index);
    return { value, factor: first === undefined ? 1 : run.get(first).at(0, 0) };
  }
  const chosen = chosenExperts(run, first);
  const slot = chosen.indexOf(expert);
  if (slot < 0) {
    throw new RequestError("request.option", {
      path: address,
      expected: `the token at position ${position} must have gone to expert ${expert}, which has no values otherwise`,
      got: `experts ${chosen.join(", ")}`,
      remedy: `router.indices of layer ${layer} says which tokens it was chosen for.`,
    });
  }
  return {
    value: (point) => run.get(ofPart(part, point)).at(0, slot, index),
    factor: run.get(`blocks.${layer}.router.weights`).at(0, slot),
  };
}

/** What the MLP or the experts of a layer read: the stream through a norm, or as it is where a family norms only afterwards. */
export interface MlpInput {
  readonly point: string;
  /** Of the norm's divisor. */
  readonly scale: string | undefined;
  /** Directions [n, dModel] of it as directions in the stream, times the divisor. */
  back(scope: WeightScope, directions: Value): Value;
}

export function mlpInput({ bindings }: Pick<Model, "bindings">, layer: number): MlpInput {
  const [norm, gain, bias] = ["ln2", "ln2.gain", "ln2.bias"].map((name) => `blocks.${layer}.${name}`);
  if (!bindings.weights.has(gain)) {
    return { point: `blocks.${layer}.residMid`, scale: undefined, back: (_, directions) => directions };
  }
  return {
    point: `${norm}.out`,
    scale: `${norm}.scale`,
    back: ({ weight }, directions) =>
      beforeNorm(directions, { gain: weight(gain), bias: bindings.weights.has(bias) ? weight(bias) : undefined }),
  };
}
