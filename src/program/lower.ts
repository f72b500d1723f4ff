import type { Op } from "../tape/op.ts";
import { bindDims, type Dims } from "../tape/signature.ts";
import type { Tape } from "../tape/tape.ts";
import { isLeaf, type KvType, type Leaf, type Node, pairsSymbol, type Shape, type Value } from "../tape/value.ts";
import { numel } from "../tensor/shape.ts";
import { layoutOf } from "./layout.ts";
import { OPCODES } from "./opcodes.ts";
import { planSlots } from "./slots.ts";
import { encode, OperandKind, type Size, SymbolTable } from "./words.ts";

/** A weight that a program reads, as a stored matrix or as plain numbers. */
export interface WeightUse {
  readonly name: string;
  readonly isMatrix: boolean;
  /** Elements of one row, as the op that reads it sees rows. */
  readonly nCols: number;
}

/** A cache with its [nKvHeads, headDim, vHeadDim]. */
export interface CacheUse {
  readonly name: string;
  readonly shape: Shape;
  readonly type: KvType;
}

/** A tape as a flat instruction stream, with what its operands stand for; see `native/src/program.h`. */
export interface LoweredProgram {
  readonly words: Int32Array;
  /** Where the instructions begin in `words`. */
  readonly firstInstruction: number;
  readonly weights: readonly WeightUse[];
  readonly constants: readonly Float64Array[];
  readonly ints: readonly string[];
  readonly floats: readonly string[];
  readonly caches: readonly CacheUse[];
  /** The values that are handed out, each once. */
  readonly outputs: readonly Value[];
}

/** An instruction before its operands have places. */
interface Instruction {
  readonly node: Node;
  /** Inputs, outputs and taps; −1 where absent. */
  readonly operands: readonly number[];
  /** Places, of the operands that are not absent. */
  readonly reads: readonly number[];
  readonly writes: readonly number[];
}

/** Everything that an instruction can refer to by number. */
interface Operand {
  readonly value: Value;
  readonly isMatrix: boolean;
  /** How many of its axes count rows; the others make up one row. */
  readonly nRowAxes: number;
  /** The operand in whose place it lies: another where the same numbers are taken in rows of another length. */
  readonly place: number;
}

/**
 * Lowers a verified tape whose every op has an opcode. Numbers of operands follow from the order of the nodes alone:
 * what is appended to a tape (reads) changes no earlier instruction, taps aside, and names change nothing at all.
 */
export function lower(tape: Tape): LoweredProgram {
  const operands: Operand[] = [];
  const numbers = new Map<Value, number[]>();
  const numberOf = (value: Value, isMatrix = false, nRowAxes = 1): number => {
    const asWeight = isMatrix && isLeaf(value.from) && value.from.kind === "weight";
    const known = numbers.get(value) ?? [];
    numbers.set(value, known);
    const alike = known.filter((number) => operands[number].isMatrix === asWeight);
    const found = alike.find((number) => operands[number].nRowAxes === nRowAxes);
    if (found !== undefined) return found;
    const number = operands.length;
    operands.push({ value, isMatrix: asWeight, nRowAxes, place: alike.length > 0 ? operands[alike[0]].place : number });
    known.push(number);
    return number;
  };
  const alias = (value: Value, number: number): void => {
    numbers.set(value, [number]);
  };
  const placesOf = (numbers: readonly number[]): number[] =>
    numbers.filter((n) => n >= 0).map((n) => operands[n].place);

  const instructions: Instruction[] = [];
  for (const node of tape.nodes) {
    const { op } = node;
    if (op.kind === "primitive" && op.movesNoData) {
      alias(node.outputs[0], numberOf(node.inputs[0] as Value));
      continue;
    }
    const inputs = node.inputs.map((value, i) => {
      if (value === undefined) return -1;
      const { name, dims = [] } = op.signature.inputs[i];
      const isMatrix = op.matrices.includes(name);
      return numberOf(value, isMatrix, isMatrix ? dims.length - 1 : 1);
    });
    const outputs = node.outputs.map((value) => {
      if (value.type === "cache") alias(value, inputs[node.inputs.findIndex((input) => input?.type === "cache")]);
      return numberOf(value);
    });
    instructions.push({ node, operands: [...inputs, ...outputs], reads: placesOf(inputs), writes: placesOf(outputs) });
  }
  // Taps come after all nodes, so that asking for one renumbers nothing.
  const tapped = instructions.map((instruction): Instruction => {
    const { op, taps } = instruction.node;
    const numbers = layoutOf(op).taps.map((name) => {
      const value = taps.get(name);
      return value === undefined ? -1 : numberOf(value);
    });
    return {
      ...instruction,
      operands: [...instruction.operands, ...numbers],
      writes: [...instruction.writes, ...placesOf(numbers)],
    };
  });
  return assemble(tape, operands, tapped, numberOf);
}

function assemble(
  tape: Tape,
  operands: readonly Operand[],
  instructions: readonly Instruction[],
  numberOf: (value: Value) => number,
): LoweredProgram {
  const outputs: Value[] = [];
  const outputIndex = new Map<number, number>();
  for (const value of tape.outputs.values()) {
    const { place } = operands[numberOf(value)];
    if (!outputIndex.has(place)) outputIndex.set(place, outputs.push(value) - 1);
  }
  const symbols = new SymbolTable();
  const isArena = (place: number): boolean => !isLeaf(operands[place].value.from) && !outputIndex.has(place);
  const sizes = operands.map(({ value }) => symbols.sizeOf(value.shape));
  const { slotOf, slots } = planSlots(
    instructions.map(({ reads, writes }) => ({ reads: reads.filter(isArena), writes: writes.filter(isArena) })),
    sizes,
  );

  const tables = new LeafTables();
  const operandWords = operands.map(({ value: { shape }, isMatrix, nRowAxes, place }): number[] => {
    const row = shape.slice(nRowAxes);
    const nCols = row.every((dim) => typeof dim === "number") ? numel(row) : 0;
    const { value } = operands[place];
    const output = outputIndex.get(place);
    if (isLeaf(value.from))
      return [...tables.place(value, value.from, isMatrix, nCols), nCols, ...inputSize(value, sizes[place])];
    if (output !== undefined) return [OperandKind.output, output, nCols, ...NO_SIZE];
    return [OperandKind.slot, slotOf.get(place) ?? 0, nCols, ...NO_SIZE];
  });
  const instructionWords = instructions.flatMap(({ node, operands: numbers }) => encodeNode(node, numbers, symbols));
  for (const value of outputs) symbols.sizeOf(value.shape);
  const { words, firstInstruction } = encode({
    symbols: symbols.words((name) => tables.ints.index(name)),
    slots: slots.flatMap(({ coefficient, symbol }) => [coefficient, symbol]),
    windows: symbols.windows(),
    operands: operandWords.flat(),
    instructions: instructionWords,
  });
  return {
    words,
    firstInstruction,
    weights: tables.weights,
    constants: tables.constants,
    ints: tables.ints.names,
    floats: tables.floats.names,
    caches: tables.caches,
    outputs,
  };
}

const NO_SIZE = [0, -1] as const;

/** Steps are checked to bring as much; a weight may have more elements than a word can count. */
function inputSize({ from }: Value, { coefficient, symbol }: Size): readonly [number, number] {
  return isLeaf(from) && from.kind === "input" ? [coefficient, symbol] : NO_SIZE;
}

function encodeNode({ op, inputs, attrs, scope }: Node, operands: readonly number[], symbols: SymbolTable): number[] {
  const layout = layoutOf(op);
  const bound = bindDims(op.signature, inputs, attrs, scope);
  const sizes = layout.dims.map((name) => symbols.sizeOf(dimsNamed(name, bound)));
  const numbers = layout.attrs.map(([name, kind]) => attrNumber(attrs[name], kind));
  // Kernels over keys look up their window's visible keys, whether or not a size depends on them.
  if ("window" in op.attrs) symbols.sizeOf([pairsSymbol(attrs.window as number | undefined)]);
  return [
    opcodeOf(op),
    layout.nWords,
    ...operands,
    ...sizes.flatMap(({ coefficient, symbol }: Size) => [coefficient, symbol]),
    ...new Int32Array(Float64Array.from(numbers).buffer),
  ];
}

function dimsNamed(name: string, { single, lists }: Dims): Shape {
  if (name === "rest") return lists.get("...") ?? [];
  if (name === "lead") return lists.get("*") ?? [];
  // A size that only absent inputs have.
  return [single.get(name) ?? 1];
}

function attrNumber(value: number | string | undefined, kind: Op["attrs"][string]): number {
  return typeof value === "string" ? (kind as readonly string[]).indexOf(value) : (value ?? 0);
}

function opcodeOf(op: Op): number {
  const opcode = OPCODES[op.name];
  if (opcode === undefined) throw new Error(`${op.name} has no opcode`);
  return opcode;
}

/** Gives each leaf its place in the table of its kind. */
class LeafTables {
  readonly weights: WeightUse[] = [];
  readonly constants: Float64Array[] = [];
  readonly caches: CacheUse[] = [];
  readonly ints = new NameTable();
  readonly floats = new NameTable();

  place(value: Value, leaf: Leaf, isMatrix: boolean, nCols: number): [kind: number, index: number] {
    if (value.type === "rows") return [OperandKind.rows, 0];
    switch (leaf.kind) {
      case "weight":
        return [OperandKind.weight, this.weights.push({ name: leaf.name, isMatrix, nCols }) - 1];
      case "constant":
        return [OperandKind.constant, this.constants.push(leaf.data) - 1];
      case "cache":
        return [OperandKind.cache, this.caches.push({ name: leaf.name, shape: value.shape, type: leaf.type }) - 1];
      case "input":
        if (value.type === "float") return [OperandKind.floats, this.floats.index(leaf.name)];
        return [OperandKind.ints, this.ints.index(leaf.name)];
    }
  }
}

class NameTable {
  readonly names: string[] = [];

  index(name: string): number {
    const known = this.names.indexOf(name);
    return known >= 0 ? known : this.names.push(name) - 1;
  }
}
