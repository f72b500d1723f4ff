import { RequestError } from "../errors.ts";
import type { Address } from "../points/address.ts";
import type { Point } from "../points/catalog.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { type Expert, expert, expertOf } from "./expert.ts";
import { type Head, head } from "./head.ts";
import { type Layer, layer } from "./layer.ts";
import { type Neuron, neuron } from "./neuron.ts";
import { neuronOf } from "./neuron-part.ts";
import { checkWithoutText, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { type Router, router } from "./router.ts";
import { type RouterWeights, routerWeights } from "./router-weights.ts";
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
 * What an address names: a neuron (`L2.N107`, `L2.E17.N20`, `L2.shared.N3`), a head (`L2.H3`), an expert (`L2.E17`,
 * `L2.shared`) or a router (`L2.router`) by its weights, and on a text by what it does there; a layer or its attention or
 * MLP (`L2`, `L2.mlp`) on a text; else the points of that name. Experts, routers and layers take a position: `L2@7`.
 */
export async function look(
  model: Model,
  address: string,
  options: LookOptions = {},
): Promise<Report<Neuron | Head | Expert | Router | RouterWeights | Layer | PointList>> {
  const { on, ...runOptions } = options;
  checkOptions("look", runOptions, VIEW_OPTIONS);
  const { addresses, positions } = model.address(address);
  const [{ entry, text }] = addresses;
  const kind = addresses.length === 1 ? kindOf(addresses[0]) : undefined;
  if (kind === "neuron") return neuron(model, address, options);
  if (kind === "head") return head(model, address, options);
  const hasPosition = typeof positions === "number";
  if (kind === "expert" && (positions === undefined || (hasPosition && on !== undefined))) {
    return expert(model, text, { ...options, ...(hasPosition && { position: positions }) });
  }
  if (kind === "router" && on === undefined && positions === undefined) {
    checkWithoutText("look", runOptions);
    return routerWeights(model, entry.layer ?? 0);
  }
  if (kind === "router" && on !== undefined && (positions === undefined || hasPosition)) {
    return router(model, on, { ...runOptions, layers: [entry.layer ?? 0], position: positions });
  }
  if (on === undefined && positions === undefined) {
    checkWithoutText("look", runOptions);
    return pointList(
      kind === "layer"
        ? model.points().filter(({ name }) => name.startsWith(`blocks.${entry.layer}.`))
        : addresses.map(({ entry }) => entry),
    );
  }
  if (kind === "layer" && on !== undefined && (positions === undefined || hasPosition)) {
    return layer(model, entry.layer ?? 0, on, { ...runOptions, position: positions });
  }
  throw new RequestError("request.option", {
    path: `look: ${address}`,
    expected:
      "a text goes with one neuron, head, expert, router or layer, and a position with the last three of these on a text",
    got: on === undefined ? "no text" : "a text",
    remedy:
      "Write it like L2.N107, L2.H3, L2.E17@7, L2.router, L2 or L2.mlp@7; run with read: [...] gives the values of any point.",
  });
}

type Kind = "neuron" | "head" | "expert" | "router" | "layer";

function kindOf(address: Address): Kind | undefined {
  const { entry, index } = address;
  if (neuronOf(address) !== undefined) return "neuron";
  if (expertOf(address) !== undefined) return "expert";
  if (entry.row.name === "blocks.{i}.attn.z") return index.length === 1 ? "head" : undefined;
  return index.length === 0 && entry.ofExpert === undefined ? WHOLE.get(entry.row.name) : undefined;
}

/** Points that stand for a component when no piece of them is named. */
const WHOLE: ReadonlyMap<string, Kind> = new Map([
  ["blocks.{i}.router.weights", "router"],
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
