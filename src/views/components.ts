import { RequestError } from "../errors.ts";
import type { ReadSpec } from "../points/read-spec.ts";
import type { Model, WeightScope } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import type { Value } from "../tape/value.ts";
import {
  biasWriter,
  type Component,
  headsWriter,
  neuronsWriter,
  type Output,
  pointWriter,
  unbiasedWriter,
  type Writer,
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
    const parts = [...attentions.map((i) => `blocks.${i}.attn`), ...mlps.map((i) => `blocks.${i}.mlp`)];
    if (detail !== "layer") checkPlainParts(view, model, parts);
    this.#writers = [
      ...embeddings.map((kind) => pointWriter({ label: kind, kind }, kind, dModel)),
      ...attentions.flatMap((layer) => attentionWriters(model, layer, detail)),
      ...mlps.flatMap((layer) => mlpWriters(model, layer, request)),
    ];
  }

  /** What must be read at the position. */
  reads(position: number): ReadSpec[] {
    return this.#writers.flatMap(({ points }) => points.map((at) => ({ at, positions: position })));
  }

  /** What a run read at the one position, as the inputs that `build` declares. */
  inputs(run: Run): Record<string, ArrayLike<number>> {
    const points = this.#writers.flatMap((writer) => writer.points);
    return Object.fromEntries(points.map((point) => [point, run.get(point).data]));
  }

  /** Outputs of a tape over weights, by names that begin with `name`: what each part has along directions [n, dModel]. */
  build(scope: WeightScope, directions: Value, name: string): Record<string, Value> {
    const outputs = this.#writers.flatMap((writer) => Object.entries(writer.build(scope, directions)));
    return Object.fromEntries(outputs.map(([output, value]) => [`${name}.${output}`, value]));
  }

  /** What `build` put out for one of the directions, each value divided by `divisor`. */
  present(output: Output, name: string, row: number, divisor: number): Component[] {
    const own: Output = (part) => output(`${name}.${part}`);
    return this.#writers.flatMap((writer) =>
      writer.present(own, row).map((component) => ({ ...component, value: component.value / divisor })),
    );
  }
}

function attentionWriters({ bindings, config }: Model, layer: number, detail: Detail): Writer[] {
  const part = `blocks.${layer}.attn`;
  const whole = { label: `L${layer}.attn`, kind: "attention", layer } as const;
  if (detail === "layer") return [pointWriter(whole, `${part}.contribution`, config.dModel)];
  const heads = headsWriter(layer, config.nHeads);
  if (!bindings.weights.has(`${part}.bO`)) return [heads];
  return [heads, biasWriter({ label: `L${layer}.attn bias`, kind: "attentionBias", layer }, `${part}.bO`)];
}

function mlpWriters({ bindings, config }: Model, layer: number, { detail, nNeurons }: Request): Writer[] {
  const { dModel, dFf } = config;
  const part = `blocks.${layer}.mlp`;
  const label = { label: `L${layer}.mlp`, kind: "mlp", layer } as const;
  const whole = pointWriter(label, `${part}.contribution`, dModel);
  if (detail === "layer") return [whole];
  const neurons = neuronsWriter(layer, dFf, nNeurons);
  if (!bindings.weights.has(`${part}.bDown`)) return [detail === "neuron" ? neurons : whole];
  const bias = biasWriter({ label: `L${layer}.mlp bias`, kind: "mlpBias", layer }, `${part}.bDown`);
  const unbiased = unbiasedWriter(label, `${part}.contribution`, `${part}.bDown`, dModel);
  return [detail === "neuron" ? neurons : unbiased, bias];
}

/** Heads and neurons write what their output weights say only where nothing stands between those and the stream. */
export function checkPlainParts(
  view: string,
  { tape, architecture }: Pick<Model, "tape" | "architecture">,
  parts: readonly string[],
): void {
  const other = parts.find((part) => tape.points.get(`${part}.out`) !== tape.points.get(`${part}.contribution`));
  if (other === undefined) return;
  throw new RequestError("request.option", {
    path: view,
    expected: "heads and neurons are told apart where a part's output is added to the residual stream as it is",
    got: `${other}.contribution, which is not ${other}.out in the family ${architecture}`,
    remedy: 'attribution with detail: "layer" takes whole parts.',
  });
}

export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}
