/** Writes models of random weights piece by piece, so that none is ever whole in memory, and keeps them for later runs. */
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { encodeGguf, type GgufTensor } from "../src/checkpoint/write-gguf.ts";
import { type StreamedTensor, streamSafetensors } from "../src/checkpoint/write-safetensors.ts";
import type { ComputeDtype } from "../src/tensor/dtype.ts";
import { blockOf, encodeRows, type PlainFormat, tensorSizeBytes } from "../src/tensor/format.ts";
import type { ModelShape, ShapeTensor } from "./shapes.ts";

/** A file's kind and how it stores matrices. */
export const FORMATS = {
  f32: { kind: "gguf", type: "f32" },
  bf16: { kind: "gguf", type: "bf16" },
  f16: { kind: "gguf", type: "f16" },
  q8_0: { kind: "gguf", type: "q8_0" },
  q4_0: { kind: "gguf", type: "q4_0" },
  "safetensors-f32": { kind: "safetensors", type: "f32" },
  "safetensors-bf16": { kind: "safetensors", type: "bf16" },
} as const satisfies Record<string, { readonly kind: "gguf" | "safetensors"; readonly type: PlainFormat }>;

export type FormatName = keyof typeof FORMATS;

/** Elements of one piece; a multiple of every format's block. */
const PIECE_ELEMENTS = 2 ** 18;

/** The path to give to `open`: of a GGUF file, or of a folder. Writes what is not there yet in its full size. */
export async function ensureModel(
  folder: string,
  name: string,
  shape: ModelShape,
  format: FormatName,
  onWrite: (path: string, sizeBytes: number) => void = () => {},
): Promise<string> {
  const { kind, type } = FORMATS[format];
  const isGguf = kind === "gguf";
  const target = path.join(folder, isGguf ? `${name}-${type}.gguf` : `${name}-${type}`);
  const file = isGguf ? target : path.join(target, "model.safetensors");
  await mkdir(path.dirname(file), { recursive: true });
  if (!isGguf) await writeFile(path.join(target, "config.json"), JSON.stringify(shape.config, undefined, 2));
  const encode = () =>
    kind === "gguf"
      ? encodeGguf(shape.metadata, ggufTensors(shape, type))
      : streamSafetensors(safetensorsTensors(shape, type));
  const sizeBytes = await wholeSizeBytes(encode(), shape, kind, type);
  if ((await fileSizeBytes(file)) === sizeBytes) return target;
  onWrite(file, sizeBytes);
  const unfinished = `${file}.${process.pid}.tmp`;
  try {
    const pieces = encode();
    await pipeline(Readable.from(pieces), createWriteStream(unfinished));
    await rename(unfinished, file);
  } finally {
    await rm(unfinished, { force: true });
  }
  return target;
}

/** By its first piece, which is the header, and the tensors' sizes. */
async function wholeSizeBytes(
  pieces: AsyncGenerator<Uint8Array>,
  shape: ModelShape,
  kind: "gguf" | "safetensors",
  type: PlainFormat,
): Promise<number> {
  const alignment = kind === "gguf" ? 32 : 1;
  const aligned = (sizeBytes: number): number => Math.ceil(sizeBytes / alignment) * alignment;
  const header = await pieces.next();
  await pieces.return(undefined);
  const tensors = shape.tensors.map((tensor) => aligned(storedSizeBytes(tensor, kind, type)));
  return aligned(header.value?.length ?? 0) + tensors.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}

/** Undefined where there is no such file. */
function fileSizeBytes(file: string): Promise<number | undefined> {
  return stat(file).then(
    ({ size }) => size,
    () => undefined,
  );
}

function storedType(tensor: ShapeTensor, kind: "gguf" | "safetensors", type: PlainFormat): PlainFormat {
  return kind === "gguf" && tensor.isFloat32InGguf ? "f32" : type;
}

function storedSizeBytes(tensor: ShapeTensor, kind: "gguf" | "safetensors", type: PlainFormat): number {
  return tensorSizeBytes(tensor.shape, storedType(tensor, kind, type)) ?? 0;
}

function ggufTensors(shape: ModelShape, type: PlainFormat): GgufTensor[] {
  const random = new RandomPieces();
  return shape.tensors.map((tensor) => {
    const stored = storedType(tensor, "gguf", type);
    return {
      name: tensor.ggufName,
      shape: tensor.isTransposed ? tensor.shape.toReversed() : tensor.shape,
      type: stored,
      rows: () => random.stored(tensor, stored),
    };
  });
}

function safetensorsTensors({ tensors }: ModelShape, type: ComputeDtype): StreamedTensor[] {
  const random = new RandomPieces();
  return tensors.map((tensor) => ({
    name: tensor.name,
    shape: tensor.shape,
    dtype: type,
    async *bytes() {
      yield* random.stored(tensor, type);
    },
  }));
}

/**
 * Small numbers, so that activations stay finite through all layers. Pieces of one pool, each from another place:
 * speed depends on where the bytes lie and not on what they are, and a billion numbers would take a minute to draw.
 */
class RandomPieces {
  readonly #pool = new Float32Array(2 * PIECE_ELEMENTS);
  readonly #ones = new Float32Array(PIECE_ELEMENTS).fill(1);
  /** By a type's name, whether of ones or not: what takes longest is to round numbers. */
  readonly #encoded = new Map<string, Uint8Array<ArrayBuffer>>();
  #state = 1;

  constructor() {
    for (let i = 0; i < this.#pool.length; i++) this.#pool[i] = (this.#next() / 2 ** 31 - 1) * 0.03;
  }

  *stored({ shape, isGain }: ShapeTensor, type: PlainFormat): Generator<Uint8Array<ArrayBuffer>> {
    const { nElements, sizeBytes } = blockOf(type);
    const bytes = this.#bytes(type, isGain);
    const nBytes = (n: number): number => (n / nElements) * sizeBytes;
    let nLeft = shape.reduce((product, size) => product * size, 1);
    while (nLeft > 0) {
      const n = Math.min(nLeft, PIECE_ELEMENTS);
      const at = isGain ? 0 : nBytes(((this.#next() >>> 8) % (PIECE_ELEMENTS / nElements)) * nElements);
      yield bytes.subarray(at, at + nBytes(n));
      nLeft -= n;
    }
  }

  #bytes(type: PlainFormat, isGain: boolean): Uint8Array<ArrayBuffer> {
    const key = `${type} ${isGain}`;
    const bytes = this.#encoded.get(key) ?? encodeRows(type, isGain ? this.#ones : this.#pool, "random weights");
    this.#encoded.set(key, bytes);
    return bytes;
  }

  /** A linear congruential generator (Numerical Recipes): an integer below 2^32. */
  #next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state;
  }
}
