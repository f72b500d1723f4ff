import { parseSymbol, type Shape } from "../tape/value.ts";

/** What an operand is; the numbers of native/src/frame.h. */
export const OperandKind = {
  slot: 0,
  weight: 1,
  constant: 2,
  ints: 3,
  cache: 4,
  rows: 5,
  output: 6,
  floats: 7,
} as const;

/** A size that is `coefficient` times a symbol's value, or just the coefficient where `symbol` is −1. */
export interface Size {
  readonly coefficient: number;
  readonly symbol: number;
}

const MAGIC = 0x676f6c67;
const VERSION = 2;
/** Kind, index, elements of a row, and the size of an input. */
const OPERAND_WORDS = 5;
const HEADER_WORDS = 8;

interface Sections {
  readonly symbols: readonly number[];
  readonly slots: readonly number[];
  readonly windows: readonly number[];
  readonly operands: readonly number[];
  readonly instructions: readonly number[];
}

/** Puts a program's sections behind a header that counts them. */
export function encode({ symbols, slots, windows, operands, instructions }: Sections): {
  words: Int32Array;
  firstInstruction: number;
} {
  const header = [
    MAGIC,
    VERSION,
    symbols.length / 3,
    slots.length / 2,
    windows.length,
    operands.length / OPERAND_WORDS,
    instructions.length,
    0,
  ];
  const tables = [...symbols, ...slots, ...windows, ...operands];
  return {
    words: Int32Array.from([...header, ...tables, ...instructions]),
    firstInstruction: HEADER_WORDS + tables.length,
  };
}

/** The symbolic sizes of a program, numbered in the order in which they are met. */
export class SymbolTable {
  readonly #symbols: string[] = [];

  /** A shape's number of elements; a shape has at most one symbolic size. */
  sizeOf(shape: Shape): Size {
    let [coefficient, symbol] = [1, -1];
    for (const dim of shape) {
      if (typeof dim === "number") coefficient *= dim;
      else if (symbol < 0) symbol = this.#number(dim);
      else throw new Error(`a buffer grows with one size, not with ${shape.join(", ")}`);
    }
    return { coefficient, symbol };
  }

  /** [kind, a, b] for each symbol; `intIndex` numbers the selection inputs. */
  words(intIndex: (name: string) => number): number[] {
    return this.#symbols.flatMap((text) => {
      const symbol = parseSymbol(text);
      if (symbol.kind === "rows") return [0, 0, 0];
      if (symbol.kind === "selection") return [1, intIndex(symbol.selection), 0];
      return [2, symbol.window ?? 0, symbol.selection === undefined ? -1 : intIndex(symbol.selection)];
    });
  }

  /** Every window under which keys are visible, 0 for none. */
  windows(): number[] {
    const windows = this.#symbols.flatMap((text) => {
      const symbol = parseSymbol(text);
      return symbol.kind === "pairs" ? [symbol.window ?? 0] : [];
    });
    return [...new Set(windows)];
  }

  #number(symbol: string): number {
    const known = this.#symbols.indexOf(symbol);
    return known >= 0 ? known : this.#symbols.push(symbol) - 1;
  }
}
