/** What a head writes: its values through its part of the output projection, and on to the logits. */

import {
  center,
  matmul,
  matmulTransposed,
  mergeHeads,
  mul,
  norm,
  selectColumns,
  selectHeads,
  selectRows,
  splitHeads,
  topK,
} from "../ops/index.ts";
import type { Model, WeightScope } from "../run/model.ts";
import { input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Entry } from "./extremes.ts";
import type { LayerComponent } from "./options.ts";
import { postNorm } from "./route.ts";

/** The values of a layer: how many heads of them there are, and their size. */
function valueSizes({ config, bindings }: Model, layer: number): { nValueHeads: number; vHeadDim: number } {
  const [wO, wV] = ["wO", "wV"].map((name) => bindings.weights.get(`blocks.${layer}.attn.${name}`)?.shape ?? []);
  const vHeadDim = wO[1] / config.nHeads;
  return { nValueHeads: wV[0] / vHeadDim, vHeadDim };
}

/** The key and value head that a query head reads. */
export function kvHeadOf(model: Model, { layer, index }: LayerComponent): number {
  return Math.floor(index / (model.config.nHeads / valueSizes(model, layer).nValueHeads));
}

/** For each row of values [n, headDim] the `k` tokens whose logits it raises most. */
export async function raisedByValues(
  model: Model,
  head: LayerComponent,
  values: Tensor,
  k: number,
): Promise<Entry[][]> {
  const { vocabSize } = model.config;
  const { vHeadDim: headDim } = valueSizes(model, head.layer);
  return inChunks(values.shape[0], vocabSize, async (from, to) => {
    const results = await model.evaluate(
      (scope) => raised(model, scope, head, input("values", "float", [to - from, headDim]), headDim, k),
      { columns: columnsOf(head, headDim) },
      { values: values.data.subarray(from * headDim, to * headDim) },
    );
    return entriesOf(results);
  });
}

/** As `raisedByValues`, of the values that the first `n` tokens' embeddings alone give, through the gain of the norm. */
export async function raisedByEmbeddings(model: Model, head: LayerComponent, n: number, k: number): Promise<Entry[][]> {
  const { config, bindings } = model;
  const { vHeadDim: headDim, nValueHeads } = valueSizes(model, head.layer);
  const [gain, bias] = ["ln1.gain", "ln1.bias"].map((name) => `blocks.${head.layer}.${name}`);
  return inChunks(n, config.vocabSize, async (from, to) => {
    const results = await model.evaluate(
      (scope) => {
        const embeddings = selectRows(scope.weight("embed"), input("tokens", "int", [to - from])); // [n, dModel]
        const centred = bindings.weights.has(bias) ? center(embeddings) : embeddings;
        const seen = bindings.weights.has(gain) ? mul(centred, scope.weight(gain)) : centred;
        const ofHeads = splitHeads(valuesOf(model, scope, head, seen), { nHeads: nValueHeads, headDim });
        const values = mergeHeads(selectHeads(ofHeads, input("kvHead", "int", [1]))); // [n, headDim]
        return raised(model, scope, head, values, headDim, k);
      },
      {
        columns: columnsOf(head, headDim),
        kvHead: Int32Array.of(kvHeadOf(model, head)),
        tokens: Int32Array.from({ length: to - from }, (_, i) => from + i),
      },
    );
    return entriesOf(results);
  });
}

/** The values of all heads [n, nValueHeads * vHeadDim]; in latent attention through the latent and the gain of its norm. */
function valuesOf({ bindings }: Model, { weight }: WeightScope, { layer }: LayerComponent, seen: Value): Value {
  const at = (name: string): string => `blocks.${layer}.attn.${name}`;
  if (!bindings.weights.has(at("wKvLatent"))) return matmul(seen, weight(at("wV")));
  const latent = mul(matmul(seen, weight(at("wKvLatent"))), weight(at("kvLatentNorm.gain")));
  return matmul(latent, weight(at("wV")));
}

/** Lengths of what each row of z [n, headDim] becomes in the residual stream. */
export async function writtenLengths(model: Model, head: LayerComponent, z: Tensor): Promise<FloatArray> {
  const { vHeadDim: headDim } = valueSizes(model, head.layer);
  const results = await model.evaluate(
    (scope) => ({ lengths: norm(written(scope, head, input("z", "float", z.shape), headDim)) }),
    { columns: columnsOf(head, headDim) },
    { z: z.data },
  );
  return (results.get("lengths") as Tensor).data as FloatArray;
}

/** [n, headDim] -> [n, dModel] */
function written({ weight }: WeightScope, { layer }: LayerComponent, values: Value, headDim: number): Value {
  const columns = input("columns", "int", [headDim]);
  return matmulTransposed(values, selectColumns(weight(`blocks.${layer}.attn.wO`), columns));
}

/** Through the gain of the norm after attention, where a family has one. */
function raised(model: Model, scope: WeightScope, head: LayerComponent, values: Value, headDim: number, k: number) {
  const result = written(scope, head, values, headDim);
  const gain = `${postNorm(head.layer, "attn")}.gain`;
  const added = model.bindings.weights.has(gain) ? mul(result, scope.weight(gain)) : result;
  const [logits, tokens] = topK(scope.readout(added), { k });
  return { logits, tokens }; // [n, k]
}

/** Columns of the output projection that belong to a head. */
function columnsOf({ index }: LayerComponent, headDim: number): Int32Array {
  return Int32Array.from({ length: headDim }, (_, i) => index * headDim + i);
}

function entriesOf(results: ReadonlyMap<string, Tensor>): Entry[][] {
  const [logits, tokens] = [results.get("logits") as Tensor, results.get("tokens") as Tensor];
  const [n, k] = logits.shape;
  return Array.from({ length: n }, (_, row) =>
    Array.from({ length: k }, (_, rank) => ({ index: tokens.at(row, rank), value: logits.at(row, rank) })),
  );
}

/** Logits that are computed at once. */
const MAX_LOGITS = 2 ** 24;

async function inChunks<T>(n: number, vocabSize: number, of: (from: number, to: number) => Promise<T[]>): Promise<T[]> {
  const size = Math.max(1, Math.floor(MAX_LOGITS / vocabSize));
  const results: T[] = [];
  for (let from = 0; from < n; from += size) results.push(...(await of(from, Math.min(n, from + size))));
  return results;
}
