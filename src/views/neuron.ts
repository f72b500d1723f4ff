import { sparseSizes } from "../config/model-config.ts";
import { RequestError } from "../errors.ts";
import { mergeHeads, selectColumns } from "../ops/index.ts";
import { isChat, type Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { input } from "../tape/builder.ts";
import { type NeuronPart, neuronOf, ofPart } from "./neuron-part.ts";
import { type NeuronInWeights, type NeuronWeights, neuronInWeights, type TokenWeight } from "./neuron-weights.ts";
import { checkInteger, checkWithoutText, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
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
  /** What the activation function is applied to (`mlp.pre`, `experts.pre`). */
  readonly pre: number;
  /** Of a gated MLP the other factor (`mlp.preLinear`). */
  readonly preLinear?: number;
  /** The neuron's value (`mlp.post`). */
  readonly value: number;
  /** Of an expert's neuron what the expert's output was multiplied with. */
  readonly expertWeight?: number;
}

export interface Neuron extends NeuronInWeights {
  readonly address: string;
  readonly layer: number;
  readonly neuron: number;
  /** Of a neuron that is one of an expert's. */
  readonly expert?: number;
  /** Tokens of all texts; an expert's neuron has values at those that went to the expert, and at no others. */
  readonly nTokens: number;
  /** Every token of every text where it has a value, in order. */
  readonly activations: readonly NeuronActivation[];
  /** The k with the largest values, largest first. */
  readonly strongest: readonly NeuronActivation[];
  /** The activations, for plots. */
  readonly rows: readonly NeuronActivation[];
}

/** One neuron, `L5.N123`, `L5.shared.N123` or `L5.E17.N123`: what its weights say, and where it fires. */
export async function neuron(model: Model, address: string, options: NeuronOptions = {}): Promise<Report<Neuron>> {
  const { on, k = 8, nearest = 5, ...runOptions } = options;
  checkOptions("neuron", runOptions, VIEW_OPTIONS);
  checkInteger("neuron: k", k, 1);
  checkInteger("neuron: nearest", nearest, 0);
  const component = chosenNeuron(model, address);
  if (on === undefined) checkWithoutText("neuron", runOptions);
  const inWeights = await neuronInWeights(model, component, k, nearest);
  const view = activationView(model, component);
  const activations: NeuronActivation[] = [];
  let nTokens = 0;
  for (const [sequence, text] of texts(on).entries()) {
    const tokens = model.encode(text);
    const run = await model.runDerived(tokens, view, { ...runOptions, logits: "none" });
    const shown = showTokens(model, tokens);
    nTokens += tokens.length;
    activations.push(...view.present(run).map((found) => ({ ...shown[found.position], sequence, ...found })));
  }
  const data: Neuron = {
    address: component.address,
    layer: component.layer,
    neuron: component.index,
    ...(component.expert !== undefined && { expert: component.expert }),
    ...inWeights,
    nTokens,
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

/** @throws RequestError for anything but one neuron, at no positions. */
function chosenNeuron(model: Model, address: string): NeuronPart {
  const { addresses, positions } = model.address(address);
  const part = neuronOf(addresses[0]);
  if (part !== undefined && addresses.length === 1 && positions === undefined) return part;
  throw new RequestError("request.option", {
    path: "neuron: address",
    expected: "must name one neuron and no positions",
    got: address,
    remedy: "Write it like L0.N3, L0.E2.N3 or L0.shared.N3.",
  });
}

type Activation = Pick<NeuronActivation, "position" | "pre" | "preLinear" | "value" | "expertWeight">;

/** The neuron's numbers at every token that it has any at. */
function activationView(model: Model, part: NeuronPart): View<Activation[]> {
  const isGated = model.bindings.weights.has(ofPart(part, "wGate"));
  const names = isGated ? ["pre", "preLinear", "post"] : ["pre", "post"];
  const columns = new Map(names.map((name) => [name, ofPart(part, name)]));
  return part.expert === undefined ? everywhere(part, columns) : whereChosen(model, part, part.expert, columns);
}

/** The neuron's column of points [T, n]. */
function everywhere(part: NeuronPart, columns: ReadonlyMap<string, string>): View<Activation[]> {
  return {
    key: `neuron ${[...columns.values()]}`,
    points: [...columns.values()],
    ints: { neuron: Int32Array.of(part.index) },
    build({ at }) {
      const neuron = input("neuron", "int", [1]);
      return Object.fromEntries(
        [...columns].map(([name, point]) => [`neuron.${name}`, selectColumns(at(point), neuron)]), // [1, T]
      );
    },
    present(run) {
      const of = (name: string) => run.derived(`neuron.${name}`).data;
      return Array.from(of("post"), (_, t) => activationAt(columns, of, t, t));
    },
  };
}

/** The neuron's place in each slot [T, A, dExpert], and which slots are the expert's. */
function whereChosen(
  { config }: Model,
  part: NeuronPart,
  expert: number,
  columns: ReadonlyMap<string, string>,
): View<Activation[]> {
  const [indices, weights] = ["indices", "weights"].map((name) => `blocks.${part.layer}.router.${name}`);
  const { nExpertsPerToken, dExpert } = sparseSizes(config);
  const places = Int32Array.from({ length: nExpertsPerToken }, (_, slot) => slot * dExpert + part.index);
  return {
    key: `expert neuron ${[...columns.values()]}`,
    points: [...columns.values(), indices, weights],
    ints: { places },
    build({ at }) {
      const chosen = input("places", "int", [nExpertsPerToken]);
      return {
        ...Object.fromEntries(
          [...columns].map(([name, point]) => [`neuron.${name}`, selectColumns(mergeHeads(at(point)), chosen)]), // [A, T]
        ),
        "neuron.indices": at(indices),
        "neuron.weights": at(weights),
      };
    },
    present(run) {
      const of = (name: string) => run.derived(`neuron.${name}`).data;
      const chosen = run.derived("neuron.indices"); // [T, A]
      const nTokens = chosen.shape[0];
      return Array.from({ length: nTokens }, (_, t) => t).flatMap((t) => {
        const slot = chosen.row(t).data.indexOf(expert);
        if (slot < 0) return [];
        const expertWeight = of("weights")[t * nExpertsPerToken + slot];
        return [{ ...activationAt(columns, of, slot * nTokens + t, t), expertWeight }];
      });
    },
  };
}

function activationAt(
  columns: ReadonlyMap<string, string>,
  of: (name: string) => ArrayLike<number>,
  at: number,
  position: number,
): Activation {
  return {
    position,
    pre: of("pre")[at],
    ...(columns.has("preLinear") && { preLinear: of("preLinear")[at] }),
    value: of("post")[at],
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
  if (data.expert !== undefined && data.nTokens > 0) {
    const went = `${data.activations.length} of ${data.nTokens} tokens went to expert ${data.expert}`;
    lines.push("", `${went}; at others the neuron has no value`);
  }
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
