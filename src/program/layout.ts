import type { AttrKind, Op } from "../tape/op.ts";

/**
 * How one op's instruction is laid out, from its signature alone; the compiler of tapes and the generated decoders of
 * the native interpreter both follow it. In 32-bit words:
 *
 *     opcode, number of words,
 *     one operand for each input, output and tap (−1: absent),
 *     two for each size: coefficient and symbol (symbol −1: the size is the coefficient),
 *     two for each attribute: a float64.
 */
export interface InstructionLayout {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly taps: readonly string[];
  /** Sizes by the signature's names, without those that are attributes; `rest` is `...`, `lead` is `*`. */
  readonly dims: readonly string[];
  readonly attrs: readonly (readonly [name: string, kind: AttrKind])[];
  readonly nWords: number;
}

export function layoutOf(op: Op): InstructionLayout {
  const { inputs, outputs } = op.signature;
  const written = [...inputs, ...outputs].flatMap(({ dims }) => dims ?? []);
  const names = written.flatMap((dim) => (dim === "*" ? ["lead"] : dim === "..." ? ["rest"] : dim.split("*")));
  const dims = [...new Set(names)].filter((name) => !/^\d+$/.test(name) && !(name in op.attrs));
  const attrs = Object.entries(op.attrs);
  const taps = op.kind === "composite" ? op.innerPoints : [];
  const nOperands = inputs.length + outputs.length + taps.length;
  return {
    inputs: inputs.map(({ name }) => name),
    outputs: outputs.map(({ name }) => name),
    taps,
    dims,
    attrs,
    nWords: 2 + nOperands + 2 * dims.length + 2 * attrs.length,
  };
}
