/** The neuron view against plain loops in float64 over weights and points. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GolgiError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import { neuron } from "../src/views/neuron.ts";
import { open } from "./support/open.ts";
import {
  centred,
  dot,
  length,
  range,
  readout,
  readWeights,
  repeatingTokens,
  VIEW_CASES,
  type Weights,
} from "./support/view-cases.ts";

interface Ranked {
  readonly index: number;
  readonly value: number;
}

/** The list has what is largest of `all`, each with its own value; equal ones may stand in any order. */
function expectLargest(found: readonly Ranked[], all: readonly number[], n: number): void {
  const largest = all.toSorted((a, b) => b - a).slice(0, n);
  expect(found).toHaveLength(largest.length);
  for (const [rank, { index, value }] of found.entries()) {
    expect(value).toBeCloseTo(all[index], 4);
    expect(value).toBeCloseTo(largest[rank], 4);
  }
  expect(new Set(found.map(({ index }) => index)).size).toBe(found.length);
}

describe.each(VIEW_CASES)("on %s", (name, directory) => {
  let model: Model;
  let weights: Weights;
  let tokens: number[];
  let isGated: boolean;
  beforeAll(async () => {
    model = await open(directory);
    weights = await readWeights(directory, model);
    tokens = await repeatingTokens(name, model);
    isGated = model.bindings.weights.has("blocks.0.mlp.wGate");
  });
  afterAll(() => model.close());

  const rowOf = (weight: string, index: number): readonly number[] => {
    const { dModel } = model.config;
    return weights(weight).slice(index * dModel, (index + 1) * dModel);
  };
  const columnOf = (weight: string, index: number): number[] => {
    const { dModel, dFf } = model.config;
    return range(dModel).map((d) => weights(weight)[d * dFf + index]);
  };
  const inputOf = (layer: number, index: number) => rowOf(`blocks.${layer}.mlp.${isGated ? "wGate" : "wUp"}`, index);
  const outputOf = (layer: number, index: number) => columnOf(`blocks.${layer}.mlp.wDown`, index);

  it.each([
    [0, 3],
    [1, 20],
  ])("the weights of L%i.N%i are its rows and its column", async (layer, index) => {
    const found = await neuron(model, `L${layer}.N${index}`, { k: 4 });
    const names = [...(isGated ? ["wGate"] : []), "wUp"].map((weight) => `blocks.${layer}.mlp.${weight}`);
    expect(found.inputs.map(({ weight }) => weight)).toEqual(names);
    for (const { weight, norm, bias, dimensions } of [...found.inputs, found.output]) {
      const isOutput = weight.endsWith("wDown");
      const values = isOutput ? columnOf(weight, index) : rowOf(weight, index);
      expect(norm).toBeCloseTo(length(values), 5);
      const biasName = weight.replace(".w", ".b");
      const hasBias = !isOutput && model.bindings.weights.has(biasName);
      expect(bias).toBe(hasBias ? Math.fround(weights(biasName)[index]) : null);
      const bySize = values.map(Math.abs);
      expectLargest(
        dimensions.map(({ index, value }) => ({ index, value: Math.abs(value) })),
        bySize,
        4,
      );
      for (const { index, value } of dimensions) expect(value).toBe(Math.fround(values[index]));
    }
  });

  it("promotes and suppresses the tokens that its output raises and lowers most", async () => {
    const logits = readout(outputOf(1, 7), model, weights);
    const { promotes, suppresses } = await neuron(model, "L1.N7", { k: 6 });
    expectLargest(
      promotes.map(({ token, value }) => ({ index: token, value })),
      logits,
      6,
    );
    const lowered = logits.map((logit) => -logit);
    expectLargest(
      suppresses.map(({ token, value }) => ({ index: token, value: -value })),
      lowered,
      6,
    );
  });

  it("is excited by the tokens whose embeddings point along its input, through the norm's gain", async () => {
    const { dModel, vocabSize } = model.config;
    const gain = weights("blocks.1.ln2.gain");
    const scaled = inputOf(1, 7).map((x, d) => x * gain[d]);
    const direction = model.bindings.weights.has("blocks.1.ln2.bias") ? centred(scaled) : scaled;
    const products = range(vocabSize).map((token) =>
      dot(direction, weights("embed").slice(token * dModel, (token + 1) * dModel)),
    );
    const { excitedBy } = await neuron(model, "L1.N7", { k: 6 });
    expectLargest(
      excitedBy.map(({ token, value }) => ({ index: token, value })),
      products,
      6,
    );
  });

  it("the nearest neurons of all layers are those with the largest cosines, itself left out", async () => {
    const { nLayers, dFf } = model.config;
    const found = await neuron(model, "L1.N7", { nearest: 6 });
    for (const [list, vectorOf] of [
      [found.nearestByInput, inputOf],
      [found.nearestByOutput, outputOf],
    ] as const) {
      const own = vectorOf(1, 7);
      const cosines = range(nLayers * dFf).map((i) => {
        const other = vectorOf(Math.floor(i / dFf), i % dFf);
        return i === dFf + 7 ? Number.NEGATIVE_INFINITY : dot(own, other) / (length(own) * length(other));
      });
      expectLargest(
        list.map(({ layer, neuron, cosine }) => ({ index: layer * dFf + neuron, value: cosine })),
        cosines,
        6,
      );
      for (const { address, layer, neuron } of list) expect(address).toBe(`L${layer}.N${neuron}`);
    }
    expect((await neuron(model, "L1.N7", { nearest: 0 })).nearestByInput).toEqual([]);
  });

  it("its values on texts are those that a read gives, and the strongest come first", async () => {
    const second = tokens.toReversed();
    const found = await neuron(model, "L1.N20", { on: [tokens, second], k: 5 });
    const run = await model.run([tokens, second], { read: ["blocks.1.mlp.**"] });
    expect(found.activations).toHaveLength(2 * tokens.length);
    for (const { sequence, position, token, pre, preLinear, value } of found.activations) {
      const at = (point: string) => run.get(`blocks.1.mlp.${point}`, { sequence }).at(position, 20);
      expect(token).toBe([tokens, second][sequence][position]);
      expect([pre, value]).toEqual([at("pre"), at("post")]);
      expect(preLinear).toBe(isGated ? at("preLinear") : undefined);
    }
    const values = found.activations.map(({ value }) => value);
    expect(found.strongest.map(({ value }) => value)).toEqual(values.toSorted((a, b) => b - a).slice(0, 5));
    const [one] = (await neuron(model, "L1.N20", { on: tokens })).activations;
    expect(one).toEqual(found.activations[0]);
  });

  it("an edit of the neuron shows", async () => {
    const { activations } = await neuron(model, "L1.N20", { on: tokens, edits: ["L1.N20@2 = 3"] });
    expect(activations[2].value).toBe(3);
    expect(activations[1].value).not.toBe(3);
  });

  it("what names no neuron, and what cannot be applied, is refused", async () => {
    const { dFf, nLayers } = model.config;
    for (const address of ["L1.H0", "L1", `L1.N${dFf}`, `L${nLayers}.N0`, "L*.N3", "L1.N3@2", "no point"]) {
      await expect(neuron(model, address)).rejects.toThrow(GolgiError);
    }
    const refused = [{ k: 0 }, { nearest: -1 }, { on: [] }, { edits: ["L1.N20 = 0"] }, { text: "" }];
    for (const options of refused) await expect(neuron(model, "L1.N3", options)).rejects.toThrow(GolgiError);
  });
});
