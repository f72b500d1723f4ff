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
  const { dModel, nHeads } = model.config;
  const values = new Map<string, number>();
  const has = (name: string): boolean => model.bindings.weights.has(name);
  for (const point of ["embed", "posEmbed"]) {
    if (run.points.includes(point)) values.set(point, dot(run.get(point).row(position).data, direction));
  }
  for (const layer of range(nAttentions)) {
    const wO = weights(`blocks.${layer}.attn.wO`);
    const z = run.get(`blocks.${layer}.attn.z`);
    const headDim = z.shape[2];
    for (const head of range(nHeads)) {
      const written = range(dModel).map((i) => {
        const from = (i * nHeads + head) * headDim;
        return dot(wO.slice(from, from + headDim), z.row(position, head).data);
      });
      values.set(`L${layer}.H${head}`, dot(written, direction));
    }
    const bias = `blocks.${layer}.attn.bO`;
    if (has(bias)) values.set(`L${layer}.attn bias`, dot(weights(bias), direction));
  }
  for (const layer of range(nMlps)) {
    const wDown = weights(`blocks.${layer}.mlp.wDown`);
    const post = run.get(`blocks.${layer}.mlp.post`).row(position).data;
    for (const neuron of range(post.length)) {
      const along = range(dModel).reduce((sum, i) => sum + wDown[i * post.length + neuron] * direction[i], 0);
      values.set(`L${layer}.N${neuron}`, post[neuron] * along);
    }
    const bias = `blocks.${layer}.mlp.bDown`;
    if (has(bias)) values.set(`L${layer}.mlp bias`, dot(weights(bias), direction));
  }
  return values;
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
