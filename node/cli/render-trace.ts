import { basename } from "node:path";
import type { ModelConfig, Trace, TraceLayer, TracePrediction } from "../index.ts";
import { asManyAsFit, bar, padEnd, padStart, paint, quoteToken, type Style, wrap } from "./terminal.ts";

export interface TraceHeader {
  readonly name: string;
  readonly architecture: string;
  readonly backend: string;
  readonly config: ModelConfig;
}

/** Width of the column with the layers' names. */
const LABEL = 7;

/** A trace as lines of at most `width` columns: the text, then the stack from bottom to top. */
export function renderTrace(header: TraceHeader, trace: Trace, width: number): string {
  const columns = layOut(width);
  const longest = Math.max(...trace.layers.flatMap(({ lengths: { attention, mlp } }) => [attention, mlp]));
  const at = quoteToken(trace.tokens[trace.position].text);
  const about = `The stack at token ${trace.position}, ${at}, from bottom to top`;
  return [
    title(header),
    "",
    paintText(trace, width),
    "",
    paint("bold", about),
    paint("dim", headings(columns)),
    row("embed", trace.embed.predictions, "", "", trace.embed.length, columns),
    ...trace.layers.flatMap((layer) => renderLayer(layer, longest, columns, width)),
    "",
    outcome(trace),
    paint("dim", wrap(LEGEND, width)),
  ].join("\n");
}

const LEGEND =
  "next: what the residual stream would predict here (logit lens). attention, MLP: length of what each added to the " +
  "residual stream. neurons: largest values at this token, and the tokens that each pushes towards. heads: strongest " +
  "attention edges of the whole text, from the token that looks to the one it looks at.";

function title({ name, architecture, backend, config }: TraceHeader): string {
  const { nLayers, nHeads, dFf } = config;
  const sizes = `${nLayers} layers of ${nHeads} heads and ${dFf} neurons`;
  return `${paint("bold", basename(name))}  ${paint("dim", `${architecture}, ${sizes}, ${backend} backend`)}`;
}

/** The prompt in bold, and what the model wrote. */
function paintText({ prompt, text }: Trace, width: number): string {
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

interface Columns {
  readonly predictions: number;
  readonly bar: number;
}

/** Shares out what the label, the numbers and the gaps leave. */
function layOut(width: number): Columns {
  const free = width - LABEL - 9;
  const barWidth = Math.max(10, Math.floor(free / 5));
  return { predictions: free - 2 * barWidth, bar: barWidth };
}

function headings({ predictions, bar: barWidth }: Columns): string {
  const cells = [padEnd("", LABEL), padEnd("next", predictions), padEnd("attention", barWidth)];
  return `${cells.join("")}${padEnd("MLP", barWidth)}${padStart("residual", 9)}`;
}

function row(
  label: string,
  predictions: readonly TracePrediction[],
  attention: string,
  mlp: string,
  residual: number,
  columns: Columns,
): string {
  const next = asManyAsFit(
    predictions.map((p) => `${paint("cyan", quoteToken(p.text))} ${percent(p.probability)}`),
    columns.predictions - 2,
  );
  const bars = padEnd(attention, columns.bar) + padEnd(mlp, columns.bar);
  return `${paint("bold", padEnd(label, LABEL))}${padEnd(next, columns.predictions)}${bars}${padStart(residual.toFixed(2), 9)}`;
}

function renderLayer(layer: TraceLayer, longest: number, columns: Columns, width: number): string[] {
  const measure = (length: number, color: Style): string =>
    `${paint(color, bar(length / longest, columns.bar - 7))} ${length.toFixed(2)}`;
  const { attention, mlp, residual } = layer.lengths;
  const detail = (name: string, items: readonly string[]): string =>
    `${" ".repeat(LABEL)}${paint("dim", padEnd(name, 9))}${asManyAsFit(items, width - LABEL - 9)}`;
  return [
    row(`L${layer.layer}`, layer.predictions, measure(attention, "magenta"), measure(mlp, "yellow"), residual, columns),
    detail("neurons", layer.neurons.map(neuronItem)),
    // The same words in several places are one line's worth.
    detail("heads", [...new Set(layer.edges.map(edgeItem))]),
  ];
}

function neuronItem({ neuron, value, promotes }: TraceLayer["neurons"][number]): string {
  const sign = value < 0 ? "−" : "+";
  const amount = paint(value < 0 ? "red" : "green", `${sign}${Math.abs(value).toFixed(2)}`);
  return `N${neuron} ${amount} → ${promotes.map(({ text }) => quoteToken(text)).join(" ")}`;
}

function edgeItem({ head, fromText, toText, weight }: TraceLayer["edges"][number]): string {
  return `H${head} ${quoteToken(fromText)} → ${quoteToken(toText)} ${percent(weight)}`;
}

/** What really came after the token looked at. */
function outcome({ tokens, position, layers }: Trace): string {
  const next = tokens[position + 1];
  const likeliest = layers.at(-1)?.predictions[0];
  if (next === undefined || likeliest === undefined) return paint("dim", "Nothing was generated after this token.");
  const agreed = next.token === likeliest.token ? "as the last layer predicted" : "drawn or given";
  return `Next came ${paint("cyan", quoteToken(next.text))}, ${agreed}.`;
}

function percent(share: number): string {
  const value = 100 * share;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(value >= 1 ? 0 : 1)}%`;
}
