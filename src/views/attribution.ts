import type { GlassScope } from "../glass/plan.ts";
import { mul, selectRows, sum, topK } from "../ops/index.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkChoice, checkOptions } from "../run/options.ts";
import type { Run } from "../run/result.ts";
import { input, namedValue, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Components, DETAILS, type Detail, type Stream, streamAfter } from "./components.ts";
import {
  buildDirection,
  type Direction,
  directionInputs,
  directionLabel,
  resolveTarget,
  type Target,
} from "./direction.ts";
import { bySize } from "./extremes.ts";
import { checkInteger, chosenPosition, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { bar } from "./text/picture.ts";
import { table } from "./text/table.ts";
import { clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showTokens } from "./tokens.ts";
import type { View } from "./view.ts";
import { COMPONENT_KINDS, type Component, type ComponentKind } from "./writers.ts";

export interface AttributionOptions extends ViewOptions {
  /** What to take apart; the logit of the token that the stream predicts unless asked otherwise. */
  readonly of?: Target;
  /** Position to look at; the last unless asked otherwise. */
  readonly position?: number;
  /** Take apart the stream after this layer, with its own norm, as the logit lens does; the last unless asked otherwise. */
  readonly layer?: number;
  /** How finely parts are told apart; "head" unless asked otherwise. */
  readonly detail?: Detail;
  /** Kinds of component to list; all unless asked otherwise. The others are one sum. */
  readonly kinds?: readonly ComponentKind[];
  /** Neurons to name in each layer at the detail "neuron", the largest; 5 unless asked otherwise. */
  readonly topNeurons?: number;
}

export interface Attribution {
  readonly tokens: readonly ShownToken[];
  readonly position: number;
  readonly layer: number;
  /** What the number is, in words. */
  readonly label: string;
  /** The token whose logit it is, and the one whose logit is taken from it. */
  readonly token?: ShownToken;
  readonly minus?: ShownToken;
  readonly detail: Detail;
  /** The model's own number. */
  readonly value: number;
  /** The final norm's divisor, which is held fixed; 1 for a direction in the stream. */
  readonly divisor: number;
  /** The largest first. */
  readonly components: readonly Component[];
  /** Sum of the components whose kinds were not asked for. */
  readonly others: number;
  /** What no component wrote to the stream: rounding, and edits of the stream itself or of what follows it. */
  readonly remainder: number;
  /** The components, for plots. */
  readonly rows: readonly Component[];
}

/**
 * Direct logit attribution (Elhage et al. 2021, transformer-circuits.pub/2021/framework): how much each part of the
 * model adds to a number at the end of the residual stream, with the final norm's divisor held fixed. The direction of
 * a logit is the token's row of the unembedding times the norm's gain, centred for a LayerNorm, and the norm's bias is a
 * component of its own, as is what a cap on logits takes away (Gemma 2); so the components and the remainder add up to the
 * logit. Norms between a part and the stream have their divisors held fixed too. (TransformerLens' `logit_attrs` leaves
 * gain and bias out on weights that are not folded.)
 */
export async function attribution(
  model: Model,
  text: Prompt,
  options: AttributionOptions = {},
): Promise<Report<Attribution>> {
  const data = await attribute("attribution", model, text, options);
  return report(data, (width) => printAttribution(data, width));
}

/** `attribution` as data; `view` names the caller in errors. */
export async function attribute(
  view: string,
  model: Model,
  text: Prompt,
  options: AttributionOptions,
): Promise<Attribution> {
  checkOptions(view, options, [...OPTIONS, ...VIEW_OPTIONS]);
  const { of, position: asked = -1, layer = model.config.nLayers - 1, detail = "head", ...rest } = options;
  const { topNeurons: nNeurons = 5, kinds = COMPONENT_KINDS, ...runOptions } = rest;
  checkChoice(`${view}: detail`, detail, DETAILS);
  checkInteger(`${view}: layer`, layer, 0, model.config.nLayers);
  checkInteger(`${view}: topNeurons`, nNeurons, 0);
  for (const kind of kinds) checkChoice(`${view}: kinds`, kind, COMPONENT_KINDS);
  const target = (one: Target): Direction => resolveTarget(`${view}: of`, model, one);
  const given = of === undefined ? undefined : target(of);
  const tokens = model.encode(text);
  const position = chosenPosition(`${view}: position`, asked, tokens.length);
  const stream = streamAfter(layer);
  const components = new Components(view, model, { stream, detail, nNeurons });
  const isLastRow = position === tokens.length - 1;
  const isCapped = model.tape.points.has(UNCAPPED);
  const end =
    layer < model.config.nLayers - 1
      ? innerLogits(stream, position, isCapped)
      : finalLogits(isLastRow ? "only" : position, isCapped);
  const run = await model.runDerived(tokens, end, {
    ...runOptions,
    read: [...components.reads(position), { at: stream.point, positions: position }],
    logits: isLastRow ? "last" : "none",
  });
  const { logits, uncapped, predicted } = end.present(run);
  const direction = given ?? target(predicted);
  const parts = await partsAlong(model, components, direction, run, stream);
  const value = direction.kind === "vector" ? parts.value : logitOf(direction, logits);
  if (direction.kind === "logit" && uncapped !== undefined) {
    parts.components.push({ label: "softcap", kind: "softcap", value: value - logitOf(direction, uncapped) });
  }
  const shown = parts.components.filter(({ kind }) => kinds.includes(kind)).sort(bySize);
  return {
    ...{ tokens: showTokens(model, tokens), position, layer, label: directionLabel(direction) },
    ...(direction.kind === "logit" && { token: direction.token }),
    ...(direction.kind === "logit" && direction.minus !== undefined && { minus: direction.minus }),
    ...{ detail, value, divisor: parts.divisor, components: shown },
    others: sumOf(parts.components.filter(({ kind }) => !kinds.includes(kind))),
    remainder: value - sumOf(parts.components),
    rows: shown,
  };
}

const OPTIONS = ["of", "position", "layer", "detail", "kinds", "topNeurons"] satisfies (keyof AttributionOptions)[];

/** All logits at one position, what they were before their cap if they have one, and the likeliest token. */
type LogitsView = View<{ readonly logits: Tensor; readonly uncapped: Tensor | undefined; readonly predicted: number }>;

/** The logits before their cap, in families that cap them. */
const UNCAPPED = "logitsBeforeSoftcap";

/** The model's own logits at a position, or those of the only row that has any. */
function finalLogits(position: number | "only", isCapped: boolean): LogitsView {
  const points = isCapped ? ["logits", UNCAPPED] : ["logits"];
  return logitsView(`final ${position}`, points, isCapped, ({ at, rowsAt }) =>
    points.map((point) => (position === "only" ? at(point) : selectRows(at(point), rowsAt(position)))),
  );
}

/** What the stream after an inner layer would give, as the lens has it. */
function innerLogits({ point }: Stream, position: number, isCapped: boolean): LogitsView {
  return logitsView(`inner ${position}`, [point], isCapped, ({ at, rowsAt, unembed }) =>
    scope("inner", () => {
      const logits = unembed(selectRows(at(point), rowsAt(position)));
      return isCapped ? [logits, namedValue(UNCAPPED) as Value] : [logits];
    }),
  );
}

function logitsView(
  key: string,
  points: readonly string[],
  isCapped: boolean,
  build: (scope: GlassScope) => readonly Value[],
): LogitsView {
  return {
    key: `logits ${key} ${points[0]}`,
    points,
    build(glass) {
      const [logits, uncapped] = build(glass); // [1, vocabSize]
      return {
        "view.logits": logits,
        "view.predicted": topK(logits, { k: 1 })[1],
        ...(isCapped && { "view.uncapped": uncapped }),
      };
    },
    present: (run) => ({
      logits: run.derived("view.logits"),
      uncapped: isCapped ? run.derived("view.uncapped") : undefined,
      predicted: run.derived("view.predicted").at(0, 0),
    }),
  };
}

function logitOf({ token, minus }: Direction & { kind: "logit" }, logits: Tensor): number {
  return logits.at(0, token.token) - (minus === undefined ? 0 : logits.at(0, minus.token));
}

/** What each component has along a direction, and the whole stream along it. */
async function partsAlong(model: Model, components: Components, direction: Direction, run: Run, stream: Stream) {
  const { dModel } = model.config;
  const { ints, floats } = directionInputs(direction);
  const read = components.inputs(run);
  const outputs = await model.evaluate(
    (weights) => {
      const { direction: vector, bias } = buildDirection(weights, direction, dModel);
      const resid = input("stream", "float", [1, dModel]);
      return {
        ...components.build(weights, vector, "along"),
        value: sum(mul(vector, resid)),
        divisor: weights.finalDivisor(resid),
        ...(bias !== undefined && { bias }),
      };
    },
    { ...ints, ...read.ints },
    { ...floats, ...read.floats, stream: run.get(stream.point).data },
  );
  const output = (name: string): Tensor => outputs.get(name) as Tensor;
  const divisor = direction.kind === "vector" ? 1 : output("divisor").at(0, 0);
  const written = components.present(output, "along", 0, divisor, run);
  const bias = outputs.get("bias");
  const normBias: Component[] =
    bias === undefined ? [] : [{ label: "final norm bias", kind: "normBias", value: bias.at(0) }];
  return { value: output("value").at(0), divisor, components: [...written, ...normBias] };
}

function sumOf(components: readonly Component[]): number {
  return components.reduce((total, { value }) => total + value, 0);
}

/** Rows of the table; beyond them there is only a sum. */
const MAX_ROWS = 24;
const BAR_WIDTH = 20;

export function printAttribution(data: Attribution, width: number): string {
  const { tokens, position, label, value, components, others, remainder } = data;
  const largest = Math.abs(components[0]?.value ?? 0);
  const row = (name: string, part: number) => [name, part, bar(Math.abs(part) / largest, BAR_WIDTH)];
  const shown = components.slice(0, MAX_ROWS);
  const hidden = components.slice(MAX_ROWS);
  const rows = [
    ...shown.map((component) => row(component.label, component.value)),
    ...(hidden.length === 0 ? [] : [row(`${hidden.length} smaller ones`, sumOf(hidden))]),
    ...(others === 0 ? [] : [row("of other kinds", others)]),
    row("remainder", remainder),
  ];
  const where = `after layer ${data.layer} at position ${position} ${quoteToken(tokens[position].text)}`;
  return `${clip(`${label} ${where}: ${value.toPrecision(6)}`, width)}\n\n${table({ rows, width })}`;
}
