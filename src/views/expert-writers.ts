/** The experts of a sparse layer as writers to the residual stream: those that the position's token went to, and the shared one. */

import { sparseSizes } from "../config/model-config.ts";
import { matmul, matmulTransposed, mul, selectRows, sum } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { input, weight } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { bySize, extremes, largestInSize } from "./extremes.ts";
import { along, asRead, type Component, type Label, type Output, type Writer } from "./writers.ts";

/** Each chosen expert whole, its bias included, times its weight. */
export function expertsWriter({ config }: Model, layer: number): Writer {
  const { dModel } = config;
  const { nExpertsPerToken } = sparseSizes(config);
  const { out, weights, indices } = pointsOf(layer);
  return {
    points: [out, weights, indices],
    inputs: (run) => ({ floats: asRead(run, [out, weights]) }),
    build(_, directions) {
      const perSlot = matmul(directions, input(out, "float", [nExpertsPerToken, dModel])); // [n, A]
      return { [out]: mul(perSlot, input(weights, "float", [nExpertsPerToken])) };
    },
    present: (output, row, run) =>
      chosenExperts(run, indices).map((expert, slot) => ({
        ...{ label: `L${layer}.E${expert}`, kind: "expert", layer, expert },
        value: output(out).at(row, slot),
      })),
  };
}

/** The neurons of the chosen experts, times the experts' weights: the `nNamed` largest of the layer each, the others as one. */
export function expertNeuronsWriter(model: Model, layer: number, nNamed: number): Writer {
  const { dModel } = model.config;
  const { dExpert, nExpertsPerToken } = sparseSizes(model.config);
  const { post, weights, indices } = pointsOf(layer);
  const wDown = `blocks.${layer}.experts.wDown`;
  const k = Math.min(nNamed, dExpert);
  const slots = Array.from({ length: nExpertsPerToken }, (_, slot) => ({ slot, name: `${post} ${slot}` }));
  return {
    points: [post, weights, indices],
    inputs: (run) => ({
      floats: Object.fromEntries(slots.map(({ slot, name }) => [name, weighted(run, post, weights, slot)])),
      ints: Object.fromEntries(
        chosenExperts(run, indices).map((expert, slot) => [`${wDown} ${slot}`, rowsOf(expert, dModel)]),
      ),
    }),
    build(_, directions) {
      const outputs = slots.map(({ slot, name }) => {
        const rows = expertRows(model, wDown, input(`${wDown} ${slot}`, "int", [dModel])); // [dModel, dExpert]
        const perNeuron = mul(matmulTransposed(directions, rows), input(name, "float", [dExpert])); // [n, dExpert]
        return { [name]: sum(perNeuron), ...(k > 0 && extremes(name, perNeuron, k)) };
      });
      return Object.assign({}, ...outputs);
    },
    present(output, row, run) {
      const experts = chosenExperts(run, indices);
      const named = slots
        .flatMap(({ slot, name }) => (k > 0 ? neuronsOf(layer, experts[slot], name, output, row) : []))
        .sort(bySize)
        .slice(0, nNamed);
      const all = slots.reduce((total, { name }) => total + output(name).at(row), 0);
      const rest = named.reduce((left, { value }) => left - value, all);
      const others: Component = { label: `L${layer} other neurons`, kind: "otherNeurons", layer, value: rest };
      return [...named, ...(named.length < nExpertsPerToken * dExpert ? [others] : [])];
    },
  };
}

function neuronsOf(layer: number, expert: number, name: string, output: Output, row: number): Component[] {
  return largestInSize(name, output, row).map(({ index: neuron, value }) => {
    return { label: `L${layer}.E${expert}.N${neuron}`, kind: "neuron", layer, expert, neuron, value };
  });
}

/** The biases of the chosen experts, times their weights. */
export function expertBiasesWriter(model: Model, layer: number): Writer {
  const { nExpertsPerToken } = sparseSizes(model.config);
  const { weights, indices } = pointsOf(layer);
  const bDown = `blocks.${layer}.experts.bDown`;
  return {
    points: [weights, indices],
    inputs: (run) => ({
      floats: asRead(run, [weights]),
      ints: { [`${bDown} chosen`]: Int32Array.from(chosenExperts(run, indices)) },
    }),
    build({ weight: weightOf }, directions) {
      const biases = selectRows(weightOf(bDown), input(`${bDown} chosen`, "int", [nExpertsPerToken])); // [A, dModel]
      return { [bDown]: mul(matmul(directions, biases), input(weights, "float", [nExpertsPerToken])) };
    },
    present: (output, row, run) =>
      chosenExperts(run, indices).map((expert, slot) => ({
        ...{ label: `L${layer}.E${expert} bias`, kind: "expertBias", layer, expert },
        value: output(bDown).at(row, slot),
      })),
  };
}

/** The neurons of the shared expert, times its gate where it has one: the `nNamed` largest each, the others as one. */
export function sharedNeuronsWriter({ config, tape }: Model, layer: number, nNamed: number): Writer {
  const { dShared } = sparseSizes(config);
  const [post, gate, wDown] = ["post", "gate", "wDown"].map((part) => `blocks.${layer}.shared.${part}`);
  const k = Math.min(nNamed, dShared);
  const points = tape.points.has(gate) ? [post, gate] : [post];
  return {
    points,
    inputs: (run) => ({ floats: asRead(run, points) }),
    build(scope, directions) {
      const back = matmulTransposed(directions, scope.weight(wDown));
      const ungated = mul(back, input(post, "float", [dShared])); // [n, dShared]
      const perNeuron = points.includes(gate) ? mul(ungated, input(gate, "float", [])) : ungated;
      return { [post]: sum(perNeuron), ...(k > 0 && extremes(post, perNeuron, k)) };
    },
    present(output, row) {
      const named = k > 0 ? largestInSize(post, output, row) : [];
      const rest = named.reduce((left, { value }) => left - value, output(post).at(row));
      const label: Label = { label: `L${layer}.shared other neurons`, kind: "otherNeurons", layer };
      return [
        ...named.map(({ index: neuron, value }): Component => {
          return { label: `L${layer}.shared.N${neuron}`, kind: "neuron", layer, neuron, value };
        }),
        ...(k < dShared ? [{ ...label, value: rest }] : []),
      ];
    },
  };
}

/** The bias of the shared expert, times its gate where it has one. */
export function sharedBiasWriter({ tape }: Model, layer: number): Writer {
  const [gate, bDown] = ["gate", "bDown"].map((part) => `blocks.${layer}.shared.${part}`);
  const points = tape.points.has(gate) ? [gate] : [];
  return {
    points,
    inputs: (run) => ({ floats: asRead(run, points) }),
    build(scope, directions) {
      const ungated = along(directions, scope.weight(bDown));
      return { [bDown]: points.length > 0 ? mul(ungated, input(gate, "float", [])) : ungated };
    },
    present: (output, row) => [
      { label: `L${layer}.shared bias`, kind: "expertBias", layer, value: output(bDown).at(row) },
    ],
  };
}

/** Rows of a weight of all experts [nExperts, out, in], whose rows are counted through. [n] -> [n, in] */
export function expertRows({ bindings }: Pick<Model, "bindings">, name: string, rows: Value): Value {
  const [nExperts, nOut, nIn] = bindings.weights.get(name)?.shape ?? [];
  return selectRows(weight(name, [nExperts * nOut, nIn]), rows);
}

/** Where the rows of one expert lie. */
export function rowsOf(expert: number, nRows: number): Int32Array {
  return Int32Array.from({ length: nRows }, (_, row) => expert * nRows + row);
}

/** The experts that the one position that was read went to, slot by slot. */
export function chosenExperts(run: Run, indices: string): number[] {
  return Array.from(run.get(indices).row(0).data);
}

/** The values of the neurons in a slot, times the expert's weight. */
function weighted(run: Run, post: string, weights: string, slot: number): Float64Array {
  const factor = run.get(weights).at(0, slot);
  return Float64Array.from(run.get(post).row(0, slot).data, (value) => factor * value);
}

function pointsOf(layer: number) {
  const [out, post] = ["out", "post"].map((part) => `blocks.${layer}.experts.${part}`);
  const [weights, indices] = ["weights", "indices"].map((part) => `blocks.${layer}.router.${part}`);
  return { out, post, weights, indices };
}
