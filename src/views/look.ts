import { RequestError } from "../errors.ts";
import type { Point } from "../points/catalog.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { type Head, head } from "./head.ts";
import { type Layer, layer } from "./layer.ts";
import { type Neuron, neuron } from "./neuron.ts";
import { checkWithoutText, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { table } from "./text/table.ts";

export interface LookOptions extends ViewOptions {
  /** A text to watch it on; a layer, as something that happens on a text, is described by its points without one. */
  readonly on?: Prompt;
}

/** A point, in the words of `Model.points`. */
export type ListedPoint = Pick<Point, "name" | "formula" | "availability" | "writable"> & {
  readonly shape: string;
};

/** What there is to read at an address. */
export interface PointList {
  readonly rows: readonly ListedPoint[];
}

/**
 * What an address names: a neuron (`L2.N107`) or head (`L2.H3`) by its weights, and on a text by what it does there; a
 * layer or its attention or MLP (`L2`, `L2.mlp`, at a position `L2@7`) on a text; else the points of that name.
 */
export async function look(
  model: Model,
  address: string,
  options: LookOptions = {},
): Promise<Report<Neuron | Head | Layer | PointList>> {
  const { on, ...runOptions } = options;
  checkOptions("look", runOptions, VIEW_OPTIONS);
  const { addresses, positions } = model.address(address);
  const [{ entry, index }] = addresses;
  const kind = addresses.length === 1 ? KINDS.get(entry.row.name) : undefined;
  if (kind === "neuron" && index.length === 1) return neuron(model, address, options);
  if (kind === "head" && index.length === 1) return head(model, address, options);
  const isLayer = kind === "layer" && index.length === 0;
  if (on === undefined && positions === undefined) {
    checkWithoutText("look", runOptions);
    return pointList(
      isLayer
        ? model.points().filter(({ name }) => name.startsWith(`blocks.${entry.layer}.`))
        : addresses.map(({ entry }) => entry),
    );
  }
  if (isLayer && on !== undefined && (positions === undefined || typeof positions === "number")) {
    return layer(model, entry.layer ?? 0, on, { ...runOptions, position: positions });
  }
  throw new RequestError("request.option", {
    path: `look: ${address}`,
    expected: "a text goes with one neuron, one head or one layer, and a position with a layer on a text",
    got: on === undefined ? "no text" : "a text",
    remedy: "Write it like L2.N107, L2.H3, L2 or L2.mlp@7; run with read: [...] gives the values of any point.",
  });
}

const KINDS: ReadonlyMap<string, "neuron" | "head" | "layer"> = new Map([
  ["blocks.{i}.mlp.post", "neuron"],
  ["blocks.{i}.attn.z", "head"],
  ["blocks.{i}.residPost", "layer"],
  ["blocks.{i}.attn.out", "layer"],
  ["blocks.{i}.mlp.out", "layer"],
]);

function pointList(points: readonly Point[]): Report<PointList> {
  const rows = points.map(({ name, shape, formula, availability, writable }) => {
    return { name, shape: `[${shape.join(", ")}]`, formula, availability, writable };
  });
  return report({ rows }, (width) =>
    table({
      head: ["point", "shape", "what it is"],
      rows: rows.map((row) => [row.name, row.shape, row.formula]),
      width,
    }),
  );
}
