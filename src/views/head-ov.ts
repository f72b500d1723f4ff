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

/** The key and value head that a query head reads. */
export function kvHeadOf({ nHeads, nKvHeads }: Model["config"], head: number): number {
  return Math.floor(head / (nHeads / nKvHeads));
}

/** For each row of values [n, headDim] the `k` tokens whose logits it raises most. */
export async function raisedByValues(
  model: Model,
  head: LayerComponent,
  values: Tensor,
  k: number,
): Promise<Entry[][]> {
  const { headDim, vocabSize } = model.config;
  return inChunks(values.shape[0], vocabSize, async (from, to) => {
    const results = await model.evaluate(
      (scope) => raised(scope, head, input("values", "float", [to - from, headDim]), headDim, k),
      { columns: columnsOf(head, headDim) },
      { values: values.data.subarray(from * headDim, to * headDim) },
    );
    return entriesOf(results);
  });
}

/** As `raisedByValues`, of the values that the first `n` tokens' embeddings alone give, through the gain of the norm. */
export async function raisedByEmbeddings(model: Model, head: LayerComponent, n: number, k: number): Promise<Entry[][]> {
  const { config, bindings } = model;
  const { headDim, nKvHeads, vocabSize } = config;
  const [gain, bias, wV] = ["ln1.gain", "ln1.bias", "attn.wV"].map((name) => `blocks.${head.layer}.${name}`);
  return inChunks(n, vocabSize, async (from, to) => {
    const results = await model.evaluate(
      (scope) => {
        const embeddings = selectRows(scope.weight("embed"), input("tokens", "int", [to - from])); // [n, dModel]
        const centred = bindings.weights.has(bias) ? center(embeddings) : embeddings;
        const seen = bindings.weights.has(gain) ? mul(centred, scope.weight(gain)) : centred;
        const ofHeads = splitHeads(matmul(seen, scope.weight(wV)), { nHeads: nKvHeads, headDim });
        const values = mergeHeads(selectHeads(ofHeads, input("kvHead", "int", [1]))); // [n, headDim]
        return raised(scope, head, values, headDim, k);
      },
      {
        columns: columnsOf(head, headDim),
        kvHead: Int32Array.of(kvHeadOf(config, head.index)),
        tokens: Int32Array.from({ length: to - from }, (_, i) => from + i),
      },
    );
    return entriesOf(results);
  });
}

/** Lengths of what each row of z [n, headDim] becomes in the residual stream. */
export async function writtenLengths(model: Model, head: LayerComponent, z: Tensor): Promise<FloatArray> {
  const { headDim } = model.config;
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

function raised(scope: WeightScope, head: LayerComponent, values: Value, headDim: number, k: number) {
  const [logits, tokens] = topK(scope.readout(written(scope, head, values, headDim)), { k });
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
