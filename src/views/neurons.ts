import { mul, selectColumns, selectRows, topK } from "../ops/index.ts";
import type { Positions } from "../points/read-spec.ts";
import type { Model } from "../run/model.ts";
import { constant, input } from "../tape/builder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { View } from "./view.ts";

/** A neuron and its value (`mlp.post`) at one position. */
export interface FiringNeuron {
  readonly layer: number;
  readonly neuron: number;
  readonly value: number;
}

/** The `n` neurons of each of the layers with the largest values, of either sign: [layer][position][rank]. */
export function firingNeurons(layers: readonly number[], positions: Positions, n: number): View<FiringNeuron[][][]> {
  const name = (layer: number): string => `blocks.${layer}.mlp.post`;
  return {
    key: `neurons ${JSON.stringify([layers, positions, n])}`,
    points: layers.map(name),
    build({ at, rowsAt }) {
      const minus = constant("−1", Float64Array.of(-1), []);
      const rows = rowsAt(positions);
      return Object.assign(
        {},
        ...layers.map((layer) => {
          const post = selectRows(at(name(layer)), rows); // [positions, dFf]
          const [high, highIndex] = topK(post, { k: n });
          const [low, lowIndex] = topK(mul(post, minus), { k: n });
          const prefix = `neurons.${layer}`;
          return {
            [`${prefix}.high`]: high,
            [`${prefix}.highIndex`]: highIndex,
            [`${prefix}.low`]: low,
            [`${prefix}.lowIndex`]: lowIndex,
          };
        }),
      );
    },
    present: (run) =>
      layers.map((layer) => {
        const [high, low] = ["high", "low"].map((end) => ({
          indices: run.derived(`neurons.${layer}.${end}Index`),
          values: run.derived(`neurons.${layer}.${end}`),
        }));
        return Array.from({ length: high.values.shape[0] }, (_, row) => {
          const side = ({ indices, values }: typeof high, sign: number): FiringNeuron[] =>
            Array.from({ length: n }, (_, rank) => {
              return { layer, neuron: indices.at(row, rank), value: sign * values.at(row, rank) };
            });
          // The smallest values come second, so where there are few neurons the same one may stand at both ends.
          const byNeuron = new Map([...side(low, -1), ...side(high, 1)].map((found) => [found.neuron, found]));
          return [...byNeuron.values()].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, n);
        });
      }),
  };
}

/** The `k` tokens whose logits each neuron raises most through its output weights, given the sign of its value. */
export async function promotedTokens(model: Model, neurons: readonly FiringNeuron[], k: number): Promise<number[][]> {
  const layers = [...new Set(neurons.map(({ layer }) => layer))];
  const indicesOf = (layer: number): Int32Array =>
    Int32Array.from(neurons.filter((n) => n.layer === layer).map((n) => n.neuron));
  const results = await model.evaluate(
    ({ weight, readout }) => {
      const minus = constant("−1", Float64Array.of(-1), []);
      return Object.assign(
        {},
        ...layers.map((layer) => {
          const indices = input(`neurons.${layer}`, "int", [indicesOf(layer).length]);
          const logits = readout(selectColumns(weight(`blocks.${layer}.mlp.wDown`), indices)); // [n, vocabSize]
          return { [`${layer} up`]: topK(logits, { k })[1], [`${layer} down`]: topK(mul(logits, minus), { k })[1] };
        }),
      );
    },
    Object.fromEntries(layers.map((layer) => [`neurons.${layer}`, indicesOf(layer)])),
  );
  const next = new Map(layers.map((layer) => [layer, 0]));
  return neurons.map(({ layer, value }) => {
    const row = next.get(layer) ?? 0;
    next.set(layer, row + 1);
    const tokens = results.get(`${layer} ${value < 0 ? "down" : "up"}`) as Tensor;
    return Array.from(tokens.row(row).data);
  });
}
