import { RequestError } from "../errors.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { Model, WeightScope } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import type { Value } from "../tape/value.ts";
import {
  expertBiasesWriter,
  expertNeuronsWriter,
  expertsWriter,
  sharedBiasWriter,
  sharedNeuronsWriter,
} from "./expert-writers.ts";
import { postNorm, routeOf } from "./route.ts";
import {
  biasWriter,
  type Component,
  headsWriter,
  neuronsWriter,
  type Output,
  pointWriter,
  unbiasedWriter,
  type Writer,
  type WriterInputs,
} from "./writers.ts";

export const DETAILS = ["layer", "head", "neuron"] as const;
/** How finely what writes to the residual stream is told apart. */
export type Detail = (typeof DETAILS)[number];

/** A place in the residual stream. */
export interface Stream {
  readonly point: string;
  /** Blocks whose attention, and whose MLP, have been added there. */
  readonly nAttentions: number;
  readonly nMlps: number;
}

export function streamAfter(layer: number): Stream {
  return { point: `blocks.${layer}.residPost`, nAttentions: layer + 1, nMlps: layer + 1 };
}

export function streamBeforeMlp(layer: number): Stream {
  return { point: `blocks.${layer}.residMid`, nAttentions: layer + 1, nMlps: layer };
}

interface Request {
  readonly stream: Stream;
  readonly detail: Detail;
  /** Largest neurons of each layer to name, at the detail "neuron". */
  readonly nNeurons: number;
}

/**
 * Everything that has written to the residual stream at one position, and what each part has along some directions
 * (Elhage et al. 2021, transformer-circuits.pub/2021/framework).
 */
export class Components {
  readonly #writers: readonly Writer[];

  /** `view` names the caller in errors. */
  constructor(view: string, model: Model, request: Request) {
    const { stream, detail } = request;
    const { points } = model.tape;
    const { dModel } = model.config;
    const embeddings = (["embed", "posEmbed"] as const).filter((point) => points.has(point));
    const attentions = range(stream.nAttentions);
    const mlps = range(stream.nMlps);
    if (detail !== "layer") {
      for (const layer of attentions) checkPlainPart(view, model, layer, "attn");
      for (const layer of mlps) checkPlainPart(view, model, layer, "mlp", !isSparse(model, layer));
    }
    this.#writers = [
      ...embeddings.map((kind) => pointWriter({ label: kind, kind }, kind, dModel)),
      ...attentions.flatMap((layer) => attentionWriters(model, layer, detail)),
      ...mlps.flatMap((layer) =>
        isSparse(model, layer) && detail !== "layer"
          ? sparseWriters(model, layer, request)
          : mlpWriters(model, layer, request),
      ),
    ];
  }

  /** What must be read at the position. */
  reads(position: number): ReadSpec[] {
    const points = new Set(this.#writers.flatMap((writer) => writer.points));
    return Array.from(points, (at) => ({ at, positions: position }));
  }

  /** What a run read at the one position, as the inputs that `build` declares. */
  inputs(run: Run): Required<WriterInputs> {
    const inputs = this.#writers.map((writer) => writer.inputs(run));
    return {
      floats: Object.assign({}, ...inputs.map(({ floats }) => floats)),
      ints: Object.assign({}, ...inputs.map(({ ints }) => ints)),
    };
  }

  /** Outputs of a tape over weights, by names that begin with `name`: what each part has along directions [n, dModel]. */
  build(scope: WeightScope, directions: Value, name: string): Record<string, Value> {
    const outputs = this.#writers.flatMap((writer) => Object.entries(writer.build(scope, directions)));
    return Object.fromEntries(outputs.map(([output, value]) => [`${name}.${output}`, value]));
  }

  /** What `build` put out for one of the directions, each value divided by `divisor`. */
  present(output: Output, name: string, row: number, divisor: number, run: Run): Component[] {
    const own: Output = (part) => output(`${name}.${part}`);
    return this.#writers.flatMap((writer) =>
      writer.present(own, row, run).map((component) => ({ ...component, value: component.value / divisor })),
    );
  }
}

function attentionWriters(model: Model, layer: number, detail: Detail): Writer[] {
  const { bindings, config } = model;
  const part = `blocks.${layer}.attn`;
  const whole = { label: `L${layer}.attn`, kind: "attention", layer } as const;
  if (detail === "layer") return [pointWriter(whole, `${part}.contribution`, config.dModel)];
  const route = routeOf(model, layer, "attn");
  const heads = headsWriter(layer, config.nHeads, route);
  if (!bindings.weights.has(`${part}.bO`)) return [heads];
  return [heads, biasWriter({ label: `L${layer}.attn bias`, kind: "attentionBias", layer }, `${part}.bO`, route)];
}

function mlpWriters(model: Model, layer: number, { detail, nNeurons }: Request): Writer[] {
  const { bindings } = model;
  const { dModel, dFf } = model.config;
  const part = `blocks.${layer}.mlp`;
  const label = { label: `L${layer}.mlp`, kind: "mlp", layer } as const;
  const whole = pointWriter(label, `${part}.contribution`, dModel);
  if (detail === "layer") return [whole];
  const route = routeOf(model, layer, "mlp");
  const neurons = neuronsWriter(layer, dFf, nNeurons, route);
  if (!bindings.weights.has(`${part}.bDown`)) return [detail === "neuron" ? neurons : whole];
  const bias = biasWriter({ label: `L${layer}.mlp bias`, kind: "mlpBias", layer }, `${part}.bDown`, route);
  const unbiased = unbiasedWriter(label, `${part}.contribution`, `${part}.bDown`, dModel, route);
  return [detail === "neuron" ? neurons : unbiased, bias];
}

/** Whether experts stand in the place of a layer's MLP. */
export function isSparse({ config }: Pick<Model, "config">, layer: number): boolean {
  return config.sparse?.layers[layer] ?? false;
}

function sparseWriters(model: Model, layer: number, { detail, nNeurons }: Request): Writer[] {
  const { bindings, config } = model;
  const has = (name: string): boolean => bindings.weights.has(`blocks.${layer}.${name}`);
  const hasShared = has("shared.wDown");
  if (detail === "head") {
    const label = { label: `L${layer}.shared`, kind: "shared", layer } as const;
    const shared = pointWriter(label, `blocks.${layer}.shared.contribution`, config.dModel);
    return [expertsWriter(model, layer), ...(hasShared ? [shared] : [])];
  }
  return [
    expertNeuronsWriter(model, layer, nNeurons),
    ...(has("experts.bDown") ? [expertBiasesWriter(model, layer)] : []),
    ...(hasShared ? [sharedNeuronsWriter(model, layer, nNeurons)] : []),
    ...(has("shared.bDown") ? [sharedBiasWriter(model, layer)] : []),
  ];
}

/**
 * Heads and neurons write what their output weights say only where nothing but a norm stands between those and the stream;
 * experts only without one.
 */
export function checkPlainPart(
  view: string,
  { tape, architecture }: Pick<Model, "tape" | "architecture">,
  layer: number,
  part: "attn" | "mlp",
  mayBeNormed = true,
): void {
  const contribution = tape.points.get(`blocks.${layer}.${part}.contribution`);
  const plain = [`blocks.${layer}.${part}.out`, ...(mayBeNormed ? [`${postNorm(layer, part)}.out`] : [])];
  if (plain.some((name) => tape.points.get(name) === contribution)) return;
  throw new RequestError("request.option", {
    path: view,
    expected:
      "heads and neurons are told apart where a part's output is added to the residual stream as it is or normed",
    got: `blocks.${layer}.${part}.contribution, which is neither in the family ${architecture}`,
    remedy: 'attribution with detail: "layer" takes whole parts.',
  });
}

export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}
