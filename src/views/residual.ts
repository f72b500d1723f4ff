import { mul, norm, selectRows, sum } from "../ops/index.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import type { Value } from "../tape/value.ts";
import { chosenPosition, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { shortPoint } from "./text/names.ts";
import { bar, heatMap } from "./text/picture.ts";
import { table } from "./text/table.ts";
import { quoteToken } from "./text/width.ts";
import { type ShownToken, showTokens } from "./tokens.ts";
import type { View } from "./view.ts";

export interface ResidualOptions extends ViewOptions {
  /** Position to look at; the last unless asked otherwise. */
  readonly position?: number;
}

/** The residual stream at one height of the stack, at the position looked at. */
export interface StreamPoint {
  readonly point: string;
  readonly norm: number;
  /** With the stream one part below; null for the embedding, which has none below. Null also where a norm is 0. */
  readonly cosineBelow: number | null;
  readonly cosineEmbedding: number | null;
  /** With the stream after the last layer. */
  readonly cosineFinal: number | null;
}

/** What one part adds to the residual stream at the position looked at. */
export interface StreamPart {
  readonly point: string;
  readonly norm: number;
  /** With the stream that it is added to; null where a norm is 0. */
  readonly cosineStream: number | null;
  /** Its component along the final stream as a share of that one's length; with the embedding's they add up to 1. */
  readonly shareOfFinal: number;
}

/** One norm of the heat map. */
export interface StreamNorm {
  readonly point: string;
  readonly position: number;
  readonly text: string;
  readonly norm: number;
}

export interface Residual {
  readonly tokens: readonly ShownToken[];
  readonly position: number;
  /** From the embedding up. */
  readonly stream: readonly StreamPoint[];
  /** In the order in which they are added, the embedding first. */
  readonly parts: readonly StreamPart[];
  /** Lengths of the stream at every position: [height][T], heights as in `stream`. */
  readonly norms: readonly (readonly number[])[];
  /** The same, for plots. */
  readonly rows: readonly StreamNorm[];
}

/** How the residual stream grows and turns up the stack, and what each part adds to it. */
export async function residual(model: Model, text: Prompt, options: ResidualOptions = {}): Promise<Report<Residual>> {
  const { position: asked = -1, ...rest } = options;
  checkOptions("residual", rest, VIEW_OPTIONS);
  const ids = model.encode(text);
  const position = chosenPosition("residual: position", asked, ids.length);
  const view = residualView(heights(model), position);
  const run = await model.runDerived(ids, view, { ...rest, logits: "none" });
  const tokens = showTokens(model, ids);
  const found = view.present(run);
  const rows = found.norms.flatMap((norms, height) =>
    norms.map((length, t) => {
      return { point: found.stream[height].point, position: t, text: tokens[t].text, norm: length };
    }),
  );
  const data: Residual = { tokens, position, ...found, rows };
  return report(data, (width) => print(data, width));
}

/** The stream after some part, and what that part added to it; the embedding was added to nothing. */
interface Height {
  readonly point: string;
  readonly added: string;
}

/** From the embedding up; a block whose parts run beside each other has one height. */
function heights(model: Model): Height[] {
  const names = new Set(model.points().map(({ name }) => name));
  const start = { point: "blocks.0.residPre", added: "blocks.0.residPre" };
  const blocks = Array.from({ length: model.config.nLayers }, (_, layer) => [
    { point: `blocks.${layer}.residMid`, added: `blocks.${layer}.attn.contribution` },
    { point: `blocks.${layer}.residPost`, added: `blocks.${layer}.mlp.contribution` },
  ]);
  return [start, ...blocks.flat()].filter(({ point }) => names.has(point));
}

/** The reductions of one height: lengths, and products with its neighbours. */
const REDUCTIONS = ["norm", "below", "embedding", "final", "addedNorm", "addedBelow", "addedFinal"] as const;

function residualView(stack: readonly Height[], position: number): View<Pick<Residual, "stream" | "parts" | "norms">> {
  const output = (height: number, what: string): string => `residual.${height}.${what}`;
  return {
    key: `residual ${position}`,
    points: [...new Set(stack.flatMap(({ point, added }) => [point, added]))],
    build({ at, rowsAt }) {
      const row = rowsAt(position);
      const stream = stack.map(({ point }) => selectRows(at(point), row)); // [1, dModel]
      const [embedding, final] = [stream[0], stream[stream.length - 1]];
      return Object.assign(
        {},
        ...stack.map(({ point, added }, i) => {
          const [x, below, part] = [stream[i], stream[Math.max(0, i - 1)], selectRows(at(added), row)];
          const reduced: Record<(typeof REDUCTIONS)[number], Value> = {
            norm: norm(x),
            below: product(x, below),
            embedding: product(x, embedding),
            final: product(x, final),
            addedNorm: norm(part),
            addedBelow: product(part, below),
            addedFinal: product(part, final),
          };
          const named = REDUCTIONS.map((what) => [output(i, what), reduced[what]]);
          return { ...Object.fromEntries(named), [output(i, "norms")]: norm(at(point)) };
        }),
      );
    },
    present(run) {
      const number = (height: number, what: (typeof REDUCTIONS)[number]): number =>
        run.derived(output(height, what)).at(0);
      const last = stack.length - 1;
      const length = (height: number): number => number(height, "norm");
      return {
        stream: stack.map(({ point }, i) => ({
          point,
          norm: length(i),
          cosineBelow: i === 0 ? null : cosine(number(i, "below"), length(i), length(i - 1)),
          cosineEmbedding: cosine(number(i, "embedding"), length(i), length(0)),
          cosineFinal: cosine(number(i, "final"), length(i), length(last)),
        })),
        parts: stack.map(({ added }, i) => ({
          point: added,
          norm: number(i, "addedNorm"),
          cosineStream: i === 0 ? null : cosine(number(i, "addedBelow"), number(i, "addedNorm"), length(i - 1)),
          shareOfFinal: number(i, "addedFinal") / length(last) ** 2,
        })),
        norms: stack.map((_, i) => Array.from(run.derived(output(i, "norms")).data)),
      };
    },
  };
}

/** x · y of each row. */
function product(x: Value, y: Value): Value {
  return sum(mul(x, y));
}

function cosine(product: number, a: number, b: number): number | null {
  return a === 0 || b === 0 ? null : product / (a * b);
}

const BAR_WIDTH = 12;

function print({ tokens, position, stream, parts, norms }: Residual, width: number): string {
  const longest = Math.max(...stream.map(({ norm }) => norm));
  const title = `The residual stream at token ${position}, ${quoteToken(tokens[position].text)}, from bottom to top`;
  const growth = table({
    head: ["stream", "norm", "", "below", "embedding", "final"],
    rows: stream.map(({ point, norm, cosineBelow, cosineEmbedding, cosineFinal }, i) => {
      const name = i === 0 ? "embedding" : shortPoint(point);
      return [name, norm, bar(norm / longest, BAR_WIDTH), cosineBelow, cosineEmbedding, cosineFinal];
    }),
    width,
  });
  const added = table({
    head: ["added by", "norm", "cosine with stream", "share of final"],
    rows: parts.map(({ point, norm, cosineStream, shareOfFinal }, i) => {
      return [i === 0 ? "embedding" : shortPart(point), norm, cosineStream, shareOfFinal];
    }),
    width,
  });
  const map = heatMap(norms, {
    rowLabels: stream.map(({ point }, i) => (i === 0 ? "embedding" : shortPoint(point))),
    columnLabels: tokens.map(({ text }) => text),
    width,
  });
  return [title, growth, "", added, "", "Norms at every token", map].join("\n");
}

/** `L5.attn` for what attention contributes. */
function shortPart(point: string): string {
  return shortPoint(point).replace(/\.contribution$/, "");
}
