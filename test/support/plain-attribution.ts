/** What attribution and explanations are held to: plain loops in float64 over points and weights. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { ARCHITECTURES } from "../../src/architectures/index.ts";
import { encodeSafetensors, type NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import { openModel, reference } from "../../src/index.ts";
import type { Model } from "../../src/run/model.ts";
import type { Run } from "../../src/run/result.ts";
import { MemoryFolder, utf8 } from "../checkpoint-files.ts";
import { fixture, goldenNames, readExpected } from "./fixtures.ts";
import { open } from "./open.ts";
import { centred, dot, range, readWeights, type Weights } from "./view-cases.ts";

const supported = ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes);

/** Further goldens of the same form, in a directory outside the repository. */
const { GOLGI_GOLDENS: elsewhere } = process.env;
const further = (elsewhere === undefined ? [] : readdirSync(elsewhere))
  .map((name): [string, string] => [`${name} in GOLGI_GOLDENS`, `${elsewhere}/${name}`])
  .filter(([, path]) => existsSync(`${path}/config.json`))
  .filter(([, path]) => supported.includes(JSON.parse(readFileSync(`${path}/config.json`, "utf8")).model_type));

/** Every family with and without biases, tied and not, as safetensors; and blocks of every format. */
export const ATTRIBUTION_CASES: readonly [name: string, path: string][] = [
  ...goldenNames.map((name): [string, string] => [name, fixture(`goldens/${name}`)]),
  ...further,
  ["blocks.gguf", fixture("gguf/blocks.gguf")],
  ["gpt2.gguf", fixture("gguf/gpt2.gguf")],
  ["llama.gguf", fixture("gguf/llama.gguf")],
];

/** A dozen tokens of the golden's own, or of no meaning. */
export async function tokensOf(path: string, model: Model): Promise<number[]> {
  if (!path.endsWith(".gguf")) return Array.from((await readExpected(path))("tokens").data).slice(0, 12);
  return range(9).map((i) => (i * i + 3) % model.config.vocabSize);
}

/** A case, open, with all that a run of its tokens reads and all its weights in float64. */
export async function openCase(path: string) {
  const model = await open(path);
  const tokens = await tokensOf(path, model);
  return { model, tokens, run: await model.run(tokens, { read: ["**"] }), weights: await readWeights(path, model) };
}

/** What a direction at a norm's output is at its input, times the divisor. */
export function beforeNorm(direction: readonly number[], norm: string, model: Model, weights: Weights): number[] {
  const gain = weights(`${norm}.gain`);
  const scaled = direction.map((x, i) => x * gain[i]);
  return model.bindings.weights.has(`${norm}.bias`) ? centred(scaled) : scaled;
}

export function unembedRow(token: number, model: Model, weights: Weights): number[] {
  const { dModel } = model.config;
  const unembed = weights(model.bindings.weights.has("unembed") ? "unembed" : "embed");
  return unembed.slice(token * dModel, (token + 1) * dModel);
}

interface Stream {
  readonly nAttentions: number;
  readonly nMlps: number;
}

/** What every head, neuron, bias and embedding has along a direction at one position, by the names of components. */
export function plainComponents(
  direction: readonly number[],
  position: number,
  { nAttentions, nMlps }: Stream,
  model: Model,
  run: Run,
  weights: Weights,
): Map<string, number> {
  const { nHeads } = model.config;
  const values = new Map<string, number>();
  const has = (name: string): boolean => model.bindings.weights.has(name);
  for (const point of ["embed", "posEmbed"]) {
    if (run.points.includes(point)) values.set(point, dot(run.get(point).row(position).data, direction));
  }
  for (const layer of range(nAttentions)) {
    const back = throughNorm(direction, `blocks.${layer}.ln1Post`, position, model, run, weights);
    const wO = weights(`blocks.${layer}.attn.wO`);
    const z = run.get(`blocks.${layer}.attn.z`);
    const headDim = z.shape[2];
    for (const head of range(nHeads)) {
      const written = back.map((_, i) => {
        const from = (i * nHeads + head) * headDim;
        return dot(wO.slice(from, from + headDim), z.row(position, head).data);
      });
      values.set(`L${layer}.H${head}`, dot(written, back));
    }
    const bias = `blocks.${layer}.attn.bO`;
    if (has(bias)) values.set(`L${layer}.attn bias`, dot(weights(bias), back));
  }
  for (const layer of range(nMlps)) {
    const back = throughNorm(direction, `blocks.${layer}.ln2Post`, position, model, run, weights);
    for (const { label, neuron, column, bias, factor, post } of plainMlps(layer, position, model, run, weights)) {
      for (const i of range(post.length)) values.set(`${neuron}${i}`, factor * post[i] * dot(column(i), back));
      if (bias !== undefined) values.set(`${label} bias`, factor * dot(bias, back));
    }
  }
  return values;
}

/** A direction in the stream as one of what a part gives, before a norm that a family may have there. */
function throughNorm(
  direction: readonly number[],
  norm: string,
  position: number,
  model: Model,
  run: Run,
  weights: Weights,
): readonly number[] {
  if (!model.bindings.weights.has(`${norm}.gain`)) return direction;
  const scale = run.get(`${norm}.scale`).at(position, 0);
  return beforeNorm(direction, norm, model, weights).map((x) => x / scale);
}

/** An MLP, or an expert that a position went to, and its neurons there. */
export interface PlainMlp {
  readonly label: string;
  /** How its neurons are written, but for their number. */
  readonly neuron: string;
  /** What its output is multiplied with. */
  readonly factor: number;
  readonly post: ArrayLike<number>;
  /** A point of it at the position. */
  at(point: string): ArrayLike<number>;
  /** One neuron's row of an input weight. [dModel] */
  row(weight: "wGate" | "wUp", neuron: number): readonly number[];
  /** Its entry of a bias; undefined where there is none. */
  biasOf(bias: "bGate" | "bUp", neuron: number): number | undefined;
  /** Its column of the output weight. [dModel] */
  column(neuron: number): readonly number[];
  readonly bias: readonly number[] | undefined;
}

/** The MLP of a layer, or the experts that the position went to, slot by slot, and the shared one. */
export function plainMlps(layer: number, position: number, model: Model, run: Run, weights: Weights): PlainMlp[] {
  const { dModel, sparse } = model.config;
  const block = `blocks.${layer}`;
  const of = (
    group: string,
    nNeurons: number,
    expert: number,
    slot: readonly number[],
  ): Omit<PlainMlp, "label" | "neuron" | "factor"> => {
    const slice = (name: string, size: number, i: number): readonly number[] =>
      weights(`${block}.${group}.${name}`).slice(i * size, (i + 1) * size);
    const has = (name: string): boolean => model.bindings.weights.has(`${block}.${group}.${name}`);
    const at = (point: string) => run.get(`${block}.${group}.${point}`).row(position, ...slot).data;
    return {
      at,
      post: at("post"),
      row: (weight, neuron) => slice(weight, dModel, expert * nNeurons + neuron),
      biasOf: (bias, neuron) => (has(bias) ? slice(bias, 1, expert * nNeurons + neuron)[0] : undefined),
      column: (neuron) => range(dModel).map((i) => slice("wDown", nNeurons, expert * dModel + i)[neuron]),
      bias: has("bDown") ? slice("bDown", dModel, expert) : undefined,
    };
  };
  if (sparse === undefined || !sparse.layers[layer]) {
    const nNeurons = run.get(`${block}.mlp.post`).shape[1];
    return [{ label: `L${layer}.mlp`, neuron: `L${layer}.N`, factor: 1, ...of("mlp", nNeurons, 0, []) }];
  }
  const chosen = Array.from(run.get(`${block}.router.indices`).row(position).data);
  const experts = chosen.map((expert, slot) => ({
    ...{ label: `L${layer}.E${expert}`, neuron: `L${layer}.E${expert}.N` },
    factor: run.get(`${block}.router.weights`).at(position, slot),
    ...of("experts", sparse.dExpert, expert, [slot]),
  }));
  if (sparse.dShared === 0) return experts;
  const gate = `${block}.shared.gate`;
  const shared = {
    ...{ label: `L${layer}.shared`, neuron: `L${layer}.shared.N` },
    factor: run.points.includes(gate) ? run.get(gate).at(position, 0) : 1,
    ...of("shared", sparse.dShared, 0, []),
  };
  return [...experts, shared];
}

/** Weights [in, out], row by row. */
type IntegerBlock = Readonly<Record<"v" | "o" | "oBias" | "up" | "upBias" | "down" | "downBias", readonly number[]>>;

/**
 * A two-layer GPT-2 of width 2 with two heads and two neurons, whose every number at its first position is a small
 * integer: a LayerNorm makes [1, −1] of whatever has its first number larger. `test/attribution.test.ts` has the sums.
 */
export function openIntegerModel(): Promise<Model> {
  const tensor = (name: string, shape: number[], ...data: number[]): NamedTensor => {
    return { name: `transformer.${name}`, shape, data: Float32Array.from(data) };
  };
  const plainNorm = (name: string) => [tensor(`${name}.weight`, [2], 1, 1), tensor(`${name}.bias`, [2], 0, 0)];
  /** q and k are 0: there is one position to look at. */
  const block = (layer: number, { v, o, oBias, up, upBias, down, downBias }: IntegerBlock) => {
    const at = `h.${layer}`;
    return [
      ...plainNorm(`${at}.ln_1`),
      ...plainNorm(`${at}.ln_2`),
      tensor(`${at}.attn.c_attn.weight`, [2, 6], 0, 0, 0, 0, ...v.slice(0, 2), 0, 0, 0, 0, ...v.slice(2)),
      tensor(`${at}.attn.c_attn.bias`, [6], 0, 0, 0, 0, 0, 0),
      tensor(`${at}.attn.c_proj.weight`, [2, 2], ...o),
      tensor(`${at}.attn.c_proj.bias`, [2], ...oBias),
      tensor(`${at}.mlp.c_fc.weight`, [2, 2], ...up),
      tensor(`${at}.mlp.c_fc.bias`, [2], ...upBias),
      tensor(`${at}.mlp.c_proj.weight`, [2, 2], ...down),
      tensor(`${at}.mlp.c_proj.bias`, [2], ...downBias),
    ];
  };
  const weights = [
    tensor("wte.weight", [3, 2], 2, 0, 1, 1, 0, 3),
    tensor("wpe.weight", [1, 2], 1, -1),
    ...block(0, {
      ...{ v: [1, 0, 0, 1], o: [1, 0, 2, 1], oBias: [0, 1] },
      ...{ up: [2, 0, 0, 2], upBias: [1, 0], down: [1, -1, 5, 5], downBias: [1, 0] },
    }),
    ...block(1, {
      ...{ v: [0, 1, 1, 0], o: [1, 0, 0, 1], oBias: [0, 0] },
      ...{ up: [1, -1, 1, -3], upBias: [1, 0], down: [0, 1, 1, 0], downBias: [0, 0] },
    }),
    tensor("ln_f.weight", [2], 2, 1),
    tensor("ln_f.bias", [2], 0.5, 0.25),
  ];
  const config = {
    ...{ model_type: "gpt2", vocab_size: 3, n_positions: 1, n_embd: 2, n_inner: 2, n_layer: 2, n_head: 2 },
    ...{ layer_norm_epsilon: 1e-12, activation_function: "relu" },
  };
  const files = { "config.json": utf8(JSON.stringify(config)), "model.safetensors": encodeSafetensors(weights) };
  const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };
  return openModel({ folder: new MemoryFolder(files) }, host, [reference]);
}
