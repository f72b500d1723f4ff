import { sparseSizes } from "../config/model-config.ts";
import { norm } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import { Tensor } from "../tensor/tensor.ts";
import { extremes, largestInSize } from "./extremes.ts";
import { type ChosenExpert, routerChoices } from "./router-choices.ts";
import type { View } from "./view.ts";

/** An expert of a layer; the shared one where undefined. */
export interface ExpertPlace {
  readonly layer: number;
  readonly expert: number | undefined;
}

/** An expert at a token that went to it. */
export interface ExpertUse {
  readonly position: number;
  /** What its output was multiplied with: the router's weight, or the shared expert's gate where it has one. */
  readonly weight: number;
  /** Of what it added to the layer's output. */
  readonly length: number;
}

/** The value of one of its neurons at a token. */
export interface ExpertNeuron {
  readonly neuron: number;
  readonly position: number;
  readonly value: number;
}

export interface ExpertUses {
  readonly uses: readonly ExpertUse[];
  /** At each of these tokens the `k` neurons with the largest values. */
  readonly neurons: readonly ExpertNeuron[];
  /** Of every token. */
  readonly choices: readonly (readonly ChosenExpert[])[];
}

/** What an expert did at each token of a text that went to it. */
export function expertUses(model: Model, { layer, expert }: ExpertPlace, k: number): View<ExpertUses> {
  const choices = routerChoices([layer], "all");
  const own = expert === undefined ? sharedUses(model, layer, k) : routedUses(model, layer, expert, k);
  return {
    // Which expert it is shows in the results only.
    key: `expert uses ${layer} ${expert === undefined ? "shared" : "routed"} ${k}`,
    points: [...choices.points, ...own.points],
    build: (scope) => ({ ...choices.build(scope), ...own.build(scope) }),
    present(run) {
      const [chosen] = choices.present(run);
      return { ...own.present((name) => run.derived(name), chosen), choices: chosen };
    },
  };
}

interface Own extends Pick<View<unknown>, "points" | "build"> {
  present(output: (name: string) => Tensor, choices: readonly ChosenExpert[][]): Omit<ExpertUses, "choices">;
}

function routedUses({ config }: Model, layer: number, expert: number, k: number): Own {
  const { dExpert, nExpertsPerToken: nSlots } = sparseSizes(config);
  const [out, post] = [`blocks.${layer}.experts.out`, `blocks.${layer}.experts.post`];
  return {
    points: [out, post],
    build: ({ at }) => ({
      "expert.length": norm(at(out)), // [T, A]
      ...extremes("expert.neurons", at(post), Math.min(k, dExpert)), // [T, A, k]
    }),
    present(output, choices) {
      const places = choices.flatMap((chosen, position) => {
        const slot = chosen.findIndex((one) => one.expert === expert);
        return slot < 0 ? [] : [{ position, slot, weight: chosen[slot].weight }];
      });
      return {
        uses: places.map(({ position, slot, weight }) => {
          return { position, weight, length: Math.abs(weight) * output("expert.length").at(position, slot) };
        }),
        neurons: places.flatMap(({ position, slot }) => neuronsAt(position, position * nSlots + slot, output)),
      };
    },
  };
}

function sharedUses({ config, tape }: Model, layer: number, k: number): Own {
  const { dShared } = sparseSizes(config);
  const [added, post, gate] = ["contribution", "post", "gate"].map((part) => `blocks.${layer}.shared.${part}`);
  const isGated = tape.points.has(gate);
  return {
    points: [added, post, ...(isGated ? [gate] : [])],
    build: ({ at }) => ({
      "expert.length": norm(at(added)), // [T]
      ...(isGated && { "expert.gate": at(gate) }), // [T, 1]
      ...extremes("expert.neurons", at(post), Math.min(k, dShared)), // [T, k]
    }),
    present: (output, choices) => ({
      uses: choices.map((_, position) => {
        const weight = isGated ? output("expert.gate").at(position, 0) : 1;
        return { position, weight, length: output("expert.length").at(position) };
      }),
      neurons: choices.flatMap((_, position) => neuronsAt(position, position, output)),
    }),
  };
}

/** The largest neurons in one of the rows that `extremes` put out. */
function neuronsAt(position: number, row: number, output: (name: string) => Tensor): ExpertNeuron[] {
  const rows = (name: string): Tensor => {
    const { shape, data } = output(name);
    const k = shape.at(-1) as number;
    return new Tensor([data.length / k, k], data);
  };
  return largestInSize("expert.neurons", rows, row).map(({ index, value }) => ({ neuron: index, position, value }));
}
