import type { Model } from "../run/model.ts";
import { Components, streamBeforeMlp } from "./components.ts";
import type { ExplainRequest } from "./explain-request.ts";
import { bySize } from "./extremes.ts";
import { activationName, activationOf, factorOf } from "./neuron-activation.ts";
import { factorPoints, mlpInput, type NeuronPart, neuronReader, ofPart } from "./neuron-part.ts";
import { branchesOf, neuronSums, type Product, traceNeuron } from "./neuron-sums.ts";
import { routeOf } from "./route.ts";
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
  /** Of a neuron that is one of an expert's. */
  readonly expert?: number;
  readonly position: number;
  readonly token: ShownToken;
  readonly value: number;
  /** What the value is multiplied with on its way out: the weight of its expert, the gate of the shared expert, else 1. */
  readonly factor: number;
  /** The activation function's name. */
  readonly activation: string;
  /** The activation function's result, which is the neuron's value unless it is gated. */
  readonly activated: number;
  /** What that is multiplied with in a gated MLP: the value of the branch "up", clamped and 1 more in gpt-oss. */
  readonly multiplied?: number;
  /** One; two in a gated MLP. */
  readonly branches: readonly NeuronBranch[];
  /** The norm's divisor at the MLP's input; 1 where there is no norm. */
  readonly divisor: number;
  readonly written: Written;
  /** Terms and writers, for plots. */
  readonly rows: readonly NeuronRow[];
}

/** The sums of inputs and weights behind a neuron's value, and what wrote the inputs. */
export async function explainNeuron(
  model: Model,
  subject: NeuronPart,
  { tokens, position, counts, run: options }: ExplainRequest,
): Promise<NeuronExplanation> {
  const { address, layer, index: neuron } = subject;
  const branches = branchesOf(model, subject);
  const activation = activationOf(model, subject);
  const mlp = mlpInput(model, layer);
  const stream = streamBeforeMlp(layer);
  const components = new Components("explain", model, { stream, detail: "neuron", nNeurons: counts.nNeurons });
  const ofNeuron = ["post", ...branches.map(({ point }) => point)].map((name) => ofPart(subject, name));
  const around = [stream.point, mlp.point, "lnFinal.scale", ...(mlp.scale === undefined ? [] : [mlp.scale])];
  const points = [...around, ...ofNeuron, ...factorPoints(model, subject), ...routeOf(model, layer, "mlp").points];
  const read = Array.from(new Set(points), (at) => ({ at, positions: position }));
  const run = await model.run(tokens, { ...options, read: [...components.reads(position), ...read], logits: "none" });
  const reader = neuronReader(model, subject, run, position);
  const sums = await neuronSums(model, subject, branches, run);
  const { dModel, vocabSize } = model.config;
  const nTerms = Math.min(counts.nTerms, dModel);
  const traced = branches.map((branch, i) => ({ branch, sum: sums[i], nTerms }));
  const nTokens = Math.min(counts.nTokens, vocabSize);
  const output = await traceNeuron(model, subject, traced, components, run, reader, nTokens);
  const divisor = mlp.scale === undefined ? 1 : run.get(mlp.scale).at(0, 0);
  const explained = traced.map(({ branch: { name, point }, sum }): NeuronBranch => {
    const value = reader.value(point);
    const writersOf = (row: number): Component[] => components.present(output, name, row, divisor, run).sort(bySize);
    const rest = sum.products.slice(nTerms);
    const writers = [...writersOf(0), ...normBiasOf(layer, sum.products)].sort(bySize);
    return {
      ...{ name, point: ofPart(subject, point), value, bias: sum.bias },
      terms: sum.products.slice(0, nTerms).map((product, i) => ({
        ...product,
        resid: run.get(stream.point).at(0, product.dimension),
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
    ...(subject.expert !== undefined && { expert: subject.expert }),
    value: reader.value("post"),
    factor: reader.factor,
    activation: activationName(activation),
    activated: output("activated").at(0),
    ...(branches.length > 1 && { multiplied: factorOf(activation, reader.value("preLinear")) }),
    branches: explained,
    divisor,
    written: presentWritten(model, output, run.get("lnFinal.scale").at(0, 0)),
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
  const { address, position, token, value, factor, activation, activated, multiplied, branches, written } = data;
  const other = multiplied === undefined ? "" : ` · ${short(multiplied)}`;
  const formula = `${activation}(${short(branches[0].value)})${other}`;
  const product = multiplied === undefined ? "" : ` = ${short(activated)}${other}`;
  const heading = `${address} at position ${position} ${quoteToken(token.text)}: ${short(value)} = ${formula}${product}`;
  return [
    clip(heading, width),
    ...(factor === 1
      ? []
      : [
          clip(
            `times ${short(factor)} on its way out of the ${data.expert === undefined ? "shared expert" : `expert`}`,
            width,
          ),
        ]),
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
