import type { ActivationFunction } from "../ops/activate/activate.ts";
import type { Model } from "../run/model.ts";
import { Components, streamBeforeMlp } from "./components.ts";
import type { ExplainRequest } from "./explain-request.ts";
import { bySize } from "./extremes.ts";
import { activationOf, branchesOf, neuronSums, type Product, traceNeuron } from "./neuron-sums.ts";
import type { LayerComponent } from "./options.ts";
import { bar } from "./text/picture.ts";
import { type Cell, table } from "./text/table.ts";
import { asManyAsFit, clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showToken } from "./tokens.ts";
import type { Component } from "./writers.ts";
import { presentWritten, printWritten, type Written } from "./written.ts";

/** One input of a neuron, times its weight. */
export interface NeuronTerm extends Product {
  /** The residual stream there, of which the norm makes `input`. */
  readonly resid: number;
  /** What wrote the stream there, as parts of `value` through the norm with its divisor held fixed; the largest. */
  readonly writers: readonly Component[];
}

/** One sum of a neuron: what its activation function is applied to, or what that is multiplied with. */
export interface NeuronBranch {
  readonly name: "gate" | "up";
  readonly point: string;
  /** Σ input · weight + bias */
  readonly value: number;
  readonly bias: number;
  /** The largest first. */
  readonly terms: readonly NeuronTerm[];
  /** Of the inputs that are not listed. */
  readonly rest: { readonly nTerms: number; readonly value: number };
  /** Rounding, and edits. */
  readonly remainder: number;
  /** The same sum by what wrote the residual stream, the largest first; the neuron's bias is beside it. */
  readonly writers: readonly Component[];
  readonly writersRemainder: number;
}

export interface NeuronRow {
  readonly branch: string;
  readonly part: "term" | "writer";
  readonly label: string;
  readonly value: number;
}

export interface NeuronExplanation {
  readonly kind: "neuron";
  readonly address: string;
  readonly layer: number;
  readonly neuron: number;
  readonly position: number;
  readonly token: ShownToken;
  readonly value: number;
  readonly activation: ActivationFunction;
  /** The activation function's result, which is the neuron's value unless it is gated. */
  readonly activated: number;
  /** One; two in a gated MLP, whose value is activated · up. */
  readonly branches: readonly NeuronBranch[];
  /** The norm's divisor at the MLP's input. */
  readonly divisor: number;
  readonly written: Written;
  /** Terms and writers, for plots. */
  readonly rows: readonly NeuronRow[];
}

/** The sums of inputs and weights behind a neuron's value, and what wrote the inputs. */
export async function explainNeuron(
  model: Model,
  subject: LayerComponent,
  { tokens, position, counts, run: options }: ExplainRequest,
): Promise<NeuronExplanation> {
  const { address, layer, index: neuron } = subject;
  const block = `blocks.${layer}`;
  const branches = branchesOf(model, layer);
  const activation = activationOf(model, layer);
  const stream = streamBeforeMlp(layer);
  const components = new Components("explain", model, { stream, detail: "neuron", nNeurons: counts.nNeurons });
  const points = [stream.point, `${block}.ln2.out`, `${block}.ln2.scale`, `${block}.mlp.post`, "lnFinal.scale"];
  const read = [...points, ...branches.map(({ point }) => point)].map((at) => ({ at, positions: position }));
  const run = await model.run(tokens, { ...options, read: [...components.reads(position), ...read], logits: "none" });
  const at = (point: string, i: number): number => run.get(point).at(0, i);
  const sums = await neuronSums(model, subject, branches, run);
  const { dModel, vocabSize } = model.config;
  const nTerms = Math.min(counts.nTerms, dModel);
  const traced = branches.map((branch, i) => ({ branch, sum: sums[i], nTerms }));
  const nTokens = Math.min(counts.nTokens, vocabSize);
  const output = await traceNeuron(model, subject, traced, components, run, nTokens);
  const divisor = at(`${block}.ln2.scale`, 0);
  const explained = traced.map(({ branch: { name, point }, sum }): NeuronBranch => {
    const value = at(point, neuron);
    const writersOf = (row: number): Component[] => components.present(output, name, row, divisor).sort(bySize);
    const rest = sum.products.slice(nTerms);
    const writers = [...writersOf(0), ...normBiasOf(layer, sum.products)].sort(bySize);
    return {
      ...{ name, point, value, bias: sum.bias },
      terms: sum.products.slice(0, nTerms).map((product, i) => ({
        ...product,
        resid: at(stream.point, product.dimension),
        writers: writersOf(1 + i).slice(0, counts.nWriters),
      })),
      rest: { nTerms: rest.length, value: sumOf(rest) },
      remainder: value - sum.bias - sumOf(sum.products),
      writers,
      writersRemainder: value - sum.bias - sumOf(writers),
    };
  });
  return {
    ...{ kind: "neuron", address, layer, neuron, position, token: showToken(model, tokens[position]) },
    value: at(`${block}.mlp.post`, neuron),
    activation,
    activated: output("activated").at(0),
    branches: explained,
    divisor,
    written: presentWritten(model, output, at("lnFinal.scale", 0)),
    rows: explained.flatMap(rowsOf),
  };
}

/** The norm's bias gives every sum the same, whatever is in the stream. */
function normBiasOf(layer: number, products: readonly Product[]): Component[] {
  const value = products.reduce((total, { normBias }) => total + normBias, 0);
  return value === 0 ? [] : [{ label: `L${layer} norm bias`, kind: "normBias", layer, value }];
}

function sumOf(parts: readonly { readonly value: number }[]): number {
  return parts.reduce((total, { value }) => total + value, 0);
}

function rowsOf({ name, terms, writers }: NeuronBranch): NeuronRow[] {
  return [
    ...terms.map(({ dimension, value }): NeuronRow => ({ branch: name, part: "term", label: `${dimension}`, value })),
    ...writers.map(({ label, value }): NeuronRow => ({ branch: name, part: "writer", label, value })),
  ];
}

export function printNeuron(data: NeuronExplanation, width: number): string {
  const { address, position, token, value, activation, activated, branches, written } = data;
  const [first, up] = branches;
  const formula = `${activation}(${short(first.value)})${up === undefined ? "" : ` · ${short(up.value)}`}`;
  const product = up === undefined ? "" : ` = ${short(activated)} · ${short(up.value)}`;
  const heading = `${address} at position ${position} ${quoteToken(token.text)}: ${short(value)} = ${formula}${product}`;
  return [
    clip(heading, width),
    ...branches.map((branch) => printBranch(branch, width)),
    printWritten(written, width),
  ].join("\n\n");
}

const BAR_WIDTH = 16;

function printBranch({ name, point, value, bias, terms, rest, remainder, ...by }: NeuronBranch, width: number): string {
  const term = ({ dimension, resid, input, weight, value: product, writers }: NeuronTerm): Cell[] => {
    const wrote = writers.map((writer) => `${writer.label} ${writer.value.toPrecision(2)}`);
    return [`${dimension}`, resid, input, weight, product, asManyAsFit(wrote, WRITERS_WIDTH)];
  };
  const sums: (readonly [label: string, value: number])[] = [
    [`${rest.nTerms} other`, rest.value],
    ...(bias === 0 ? [] : [["bias", bias] as const]),
    ["remainder", remainder],
  ];
  const shown = by.writers.slice(0, terms.length);
  const hidden = by.writers.slice(terms.length);
  const largest = Math.abs(shown[0].value);
  const writer = (label: string, part: number) => [label, part, bar(Math.abs(part) / largest, BAR_WIDTH)];
  const writers = [
    ...shown.map(({ label, value: part }) => writer(label, part)),
    ...(hidden.length === 0 ? [] : [writer(`${hidden.length} smaller ones`, sumOf(hidden))]),
    ...(bias === 0 ? [] : [writer("bias", bias)]),
    writer("remainder", by.writersRemainder),
  ];
  const rows = [...terms.map(term), ...sums.map(([label, sum]) => [label, null, null, null, sum, ""])];
  const head = ["input", "stream", "normed", "weight", "product", "written by"];
  return [
    clip(`${name} = ${short(value)} (${point}) by input`, width),
    table({ head, rows, align: ["right"], width }),
    `\n${name} by what wrote its inputs`,
    table({ rows: writers, width }),
  ].join("\n");
}

/** Columns for the writers of one term. */
const WRITERS_WIDTH = 34;

function short(value: number): string {
  return value.toPrecision(5);
}
