/** What a neuron's weights alone say: which directions excite it, what it writes, and which neurons are like it. */

import { beforeNorm } from "../nn/norm.ts";
import { matmul, norm, selectColumns, selectRows, topK } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import { input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { alongColumns, alongRows } from "./cosines.ts";
import { type Entry, extremes, largestInSize } from "./extremes.ts";
import type { LayerComponent } from "./options.ts";
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
  /** Tokens whose logits a positive value raises and lowers most, times the final norm's divisor. */
  readonly promotes: readonly TokenWeight[];
  readonly suppresses: readonly TokenWeight[];
  /**
   * A heuristic: tokens whose own embeddings point most along the first of `inputs`, through the gain of the norm before
   * the MLP, as if nothing else were in the residual stream and whatever its length.
   */
  readonly excitedBy: readonly TokenWeight[];
  /** Of all layers, by cosine of the first of `inputs`, and of `output`. */
  readonly nearestByInput: readonly SimilarNeuron[];
  readonly nearestByOutput: readonly SimilarNeuron[];
}

/** `k`: how many dimensions and tokens to list; `nNearest`: how many similar neurons, for which all layers are searched. */
export async function neuronInWeights(
  model: Model,
  { layer, index }: LayerComponent,
  k: number,
  nNearest: number,
): Promise<NeuronInWeights> {
  const { nLayers, dFf, dModel, vocabSize } = model.config;
  const has = (name: string): boolean => model.bindings.weights.has(name);
  const branches = inputBranches(has, layer);
  const layers = nNearest === 0 ? [] : Array.from({ length: nLayers }, (_, i) => i);
  const [nDimensions, nTokens] = [Math.min(k, dModel), Math.min(k, vocabSize)];
  const results = await model.evaluate(
    ({ weight, readout }) => {
      const neuron = input("neuron", "int", [1]);
      const rows = branches.map(({ w }) => selectRows(weight(mlpWeight(layer, w)), neuron)); // [1, dModel]
      const written = selectColumns(weight(mlpWeight(layer, "wDown")), neuron); // [1, dModel]
      const biases = branches.map(({ bias }) => bias && selectRows(weight(mlpWeight(layer, bias)), neuron));
      const norms = has(`blocks.${layer}.ln2.gain`) ? ln2(layer, has, weight) : undefined;
      const seen = norms === undefined ? rows[0] : beforeNorm(rows[0], norms);
      return Object.assign(
        { ...summary("output", written, nDimensions), ...extremes("logits", readout(written), nTokens) },
        ...rows.map((row, i) => summary(`input ${i}`, row, nDimensions)),
        ...biases.map((bias, i) => bias && { [`input ${i}.bias`]: bias }),
        top("embeddings", matmul(seen, weight("embed")), nTokens),
        ...layers.flatMap((other) => [
          // The neuron itself is the nearest of all.
          top(`input of ${other}`, alongRows(rows[0], weight(mlpWeight(other, branches[0].w)), dFf), nNearest + 1, dFf),
          top(`output of ${other}`, alongColumns(written, weight(mlpWeight(other, "wDown")), dFf), nNearest + 1, dFf),
        ]),
      );
    },
    { neuron: Int32Array.of(index) },
  );
  const result = (name: string): Tensor => results.get(name) as Tensor;
  const inputs = branches.map(({ w }, i) => presentWeights(mlpWeight(layer, w), `input ${i}`, results));
  const output = presentWeights(mlpWeight(layer, "wDown"), "output", results);
  const tokens = (name: string, sign = 1): TokenWeight[] =>
    entries(name, result).map(({ index: token, value }) => ({ ...showToken(model, token), value: sign * value }));
  const nearest = (side: "input" | "output", length: number): SimilarNeuron[] =>
    layers
      .flatMap((other) => entries(`${side} of ${other}`, result).map((entry) => ({ layer: other, ...entry })))
      // A neuron of zeros points nowhere.
      .filter((near) => !Number.isNaN(near.value) && !(near.layer === layer && near.index === index))
      .sort((a, b) => b.value - a.value)
      .slice(0, nNearest)
      .map((near) => ({
        address: `L${near.layer}.N${near.index}`,
        layer: near.layer,
        neuron: near.index,
        cosine: near.value / length,
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

function mlpWeight(layer: number, name: string): string {
  return `blocks.${layer}.mlp.${name}`;
}

/** What a neuron reads the residual stream by: one row of a plain MLP; the gate's first of a gated one. */
function inputBranches(has: (name: string) => boolean, layer: number): { w: string; bias: string | undefined }[] {
  const names = ["Gate", "Up"].filter((name) => has(mlpWeight(layer, `w${name}`)));
  return names.map((name) => {
    return { w: `w${name}`, bias: has(mlpWeight(layer, `b${name}`)) ? `b${name}` : undefined };
  });
}

function ln2(layer: number, has: (name: string) => boolean, weight: (name: string) => Value) {
  const [gain, bias] = [`blocks.${layer}.ln2.gain`, `blocks.${layer}.ln2.bias`];
  return { gain: weight(gain), bias: has(bias) ? weight(bias) : undefined };
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
    bias: results.get(`${name}.bias`)?.at(0) ?? null,
    dimensions: largestInSize(name, result, 0),
  };
}
