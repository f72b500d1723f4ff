/** A two-layer GPT-2 whose heads are set by hand: each is an exact head of a known kind. */

import { encodeSafetensors, type NamedTensor } from "../../src/checkpoint/write-safetensors.ts";
import { type Model, openModel, reference } from "../../src/index.ts";
import { MemoryFolder, utf8 } from "../checkpoint-files.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

const N_TOKENS = 8;
const N_POSITIONS = 12;
const D_MODEL = 2 * (N_TOKENS + N_POSITIONS + N_TOKENS);
const HEAD_DIM = D_MODEL / 2;

/**
 * Each token, position and token before is a pair of dimensions, +1 and −1: so that every residual stream has mean 0 and
 * the same length, and LayerNorm does no more than to scale it.
 */
const plus = {
  token: (i: number) => 2 * i,
  position: (i: number) => 2 * (N_TOKENS + i),
  previous: (i: number) => 2 * (N_TOKENS + N_POSITIONS + i),
};

/** So large that all but one share of a softmax vanish in float32. */
const SHARP = 20;

class Matrix {
  readonly shape: readonly [number, number];
  readonly data: Float32Array;

  constructor(nRows: number, nColumns: number) {
    this.shape = [nRows, nColumns];
    this.data = new Float32Array(nRows * nColumns);
  }

  set(row: number, column: number, value: number): void {
    this.data[row * this.shape[1] + column] = value;
  }

  /** A row that writes a pair of dimensions. */
  setPair(row: number, column: number, value: number): void {
    this.set(row, column, value);
    this.set(row, column + 1, -value);
  }
}

const tokens = Array.from({ length: N_TOKENS }, (_, i) => i);
const positions = Array.from({ length: N_POSITIONS }, (_, i) => i);
const query = (head: number, i: number): number => head * HEAD_DIM + i;
const key = (head: number, i: number): number => D_MODEL + query(head, i);
const value = (head: number, i: number): number => 2 * D_MODEL + query(head, i);

/** L0.H0 looks at the token before and notes which one it was; L0.H1 looks at the row's own token, wherever it stands. */
function firstLayer(qkv: Matrix, out: Matrix): void {
  for (const t of positions.slice(1)) qkv.set(plus.position(t), query(0, t - 1), SHARP);
  for (const t of positions) qkv.set(plus.position(t), key(0, t), SHARP);
  for (const i of tokens) {
    qkv.set(plus.token(i), value(0, i), 1);
    out.setPair(query(0, i), plus.previous(i), 0.25);
    qkv.set(plus.token(i), query(1, i), SHARP);
    qkv.set(plus.token(i), key(1, i), SHARP);
  }
}

/** L1.H0 looks for what came after its own token, and copies it; L1.H1 looks everywhere alike. */
function secondLayer(qkv: Matrix, out: Matrix): void {
  for (const i of tokens) {
    qkv.set(plus.token(i), query(0, i), SHARP);
    qkv.set(plus.previous(i), key(0, i), SHARP);
    qkv.set(plus.token(i), value(0, i), 1);
    out.setPair(query(0, i), plus.token(i), 1);
  }
}

export function openCircuitModel(): Promise<Model> {
  const embed = new Matrix(N_TOKENS, D_MODEL);
  for (const i of tokens) embed.setPair(i, plus.token(i), 1);
  const posEmbed = new Matrix(N_POSITIONS, D_MODEL);
  for (const t of positions) posEmbed.setPair(t, plus.position(t), 1);
  const weights: NamedTensor[] = [
    { name: "transformer.wte.weight", ...embed },
    { name: "transformer.wpe.weight", ...posEmbed },
    ...norm("transformer.ln_f"),
    ...[firstLayer, secondLayer].flatMap((fill, layer) => block(`transformer.h.${layer}`, fill)),
  ];
  const config = {
    ...{ model_type: "gpt2", vocab_size: N_TOKENS, n_positions: N_POSITIONS, n_embd: D_MODEL, n_inner: 1 },
    ...{ n_layer: 2, n_head: 2, layer_norm_epsilon: 1e-5, activation_function: "gelu_new" },
  };
  const files = { "config.json": utf8(JSON.stringify(config)), "model.safetensors": encodeSafetensors(weights) };
  return openModel({ folder: new MemoryFolder(files) }, host, [reference]);
}

function block(name: string, fill: (qkv: Matrix, out: Matrix) => void): NamedTensor[] {
  const [qkv, out] = [new Matrix(D_MODEL, 3 * D_MODEL), new Matrix(D_MODEL, D_MODEL)];
  fill(qkv, out);
  const linear = (part: string, { shape, data }: Matrix): NamedTensor[] => [
    { name: `${name}.${part}.weight`, shape, data },
    { name: `${name}.${part}.bias`, shape: [shape[1]], data: new Float32Array(shape[1]) },
  ];
  return [
    ...norm(`${name}.ln_1`),
    ...norm(`${name}.ln_2`),
    ...linear("attn.c_attn", qkv),
    ...linear("attn.c_proj", out),
    // The MLP does nothing.
    ...linear("mlp.c_fc", new Matrix(D_MODEL, 1)),
    ...linear("mlp.c_proj", new Matrix(1, D_MODEL)),
  ];
}

function norm(name: string): NamedTensor[] {
  return [
    { name: `${name}.weight`, shape: [D_MODEL], data: new Float32Array(D_MODEL).fill(1) },
    { name: `${name}.bias`, shape: [D_MODEL], data: new Float32Array(D_MODEL) },
  ];
}
