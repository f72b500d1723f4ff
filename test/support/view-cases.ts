/** What the tests of views run on, and the weights that their plain loops take. */

import { basename, dirname } from "node:path";
import { openFolder } from "../../node/files.ts";
import { openGguf } from "../../src/checkpoint/gguf.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import type { Model } from "../../src/run/model.ts";
import { decodeWeight } from "../../src/weights/decode.ts";
import { fixture, goldenTokens, stories260K } from "./fixtures.ts";

/** RMSNorm and grouped heads; a window; LayerNorm and biases. */
export const VIEW_CASES: readonly [name: string, directory: string][] = [
  ["stories260K", stories260K],
  ["mistral-window", fixture("goldens/mistral-window")],
  ["gpt2", fixture("goldens/gpt2")],
];

/** A text whose tokens come again: some twice, some three times. */
export async function repeatingTokens(name: string, model: Model): Promise<number[]> {
  const text = "Lily and her mom saw Lily and her cat";
  const tokens = model.hasTokenizer ? model.tokenizer.encode(text) : await goldenTokens(name);
  return [...tokens.slice(0, 12), ...tokens.slice(3, 9), ...tokens.slice(5, 7)];
}

export type Weights = (name: string) => readonly number[];

/** All weights of a model in a directory or a GGUF file, in float64, row by row. */
export async function readWeights(path: string, model: Model): Promise<Weights> {
  const checkpoint = path.endsWith(".gguf")
    ? await openGguf(await openFolder(dirname(path)), basename(path))
    : await openSafetensors(await openFolder(path));
  const weights = new Map<string, readonly number[]>();
  for (const [name, binding] of model.bindings.weights) {
    weights.set(name, Array.from(await decodeWeight(binding, checkpoint, "f64")));
  }
  await checkpoint.close();
  return (name) => {
    const weight = weights.get(name);
    if (weight === undefined) throw new Error(`no weight ${name}`);
    return weight;
  };
}

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return sum(Array.from(a, (x, i) => x * b[i]));
}

export function length(x: ArrayLike<number>): number {
  return Math.sqrt(dot(x, x));
}

/** Less the mean. */
export function centred(x: readonly number[]): number[] {
  const mean = sum(x) / x.length;
  return x.map((value) => value - mean);
}

/** What a vector in the residual stream adds to every logit, times the final norm's divisor. */
export function readout(vector: readonly number[], model: Model, weights: Weights): number[] {
  const { dModel, vocabSize } = model.config;
  const isLayerNorm = model.bindings.weights.has("lnFinal.bias");
  const gain = weights("lnFinal.gain");
  const seen = (isLayerNorm ? centred(vector) : vector).map((x, d) => x * gain[d]);
  const unembed = weights(model.bindings.weights.has("unembed") ? "unembed" : "embed");
  return range(vocabSize).map((token) => dot(seen, unembed.slice(token * dModel, (token + 1) * dModel)));
}
