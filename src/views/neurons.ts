import { selectColumns, selectRows } from "../ops/index.ts";
import type { Positions } from "../points/read-spec.ts";
import type { Model } from "../run/model.ts";
import { input } from "../tape/builder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { extremes, largestInSize } from "./extremes.ts";
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
      const rows = rowsAt(positions);
      return Object.assign(
        {},
        ...layers.map((layer) => extremes(`neurons.${layer}`, selectRows(at(name(layer)), rows), n)), // [positions, dFf]
      );
    },
    present: (run) =>
      layers.map((layer) => {
        const prefix = `neurons.${layer}`;
        const nPositions = run.derived(`${prefix}.high`).shape[0];
        return Array.from({ length: nPositions }, (_, row) =>
          largestInSize(prefix, (output) => run.derived(output), row).map(
            ({ index, value }): FiringNeuron => ({ layer, neuron: index, value }),
          ),
        );
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
      return Object.assign(
        {},
        ...layers.map((layer) => {
          const indices = input(`neurons.${layer}`, "int", [indicesOf(layer).length]);
          const logits = readout(selectColumns(weight(`blocks.${layer}.mlp.wDown`), indices)); // [n, vocabSize]
          return extremes(`${layer}`, logits, k);
        }),
      );
    },
    Object.fromEntries(layers.map((layer) => [`neurons.${layer}`, indicesOf(layer)])),
  );
  const next = new Map(layers.map((layer) => [layer, 0]));
  return neurons.map(({ layer, value }) => {
    const row = next.get(layer) ?? 0;
    next.set(layer, row + 1);
    const tokens = results.get(`${layer}.${value < 0 ? "low" : "high"}Index`) as Tensor;
    return Array.from(tokens.row(row).data);
  });
}
