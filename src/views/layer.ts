import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { isSparse } from "./components.ts";
import { type AttentionEdge, strongestEdges } from "./edges.ts";
import { lengths } from "./lengths.ts";
import { lensView } from "./lens-view.ts";
import { firingNeurons, type LayerNeuronName, neuronName, promotedTokens } from "./neurons.ts";
import { checkInteger, chosenPosition, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { type ChosenExpert, expertItem, routerChoices } from "./router-choices.ts";
import { itemLines } from "./text/item-lines.ts";
import { bar } from "./text/picture.ts";
import { table } from "./text/table.ts";
import { asManyAsFit, clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showToken, showTokens } from "./tokens.ts";
import { together } from "./view.ts";

export interface LayerOptions extends ViewOptions {
  /** Position to look at; the last unless asked otherwise. */
  readonly position?: number;
  /** Predictions, neurons and edges to list; 6 unless asked otherwise. */
  readonly k?: number;
}

/** What the residual stream would predict. */
export interface LayerPrediction extends ShownToken {
  readonly probability: number;
}

/** A neuron at the position looked at, and the tokens that it pushes towards. */
export interface LayerNeuron extends LayerNeuronName {
  readonly value: number;
  readonly promotes: readonly ShownToken[];
}

/** The layer at one token: lengths of what its parts add to the residual stream, and of the stream after it. */
export interface LayerRow {
  readonly position: number;
  readonly text: string;
  readonly attention: number;
  readonly mlp: number;
  readonly residual: number;
  /** The likeliest next token by the stream after the layer. */
  readonly predicts: string;
  readonly probability: number;
}

export interface Layer {
  readonly layer: number;
  readonly tokens: readonly ShownToken[];
  readonly position: number;
  /** At the position looked at, by the stream before the layer and after it. */
  readonly before: readonly LayerPrediction[];
  readonly after: readonly LayerPrediction[];
  /** Of a sparse layer the experts that the token at the position looked at went to, in the order of the router. */
  readonly experts?: readonly ChosenExpert[];
  /** Those with the largest values at the position looked at. */
  readonly neurons: readonly LayerNeuron[];
  /** Strongest attention in the whole text, but to the token itself and to the first. */
  readonly edges: readonly AttentionEdge[];
  /** One for each token. */
  readonly rows: readonly LayerRow[];
}

/** One layer on a text: what it adds at each token, and at one position its predictions, neurons and heads. */
export async function layer(
  model: Model,
  index: number,
  text: Prompt,
  options: LayerOptions = {},
): Promise<Report<Layer>> {
  const { position: asked = -1, k = 6, ...runOptions } = options;
  const { nLayers, vocabSize } = model.config;
  checkOptions("layer", runOptions, VIEW_OPTIONS);
  checkInteger("layer: layer", index, 0, nLayers);
  checkInteger("layer: k", k, 1);
  const ids = model.encode(text);
  const position = chosenPosition("layer: position", asked, ids.length);
  const point = (name: string): string => `blocks.${index}.${name}`;
  const views = {
    lens: lensView([point("residPre"), point("residPost")], "all", { k: Math.min(k, vocabSize) }),
    lengths: lengths([point("attn.contribution"), point("mlp.contribution"), point("residPost")], "all"),
    neurons: firingNeurons(model, [index], position, k),
    experts: routerChoices(isSparse(model, index) ? [index] : [], position),
    edges: strongestEdges([index], k),
  };
  const run = await model.runDerived(ids, together(Object.values(views)), { ...runOptions, logits: "none" });
  const [before, after] = views.lens
    .present(run)
    .map((positions) =>
      positions.map(({ predictions }) =>
        predictions.map(({ token, probability }) => ({ ...showToken(model, token), probability })),
      ),
    );
  const [attention, mlp, residual] = views.lengths.present(run);
  const [[neurons]] = views.neurons.present(run);
  const [experts] = views.experts.present(run);
  const promoted = await promotedTokens(model, neurons, Math.min(3, vocabSize));
  const tokens = showTokens(model, ids);
  const data: Layer = {
    layer: index,
    tokens,
    position,
    before: before[position],
    after: after[position],
    ...(experts !== undefined && { experts: experts[0] }),
    neurons: neurons.map(({ layer: _layer, ...neuron }, i) => ({
      ...neuron,
      promotes: showTokens(model, promoted[i]),
    })),
    edges: views.edges.present(run)[0],
    rows: tokens.map(({ text }, t) => {
      const [{ text: predicts, probability }] = after[t];
      return { position: t, text, attention: attention[t], mlp: mlp[t], residual: residual[t], predicts, probability };
    }),
  };
  return report(data, (width) => print(data, width));
}

const LABEL = 11;
const BAR_WIDTH = 10;

function print(data: Layer, width: number): string {
  const { layer, tokens, position, before, after, experts, neurons, edges, rows } = data;
  const predictions = (list: readonly LayerPrediction[]): string[] =>
    list.map(({ text, probability }) => `${quoteToken(text)} ${percent(probability)}`);
  const item = (label: string, items: readonly string[]): string =>
    `${label.padEnd(LABEL)}${items.length === 0 ? "none" : asManyAsFit(items, width - LABEL)}`;
  const longest = Math.max(...rows.flatMap(({ attention, mlp }) => [attention, mlp]));
  return [
    clip(`Layer ${layer} at token ${position}, ${quoteToken(tokens[position].text)}`, width),
    item("before", predictions(before)),
    item("after", predictions(after)),
    ...(experts === undefined ? [] : itemLines(experts.map(expertItem), width - LABEL)).map(
      (line, i) => `${(i === 0 ? "experts" : "").padEnd(LABEL)}${line}`,
    ),
    ...neurons.map((neuron, i) => {
      const towards = neuron.promotes.map(({ text }) => quoteToken(text)).join(" ");
      return item(i === 0 ? "neurons" : "", [`${neuronName(neuron)} ${neuron.value.toFixed(2)} → ${towards}`]);
    }),
    item(
      "heads",
      edges.map(({ head, from, to, weight }) => {
        return `H${head} ${quoteToken(tokens[from].text)} → ${quoteToken(tokens[to].text)} ${percent(weight)}`;
      }),
    ),
    "",
    table({
      head: ["at", "token", "attention", "", "MLP", "", "residual", "predicts", ""],
      rows: rows.map(({ position, text, attention, mlp, residual, predicts, probability }) => [
        ...[position, quoteToken(text), attention, bar(attention / longest, BAR_WIDTH)],
        ...[mlp, bar(mlp / longest, BAR_WIDTH), residual, quoteToken(predicts), percent(probability)],
      ]),
      align: [undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, "right"],
      width,
    }),
  ].join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)}%`;
}
