import { basename, resolve } from "node:path";
import { sizesText, type TracedModel } from "../html/trace-data.ts";
import {
  asManyAsFit,
  bar,
  clip,
  expertItem,
  itemLines,
  neuronName,
  padEnd,
  padStart,
  quoteToken,
  type Trace,
  type TraceLayer,
  type TracePrediction,
  wrap,
} from "../index.ts";
import { labelled, paint, printable, type Style } from "./terminal.ts";

/** Widths of the columns that do not depend on the terminal's: a layer's name, what a line is about, a length. */
const LABEL = 7;
const TOPIC = 9;
const RESIDUAL = 9;

/** What stands in each column or line, for those who see it for the first time. */
const LEGEND: readonly (readonly [string, string])[] = [
  ["next", "what the residual stream would predict here (logit lens)"],
  ["attention, MLP", "length of what each added to the residual stream"],
  ["residual", "length of the residual stream itself"],
  ["experts", "where the router sent this token, and what their outputs are multiplied with"],
  ["neurons", "largest values here, and the tokens that each pushes towards"],
  [
    "heads",
    "strongest attention in the whole text, token that looks → token it looks at; itself and the first token left out",
  ],
];

/** A trace as lines of at most `width` columns: the text, then the stack from bottom to top. */
export function renderTrace(header: TracedModel, trace: Trace, width: number): string {
  const layout = layOut(trace, width);
  const { position, tokens, embed } = trace;
  const hasExperts = trace.layers.some(({ experts }) => experts !== undefined);
  const where = `The stack at token ${position}, ${quoteToken(tokens[position].text)}, from bottom to top`;
  return [
    clip(title(header), width),
    ...header.edits.map((edit) => clip(`${paint("red", "edited")}  ${printable(edit)}`, width)),
    "",
    paintText(trace, width),
    "",
    paint("bold", clip(where, width)),
    paint("dim", headings(layout)),
    row("embed", embed.predictions, ["", ""], embed.length, layout),
    ...trace.layers.flatMap((layer) => renderLayer(layer, layout)),
    "",
    wrap(outcome(trace), width),
    "",
    ...LEGEND.filter(([term]) => term !== "experts" || hasExperts).map(([term, meaning]) =>
      paint("dim", labelled(term, meaning, LABEL + TOPIC, width)),
    ),
  ].join("\n");
}

function title({ name, architecture, backend, config }: TracedModel): string {
  const facts = `${architecture}, ${sizesText(config)}, ${backend} backend`;
  return `${paint("bold", basename(resolve(name)))}  ${paint("dim", facts)}`;
}

/** The prompt in bold, and what the model wrote. */
function paintText(trace: Trace, width: number): string {
  const [prompt, text] = [printable(trace.prompt), printable(trace.text)];
  const lines = wrap(prompt + text, width);
  // Wrapping changes white space only, so the prompt ends after as many other characters as it has.
  let left = prompt.replaceAll(/\s/g, "").length;
  let end = 0;
  while (left > 0) if (/\S/.test(lines[end++])) left--;
  return `${paintLines("bold", lines.slice(0, end))}${paintLines("cyan", lines.slice(end))}`;
}

function paintLines(style: Style, text: string): string {
  return text
    .split("\n")
    .map((line) => (line === "" ? "" : paint(style, line)))
    .join("\n");
}

interface Layout {
  readonly width: number;
  /** Width of the column with the predictions. */
  readonly predictions: number;
  /** Width of the attention's and of the MLP's column. */
  readonly part: number;
  /** The longest of what the parts added, for which a bar is full. */
  readonly longest: number;
  readonly figures: (length: number) => string;
  readonly residualFigures: (length: number) => string;
}

/** Shares out what the fixed columns leave. */
function layOut({ embed, layers }: Trace, width: number): Layout {
  const longest = Math.max(...layers.flatMap(({ lengths: { attention, mlp } }) => [attention, mlp]));
  const longestResidual = Math.max(embed.length, ...layers.map(({ lengths }) => lengths.residual));
  const free = width - LABEL - RESIDUAL;
  const part = width < 60 ? 7 : Math.max(12, Math.floor(free / 5));
  return {
    width,
    predictions: free - 2 * part,
    part,
    longest,
    figures: figuresUpTo(longest),
    residualFigures: figuresUpTo(longestResidual),
  };
}

/** Writes numbers with as many decimals as keep the largest within five characters, so that they stand in line. */
function figuresUpTo(largest: number): (value: number) => string {
  const nDigits = Math.round(largest).toString().length;
  if (nDigits > 5) return (value) => value.toExponential(0);
  const nDecimals = Math.min(2, Math.max(0, 4 - nDigits));
  return (value) => value.toFixed(nDecimals);
}

function headings({ predictions, part }: Layout): string {
  const parts = ["attention", "MLP"].map((name) => padEnd(clip(name, part - 1), part)).join("");
  return `${padEnd("", LABEL)}${padEnd("next", predictions)}${parts}${padStart("residual", RESIDUAL)}`;
}

function row(
  label: string,
  predictions: readonly TracePrediction[],
  parts: readonly [attention: string, mlp: string],
  residual: number,
  layout: Layout,
): string {
  const shown = predictions.filter(({ probability }, rank) => rank === 0 || probability >= SMALLEST_SHARE);
  const next = asManyAsFit(
    shown.map(({ text, probability }) => `${paint("cyan", quoteToken(text))} ${percent(probability)}`),
    layout.predictions - 2,
  );
  const cells = [padEnd(next, layout.predictions), ...parts.map((part) => padEnd(part, layout.part))].join("");
  return `${paint("bold", padEnd(label, LABEL))}${cells}${padStart(layout.residualFigures(residual), RESIDUAL)}`;
}

function renderLayer(traced: TraceLayer, layout: Layout): string[] {
  const { layer, predictions, lengths, experts, neurons, edges } = traced;
  const { attention, mlp, residual } = lengths;
  const parts = [measure(attention, "magenta", layout), measure(mlp, "yellow", layout)] as const;
  return [
    row(`L${layer}`, predictions, parts, residual, layout),
    ...(experts === undefined ? [] : expertDetail(experts.map(expertItem), layout)),
    detail("neurons", neurons.map(neuronItem), layout),
    // The same words in several places are one line's worth.
    detail("heads", [...new Set(edges.map(edgeItem))], layout),
  ];
}

/** A length as a bar and in figures. */
function measure(length: number, color: Style, { part, longest, figures }: Layout): string {
  const text = figures(length);
  const barWidth = Math.max(0, part - figures(longest).length - 2);
  return `${paint(color, bar(length / longest, barWidth))} ${text}`;
}

function detail(topic: string, items: readonly string[], { width }: Layout): string {
  const shown = items.length === 0 ? paint("dim", "none") : asManyAsFit(items, width - LABEL - TOPIC);
  return `${padEnd("", LABEL)}${paint("dim", padEnd(topic, TOPIC))}${shown}`;
}

/** All of them, on as many lines as that takes. */
function expertDetail(items: readonly string[], layout: Layout): string[] {
  const lines = itemLines(items, layout.width - LABEL - TOPIC);
  return lines.map((line, i) => detail(i === 0 ? "experts" : "", [line], layout));
}

function neuronItem(found: TraceLayer["neurons"][number]): string {
  const { value, promotes } = found;
  const sign = value < 0 ? "−" : "+";
  const amount = paint(value < 0 ? "red" : "green", `${sign}${Math.abs(value).toFixed(2)}`);
  return `${neuronName(found)} ${amount} → ${promotes.map(({ text }) => quoteToken(text)).join(" ")}`;
}

function edgeItem({ head, fromText, toText, weight }: TraceLayer["edges"][number]): string {
  return `H${head} ${quoteToken(fromText)} → ${quoteToken(toText)} ${percent(weight)}`;
}

/** What really came after the token looked at. */
function outcome({ tokens, nPromptTokens, position, layers }: Trace): string {
  const next = tokens[position + 1];
  const likeliest = layers.at(-1)?.predictions[0];
  if (next === undefined || likeliest === undefined) return "Nothing came after this token.";
  const came = `${position + 1 < nPromptTokens ? "The prompt goes on with" : "Next came"} ${paintToken(next.text)}`;
  return next.token === likeliest.token
    ? `${came}, as the last layer predicted.`
    : `${came}; the last layer's likeliest was ${paintToken(likeliest.text)}.`;
}

function paintToken(text: string): string {
  return paint("cyan", quoteToken(text));
}

/** Below this, a percentage has nothing but zeros to show. */
const SMALLEST_SHARE = 0.0005;

function percent(share: number): string {
  if (share > 0 && share < SMALLEST_SHARE) return "<0.1%";
  return `${(100 * share).toFixed(share >= 0.0095 || share === 0 ? 0 : 1)}%`;
}
