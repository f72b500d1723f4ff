/** What a neuron's weights alone say: which directions excite it, what it writes, and which neurons are like it. */

import { sparseSizes } from "../config/model-config.ts";
import { matmul, mul, norm, topK } from "../ops/index.ts";
import type { Model, WeightScope } from "../run/model.ts";
import { input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { alongColumns, alongRows } from "./cosines.ts";
import { expertRows, rowsOf } from "./expert-writers.ts";
import { type Entry, extremes, largestInSize } from "./extremes.ts";
import {
  mlpInput,
  type NeuronPart,
  neuronAddress,
  neuronBias,
  neuronColumn,
  neuronInputs,
  neuronRow,
  ofPart,
} from "./neuron-part.ts";
import { postNorm } from "./route.ts";
import { type ShownToken, showToken } from "./tokens.ts";

/** Weights between the residual stream and a neuron. */
export interface NeuronWeights {
  /** The weight that they are a row or a column of, such as `blocks.2.mlp.wUp`. */
  readonly weight: string;
  readonly norm: number;
  /** Null where the weight has none. */
  readonly bias: number | null;
  /** Dimensions with the largest weights, of either sign. */
  readonly dimensions: readonly Entry[];
}

export interface TokenWeight extends ShownToken {
  readonly value: number;
}

export interface SimilarNeuron {
  readonly address: string;
  readonly layer: number;
  readonly neuron: number;
  readonly cosine: number;
}

export interface NeuronInWeights {
  /** One row, or the gate's and then the other branch's: fn(gate) · up. */
  readonly inputs: readonly NeuronWeights[];
  readonly output: NeuronWeights;
  /** Tokens whose logits a positive value raises and lowers most, times the divisors of the norms on the way. */
  readonly promotes: readonly TokenWeight[];
  readonly suppresses: readonly TokenWeight[];
  /**
   * A heuristic: tokens whose own embeddings point most along the first of `inputs`, through the gain of the norm before
   * the MLP, as if nothing else were in the residual stream and whatever its length.
   */
  readonly excitedBy: readonly TokenWeight[];
  /** Of all layers, for an expert's neuron of the expert, by cosine of the first of `inputs`, and of `output`. */
  readonly nearestByInput: readonly SimilarNeuron[];
  readonly nearestByOutput: readonly SimilarNeuron[];
}

/** `k`: how many dimensions and tokens to list; `nNearest`: how many similar neurons, for which all layers are searched. */
export async function neuronInWeights(
  model: Model,
  part: NeuronPart,
  k: number,
  nNearest: number,
): Promise<NeuronInWeights> {
  const { dModel, vocabSize } = model.config;
  const branches = inputBranches(model, part);
  const searched = nNearest === 0 ? [] : searchedParts(model, part);
  const [nDimensions, nTokens] = [Math.min(k, dModel), Math.min(k, vocabSize)];
  const results = await model.evaluate(
    (scope) => {
      const rows = branches.map(({ w }) => neuronRow(model, scope, part, w)); // [1, dModel]
      const written = neuronColumn(model, scope, part); // [1, dModel]
      const biases = branches.map(({ bias }) => bias && neuronBias(scope, part, bias));
      const seen = mlpInput(model, part.layer).back(scope, rows[0]);
      return Object.assign(
        { ...summary("output", written, nDimensions) },
        extremes("logits", scope.readout(throughGain(model, scope, part, written)), nTokens),
        ...rows.map((row, i) => summary(`input ${i}`, row, nDimensions)),
        ...biases.map((bias, i) => bias && { [`input ${i}.bias`]: bias }),
        top("embeddings", matmul(seen, scope.weight("embed")), nTokens),
        ...searched.flatMap((other) => {
          const { inputs, outputs, nNeurons } = weightsOf(model, scope, other, branches[0].w);
          return [
            // The neuron itself is the nearest of all.
            top(`input of ${other.layer}`, alongRows(rows[0], inputs, nNeurons), nNearest + 1, nNeurons),
            top(`output of ${other.layer}`, alongColumns(written, outputs, nNeurons), nNearest + 1, nNeurons),
          ];
        }),
      );
    },
    { ...neuronInputs(model, part), ...searchInputs(model, part) },
  );
  const result = (name: string): Tensor => results.get(name) as Tensor;
  const inputs = branches.map(({ w }, i) => presentWeights(ofPart(part, w), `input ${i}`, results));
  const output = presentWeights(ofPart(part, "wDown"), "output", results);
  const tokens = (name: string, sign = 1): TokenWeight[] =>
    entries(name, result).map(({ index: token, value }) => ({ ...showToken(model, token), value: sign * value }));
  const nearest = (side: "input" | "output", length: number): SimilarNeuron[] =>
    searched
      .flatMap((other) => entries(`${side} of ${other.layer}`, result).map((entry) => ({ other, ...entry })))
      // A neuron of zeros points nowhere.
      .filter((near) => !Number.isNaN(near.value) && !(near.other.layer === part.layer && near.index === part.index))
      .sort((a, b) => b.value - a.value)
      .slice(0, nNearest)
      .map(({ other, index, value }) => ({
        address: neuronAddress({ ...other, index }),
        layer: other.layer,
        neuron: index,
        cosine: value / length,
      }));
  return {
    inputs,
    output,
    promotes: tokens("logits.high"),
    suppresses: tokens("logits.low", -1),
    excitedBy: tokens("embeddings"),
    nearestByInput: nearest("input", inputs[0].norm),
    nearestByOutput: nearest("output", output.norm),
  };
}

/** What a neuron reads the residual stream by: one row of a plain MLP; the gate's first of a gated one. */
function inputBranches(model: Model, part: NeuronPart): { w: string; bias: string | undefined }[] {
  const has = (name: string): boolean => model.bindings.weights.has(ofPart(part, name));
  const names = ["Gate", "Up"].filter((name) => has(`w${name}`));
  return names.map((name) => ({ w: `w${name}`, bias: has(`b${name}`) ? `b${name}` : undefined }));
}

/** A vector through the gain of the norm between the MLP and the stream, where a family has one. */
function throughGain({ bindings }: Model, { weight }: WeightScope, { layer }: NeuronPart, vector: Value): Value {
  const gain = `${postNorm(layer, "mlp")}.gain`;
  return bindings.weights.has(gain) ? mul(vector, weight(gain)) : vector;
}

/** The neurons among which similar ones are looked for: of the MLPs of all layers, or of the one expert. */
function searchedParts(model: Model, part: NeuronPart): NeuronPart[] {
  if (part.expert !== undefined) return [part];
  const layers = Array.from({ length: model.config.nLayers }, (_, layer) => ({ ...part, layer }));
  return layers.filter((other) => model.bindings.weights.has(ofPart(other, "wDown")));
}

/** Input rows [n, dModel] and output columns [dModel, n] of the neurons of an MLP or an expert. */
function weightsOf(model: Model, scope: WeightScope, part: NeuronPart, w: string) {
  const { dFf, dModel } = model.config;
  if (part.expert === undefined) {
    const nNeurons = part.group === "shared" ? sparseSizes(model.config).dShared : dFf;
    return { inputs: scope.weight(ofPart(part, w)), outputs: scope.weight(ofPart(part, "wDown")), nNeurons };
  }
  const nNeurons = sparseSizes(model.config).dExpert;
  return {
    inputs: expertRows(model, ofPart(part, w), input("expertNeurons", "int", [nNeurons])),
    outputs: expertRows(model, ofPart(part, "wDown"), input("expertRows", "int", [dModel])),
    nNeurons,
  };
}

/** The inputs that `weightsOf` declares beyond those of the neuron itself. */
function searchInputs({ config }: Model, { expert }: NeuronPart): Record<string, Int32Array> {
  return expert === undefined ? {} : { expertNeurons: rowsOf(expert, sparseSizes(config).dExpert) };
}

function summary(name: string, row: Value, k: number): Record<string, Value> {
  return { [`${name}.norm`]: norm(row), ...extremes(name, row, k) };
}

function top(name: string, row: Value, k: number, size = k): Record<string, Value> {
  const [values, indices] = topK(row, { k: Math.min(k, size) });
  return { [name]: values, [`${name}Index`]: indices };
}

function entries(name: string, result: (name: string) => Tensor): Entry[] {
  const values = result(name).data;
  return Array.from(result(`${name}Index`).data, (index, i) => ({ index, value: values[i] }));
}

function presentWeights(weight: string, name: string, results: ReadonlyMap<string, Tensor>): NeuronWeights {
  const result = (what: string): Tensor => results.get(what) as Tensor;
  return {
    weight,
    norm: result(`${name}.norm`).at(0),
    bias: results.get(`${name}.bias`)?.data[0] ?? null,
    dimensions: largestInSize(name, result, 0),
  };
}
