import { RequestError } from "../errors.ts";
import { add, matmul } from "../ops/index.ts";
import { type Positions, resolvePositions } from "../points/read-spec.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { input } from "../tape/builder.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { range } from "./components.ts";
import { type TokenSpec, tokenId } from "./direction.ts";
import { buildLens, type LensOutputs, type LensReading, lensView, presentLens } from "./lens-view.ts";
import { checkInteger, chosen, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { table } from "./text/table.ts";
import { asManyAsFit, clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showToken, showTokens } from "./tokens.ts";

/**
 * Translators of a tuned lens (Belrose et al. 2023, arXiv:2303.08112), named as its authors' package saves them:
 * `<layer>.weight` [dModel, dModel] and `<layer>.bias` [dModel], for every layer. Translator i reads the stream before
 * block i, x + weight · x + bias; the stream after the last block needs none.
 */
export type TunedLens = Readonly<Record<string, Tensor>>;

export interface LensOptions extends ViewOptions {
  /** Positions to look at; all unless asked otherwise. */
  readonly positions?: Positions;
  /** Likeliest tokens to list; 5 unless asked otherwise. */
  readonly k?: number;
  /** Layers after which to look; all, and the embedding, unless asked otherwise. */
  readonly layers?: readonly number[];
  /** Look between attention and MLP too. */
  readonly mid?: boolean;
  /** A token whose logit and rank to tell everywhere. For its rank whole rows of logits leave the backend. */
  readonly target?: TokenSpec;
  /** Translators to read the stream through: their tensors, or a safetensors file of them. */
  readonly tuned?: TunedLens | string;
}

export interface LensPrediction extends ShownToken {
  readonly logit: number;
  readonly probability: number;
}

export interface LensPosition {
  readonly position: number;
  /** The likeliest first. */
  readonly predictions: readonly LensPrediction[];
  /** Of the whole distribution, in nats. */
  readonly entropy: number;
  /** Of the token asked for; rank 1 is the likeliest. */
  readonly target?: { readonly logit: number; readonly probability: number; readonly rank: number };
}

/** The residual stream at one height. */
export interface LensStream {
  /** `embed`, `L3 mid` between attention and MLP, `L3` after the layer. */
  readonly label: string;
  readonly point: string;
  readonly positions: readonly LensPosition[];
}

/** The likeliest token at one height and position. */
export interface LensRow {
  readonly height: number;
  readonly label: string;
  readonly position: number;
  readonly text: string;
  readonly prediction: string;
  readonly probability: number;
  readonly entropy: number;
  readonly targetLogit?: number;
  readonly targetRank?: number;
}

export interface Lens {
  readonly tokens: readonly ShownToken[];
  readonly isTuned: boolean;
  readonly target?: ShownToken;
  /** From the embedding up. */
  readonly streams: readonly LensStream[];
  /** For plots. */
  readonly rows: readonly LensRow[];
}

/**
 * What the model would predict if it ended after each layer: the logit lens (nostalgebraist 2020), or a tuned one. The
 * stream after the last layer gives the model's own logits, before edits of the final norm and of the logits themselves.
 */
export async function lens(model: Model, text: Prompt, options: LensOptions = {}): Promise<Report<Lens>> {
  const { positions = "all", k = 5, layers, mid = false, target: asked, tuned: given, ...runOptions } = options;
  checkOptions("lens", options, [...LENS_OPTIONS, ...VIEW_OPTIONS]);
  checkInteger("lens: k", k, 1);
  const { nLayers, vocabSize } = model.config;
  const heights = heightsOf(chosen("lens: layers", layers, nLayers), layers === undefined, mid);
  const tuned = typeof given === "string" ? await model.readTensors(given) : given;
  if (tuned !== undefined) checkTuned(model, tuned, mid);
  const target = asked === undefined ? undefined : showToken(model, tokenId("lens: target", model, asked));
  const ids = model.encode(text);
  const tokens = showTokens(model, ids);
  const [first, end] = resolvePositions(positions, 0, ids.length, "lens: positions");
  const request: Request = {
    ...{ tokens: ids, positions, options: runOptions, points: heights.map(({ point }) => point) },
    outputs: { k: Math.min(k, vocabSize), wholeRows: target !== undefined },
  };
  const readings = await (tuned === undefined ? plainReadings(model, request) : tunedReadings(model, request, tuned));
  const streams = heights.map(({ label, point }, height): LensStream => {
    const at = readings[height].map((reading, i) => presentPosition(model, first + i, reading, target));
    return { label, point, positions: at };
  });
  const rows = streams.flatMap((stream, height) => stream.positions.map((at) => rowOf(height, stream, at, tokens)));
  const data: Lens = { tokens, isTuned: tuned !== undefined, ...(target && { target }), streams, rows };
  return report(data, (width) => print(data, end - first === 1, width));
}

const LENS_OPTIONS = ["positions", "k", "layers", "mid", "target", "tuned"] satisfies (keyof LensOptions)[];

interface Height {
  readonly label: string;
  readonly point: string;
}

function heightsOf(layers: readonly number[], hasEmbedding: boolean, mid: boolean): Height[] {
  return [
    ...(hasEmbedding ? [{ label: "embed", point: "blocks.0.residPre" }] : []),
    ...layers.flatMap((layer): Height[] => [
      ...(mid ? [{ label: `L${layer} mid`, point: `blocks.${layer}.residMid` }] : []),
      { label: `L${layer}`, point: `blocks.${layer}.residPost` },
    ]),
  ];
}

interface Request {
  readonly tokens: readonly number[];
  readonly positions: Positions;
  readonly points: readonly string[];
  readonly outputs: LensOutputs;
  readonly options: ViewOptions;
}

async function plainReadings(model: Model, request: Request): Promise<LensReading[][]> {
  const { tokens, points, positions, outputs, options } = request;
  const view = lensView(points, positions, outputs);
  return view.present(await model.runDerived(tokens, view, { ...options, logits: "none" }));
}

/** Layer by layer, so that one translator at a time is handed to the backend. */
async function tunedReadings(model: Model, request: Request, tuned: TunedLens): Promise<LensReading[][]> {
  const { tokens, points, positions, outputs, options } = request;
  const read = points.map((at) => ({ at, positions }));
  const run = await model.run(tokens, { ...options, read, logits: "none" });
  const all: LensReading[][] = [];
  for (const point of points) {
    const { shape, data } = run.get(point);
    const [weight, bias] = ["weight", "bias"].map((part) => tuned[`${translatorOf(point)}.${part}`]);
    const results = await model.evaluate(
      ({ unembed }) => {
        const resid = input("resid", "float", shape);
        if (weight === undefined) return buildLens(point, () => unembed(resid), outputs);
        const translator = input("weight", "float", weight.shape);
        const offset = matmul(resid, translator, bias && input("bias", "float", bias.shape));
        return buildLens(point, () => unembed(add(resid, offset)), outputs);
      },
      {},
      { resid: data, ...(weight && { weight: weight.data }), ...(bias && { bias: bias.data }) },
    );
    all.push(presentLens(point, (name) => results.get(name) as Tensor, outputs));
  }
  return all;
}

/** The layer whose translator reads a stream: the one that comes next. */
function translatorOf(point: string): number {
  const [, layer, name] = point.split(".");
  return name === "residPre" ? Number(layer) : Number(layer) + 1;
}

function checkTuned({ config }: Model, tuned: TunedLens, mid: boolean): void {
  const fail = (path: string, expected: string, got?: string): never => {
    throw new RequestError("request.option", { path: `lens: ${path}`, expected, got });
  };
  if (mid) fail("mid", "a tuned lens has no translators between attention and MLP");
  const { nLayers, dModel } = config;
  const names = range(nLayers).flatMap((layer) => [`${layer}.weight`, `${layer}.bias`]);
  const unknown = Object.keys(tuned).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    fail(`tuned: ${unknown}`, `the tensors are named 0.weight, 0.bias to ${names.slice(-2).join(", ")}`);
  }
  for (const name of names) {
    const shape = name.endsWith(".weight") ? [dModel, dModel] : [dModel];
    const got = tuned[name]?.shape;
    // A lens may be trained without biases.
    if (got === undefined && name.endsWith(".bias")) continue;
    if (!sameShape(got ?? [], shape))
      fail(`tuned: ${name}`, `must be ${formatShape(shape)}`, got ? formatShape(got) : "none");
  }
}

function presentPosition(
  model: Model,
  position: number,
  { predictions, entropy, logSumExp, logits }: LensReading,
  target: ShownToken | undefined,
): LensPosition {
  const shown = predictions.map(({ token, ...numbers }) => ({ ...showToken(model, token), ...numbers }));
  if (target === undefined || logits === undefined) return { position, predictions: shown, entropy };
  const logit = logits.at(target.token);
  let rank = 1;
  for (const other of logits.data) if (other > logit) rank++;
  return { position, predictions: shown, entropy, target: { logit, probability: Math.exp(logit - logSumExp), rank } };
}

function rowOf(height: number, { label }: LensStream, at: LensPosition, tokens: readonly ShownToken[]): LensRow {
  const { position, predictions, entropy, target } = at;
  const [{ text: prediction, probability }] = predictions;
  return {
    ...{ height, label, position, text: tokens[position].text, prediction, probability, entropy },
    ...(target && { targetLogit: target.logit, targetRank: target.rank }),
  };
}

/** At one position all that is known; over several, the likeliest token of each height and position. */
function print(data: Lens, isOnePosition: boolean, width: number): string {
  return isOnePosition ? printPosition(data, width) : printGrid(data, width);
}

function printPosition({ tokens, target, streams }: Lens, width: number): string {
  const [{ position }] = streams[0].positions;
  const rows = streams.map(({ label, positions: [at] }) => {
    const predictions = at.predictions.map(({ text, probability }) => `${quoteToken(text)} ${probability.toFixed(3)}`);
    const numbers = at.target === undefined ? [] : [at.target.logit, at.target.rank];
    return [label, at.entropy, ...numbers, asManyAsFit(predictions, width)];
  });
  const head = ["", "entropy", ...(target === undefined ? [] : [quoteToken(target.text), "rank"]), "predictions"];
  return `position ${position} ${quoteToken(tokens[position].text)}\n\n${table({ head, rows, width })}`;
}

/** Columns of a token in the grid. */
const CELL_WIDTH = 10;
const LABEL_WIDTH = 8;

function printGrid({ tokens, streams }: Lens, width: number): string {
  const nColumns = Math.max(1, Math.floor((width - LABEL_WIDTH) / (CELL_WIDTH + 2)));
  const positions = streams[0].positions.map(({ position }) => position);
  const blocks: string[] = [];
  for (let first = 0; first < positions.length; first += nColumns) {
    const shown = positions.slice(first, first + nColumns);
    const cell = (text: string): string => clip(quoteToken(text), CELL_WIDTH);
    const rows = streams.map(({ label, positions: at }) => [
      label,
      ...shown.map((_, i) => cell(at[first + i].predictions[0].text)),
    ]);
    const head = ["", ...shown.map((position) => clip(`${position} ${quoteToken(tokens[position].text)}`, CELL_WIDTH))];
    blocks.push(table({ head, rows, width }));
  }
  return blocks.join("\n\n");
}
