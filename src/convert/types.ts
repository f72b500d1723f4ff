/** Which type each tensor of the target has. */

import type { CheckpointFormat } from "../checkpoint/checkpoint.ts";
import { RequestError } from "../errors.ts";
import { blockOf, isBlockFormat, type PlainFormat, tensorSizeBytes } from "../tensor/format.ts";
import { numel } from "../tensor/shape.ts";
import type { TargetTensor } from "./target-tensor.ts";

/** The types that a model can be converted to; those in blocks are GGUF's alone. */
export const CONVERT_TYPES = ["f32", "f16", "bf16", "q8_0", "q4_0"] as const satisfies readonly PlainFormat[];
export type ConvertType = (typeof CONVERT_TYPES)[number];

export interface TypedTensor extends TargetTensor {
  readonly type: PlainFormat;
  readonly sizeBytes: number;
}

export interface TypeChoice {
  readonly tensors: readonly TypedTensor[];
  /** Tensors that are of another type than was asked for, in a sentence each. */
  readonly notes: readonly string[];
}

/** `wanted` undefined: each tensor as the source has it, where the target can. */
export function chooseTypes(
  tensors: readonly TargetTensor[],
  format: CheckpointFormat,
  wanted: ConvertType | undefined,
): TypeChoice {
  if (format === "gguf") return chooseGgufTypes(tensors, wanted);
  if (wanted !== undefined && isBlockFormat(wanted)) {
    const expected = "a folder of safetensors holds f32, f16 or bf16";
    const remedy = "Give a target that ends in .gguf.";
    throw new RequestError("request.option", { path: "convert: type", expected, got: wanted, remedy });
  }
  return {
    tensors: tensors.map((tensor) => {
      const { stored } = tensor;
      return typed(tensor, wanted ?? (stored !== undefined && !isBlockFormat(stored) ? stored : "f32"));
    }),
    notes: [],
  };
}

/** Positions, routers and the biases of experts, which llama.cpp's converter and its quantiser keep in f32. */
const KEPT_IN_F32 = /^position_embd\.weight$|\.ffn_gate_inp(_shexp)?\.weight$|\.bias$/;
const EMBEDDING = "token_embd.weight";
const UNEMBEDDING = "output.weight";

function chooseGgufTypes(tensors: readonly TargetTensor[], wanted: ConvertType | undefined): TypeChoice {
  const unembedding = tensors.some(({ name }) => name === UNEMBEDDING) ? UNEMBEDDING : EMBEDDING;
  const undivided: string[] = [];
  const notes: string[] = [];
  const chosen = tensors.map((tensor) => {
    const { name, shape, stored } = tensor;
    // Vectors are small, and what they multiply is not.
    if (shape.length === 1 || KEPT_IN_F32.test(name)) return typed(tensor, "f32");
    const type = wanted ?? stored ?? "f32";
    if ((shape.at(-1) ?? 0) % blockOf(type).nElements !== 0) {
      undivided.push(name);
      return typed(tensor, "f16");
    }
    if (wanted !== undefined && bitsPerElement(type) < 8 && name === unembedding) {
      notes.push(`${name} is q8_0, since ${type} would cost the unembedding too much; llama.cpp takes Q6_K there`);
      return typed(tensor, "q8_0");
    }
    return typed(tensor, type);
  });
  const [first] = undivided;
  if (first !== undefined) {
    const which = undivided.length === 1 ? `${first} is` : `${first} and ${undivided.length - 1} more are`;
    notes.push(`${which} f16, as in llama.cpp, since their rows are no whole blocks of ${wanted}`);
  }
  return { tensors: chosen, notes };
}

function bitsPerElement(type: PlainFormat): number {
  const { nElements, sizeBytes } = blockOf(type);
  return (8 * sizeBytes) / nElements;
}

function typed(tensor: TargetTensor, type: PlainFormat): TypedTensor {
  return { ...tensor, type, sizeBytes: tensorSizeBytes(tensor.shape, type) ?? 0 };
}

/** The type that most elements of matrices have: what a file's type is called. */
export function commonType(tensors: readonly { readonly shape: readonly number[]; readonly type: PlainFormat }[]) {
  const nElements = new Map<PlainFormat, number>();
  for (const { shape, type } of tensors) {
    if (shape.length > 1) nElements.set(type, (nElements.get(type) ?? 0) + numel(shape));
  }
  const [[type]] = [...nElements].sort((a, b) => b[1] - a[1]);
  return type;
}

/** `general.file_type`: llama.cpp's number for files of mostly this type; undefined where it has several. */
export function ggufFileType(type: PlainFormat): number | undefined {
  return FILE_TYPES[type];
}

/** `LLAMA_FTYPE_*` of `llama.h`. */
const FILE_TYPES: Partial<Record<PlainFormat, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7, bf16: 32 };
