import { RequestError } from "../errors.ts";
import { selectColumns } from "../ops/index.ts";
import { isChat, type Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { input } from "../tape/builder.ts";
import { type NeuronInWeights, type NeuronWeights, neuronInWeights, type TokenWeight } from "./neuron-weights.ts";
import {
  checkInteger,
  checkWithoutText,
  chosenComponent,
  type LayerComponent,
  VIEW_OPTIONS,
  type ViewOptions,
} from "./options.ts";
import { type Report, report } from "./report.ts";
import { table } from "./text/table.ts";
import { asManyAsFit, quoteToken } from "./text/width.ts";
import { type ShownToken, showTokens } from "./tokens.ts";
import type { View } from "./view.ts";

export interface NeuronOptions extends ViewOptions {
  /** A text, or several, to watch it on; texts run one after another. */
  readonly on?: Prompt | readonly string[] | readonly (readonly number[])[];
  /** Dimensions and tokens of each list; 8 unless asked otherwise. */
  readonly k?: number;
  /** Similar neurons of each list; 5 unless asked otherwise, and 0 saves the search through all layers. */
  readonly nearest?: number;
}

/** The neuron at one token of a text. */
export interface NeuronActivation extends ShownToken {
  /** Which of the texts. */
  readonly sequence: number;
  readonly position: number;
  /** What the activation function is applied to (`mlp.pre`). */
  readonly pre: number;
  /** Of a gated MLP the other factor (`mlp.preLinear`). */
  readonly preLinear?: number;
  /** The neuron's value (`mlp.post`). */
  readonly value: number;
}

export interface Neuron extends NeuronInWeights {
  readonly address: string;
  readonly layer: number;
  readonly neuron: number;
  /** Every token of every text, in order. */
  readonly activations: readonly NeuronActivation[];
  /** The k with the largest values, largest first. */
  readonly strongest: readonly NeuronActivation[];
  /** The activations, for plots. */
  readonly rows: readonly NeuronActivation[];
}

/** One neuron, `L5.N123`: what its weights say, and where it fires. */
export async function neuron(model: Model, address: string, options: NeuronOptions = {}): Promise<Report<Neuron>> {
  const { on, k = 8, nearest = 5, ...runOptions } = options;
  checkOptions("neuron", runOptions, VIEW_OPTIONS);
  checkInteger("neuron: k", k, 1);
  checkInteger("neuron: nearest", nearest, 0);
  const component = chosenComponent(model, "neuron", address, "blocks.{i}.mlp.post");
  if (on === undefined) checkWithoutText("neuron", runOptions);
  const inWeights = await neuronInWeights(model, component, k, nearest);
  const view = activationView(model, component);
  const activations: NeuronActivation[] = [];
  for (const [sequence, text] of texts(on).entries()) {
    const tokens = model.encode(text);
    const run = await model.runDerived(tokens, view, { ...runOptions, logits: "none" });
    const shown = showTokens(model, tokens);
    activations.push(
      ...view.present(run).map((found, position) => ({ ...shown[position], sequence, position, ...found })),
    );
  }
  const data: Neuron = {
    address: component.address,
    layer: component.layer,
    neuron: component.index,
    ...inWeights,
    activations,
    strongest: activations.toSorted((a, b) => b.value - a.value).slice(0, k),
    rows: activations,
  };
  return report(data, (width) => print(data, width));
}

function texts(on: NeuronOptions["on"]): readonly Prompt[] {
  if (on === undefined) return [];
  if (typeof on === "string" || isChat(on) || typeof on[0] === "number") return [on as Prompt];
  if (on.length > 0) return on as readonly Prompt[];
  throw new RequestError("request.option", { path: "neuron: on", expected: "there must be a text", got: "[]" });
}

type Activation = Pick<NeuronActivation, "pre" | "preLinear" | "value">;

/** The neuron's numbers at every token. */
function activationView(model: Model, { layer, index }: LayerComponent): View<Activation[]> {
  const point = (name: string): string => `blocks.${layer}.mlp.${name}`;
  const isGated = model.bindings.weights.has(point("wGate"));
  const names = isGated ? ["pre", "preLinear", "post"] : ["pre", "post"];
  return {
    key: `neuron ${layer}`,
    points: names.map(point),
    ints: { neuron: Int32Array.of(index) },
    build({ at }) {
      const neuron = input("neuron", "int", [1]);
      return Object.fromEntries(names.map((name) => [`neuron.${name}`, selectColumns(at(point(name)), neuron)])); // [1, T]
    },
    present(run) {
      const [pre, value] = [run.derived("neuron.pre").data, run.derived("neuron.post").data];
      const preLinear = isGated ? run.derived("neuron.preLinear").data : undefined;
      return Array.from(value, (_, t) => ({
        pre: pre[t],
        ...(preLinear && { preLinear: preLinear[t] }),
        value: value[t],
      }));
    },
  };
}

function print(data: Neuron, width: number): string {
  const { address, inputs, output, nearestByInput, nearestByOutput, strongest } = data;
  const tokens = (list: readonly TokenWeight[]): string[] => list.map(({ text }) => quoteToken(text));
  const near = (list: Neuron["nearestByInput"]): string[] =>
    list.map(({ address, cosine }) => `${address} ${cosine.toFixed(2)}`);
  const lists: [string, string[]][] = [
    ["promotes", tokens(data.promotes)],
    ["suppresses", tokens(data.suppresses)],
    ["excited by", tokens(data.excitedBy)],
    ["reads like", near(nearestByInput)],
    ["writes like", near(nearestByOutput)],
  ];
  const LABEL = 13;
  const lines = [
    `Neuron ${address}`,
    table({
      head: ["weight", "norm", "bias", "largest dimensions"],
      rows: [...inputs, output].map((weights) => [
        weights.weight.replace(/^.*\./, ""),
        weights.norm,
        weights.bias,
        dimensions(weights),
      ]),
      width,
    }),
    "",
    ...lists
      .filter(([, items]) => items.length > 0)
      .map(([label, items]) => `${label.padEnd(LABEL)}${asManyAsFit(items, width - LABEL)}`),
  ];
  if (strongest.length === 0) return lines.join("\n");
  const isGated = strongest[0].preLinear !== undefined;
  const fires = table({
    head: ["fires most on", "text", "at", "pre", ...(isGated ? ["preLinear"] : []), "value"],
    rows: strongest.map(({ text, sequence, position, pre, preLinear, value }) => {
      return [quoteToken(text), sequence, position, pre, ...(isGated ? [preLinear] : []), value];
    }),
    width,
  });
  return [...lines, "", fires].join("\n");
}

function dimensions({ dimensions: found }: NeuronWeights): string {
  return found.map(({ index, value }) => `${index}: ${value.toFixed(2)}`).join("  ");
}
