/**
 * Models in several GGUF files, as llama.cpp's gguf-split and its converter write them: `{model}-00001-of-00003.gguf` and
 * so on. Each part says which one it is, counted from 0, of how many, and how many tensors they have together; the first
 * has the model's metadata, and perhaps no tensors.
 */
import { CheckpointError, type ErrorCode } from "../errors.ts";
import { quote, tensorPath } from "./checkpoint.ts";
import { type GgufFile, MAX_ENTRIES } from "./gguf-header.ts";

const INDEX_KEY = "split.no";
const COUNT_KEY = "split.count";
const TENSORS_KEY = "split.tensors.count";

const SUFFIX = /\.gguf$/i;
const PART_NAME = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/;

const REFETCH = "The parts must be of one model: download them again together.";

/** What a part says about itself and the others. */
export interface Split {
  readonly index: number;
  readonly nParts: number;
  /** In all parts. */
  readonly nTensors: number;
}

/** Undefined for a whole model; one that was put together again may say that it has 0 parts. */
export function splitOf(file: GgufFile): Split | undefined {
  const nParts = file.values.has(COUNT_KEY) ? readCount(file, COUNT_KEY, "u16") : 0;
  if (nParts <= 1) return undefined;
  const nTensors = readCount(file, TENSORS_KEY, "i32");
  if (nTensors > MAX_ENTRIES) {
    throw refuse("checkpoint.header", file.source.name, `${TENSORS_KEY} must be at most ${MAX_ENTRIES}`, `${nTensors}`);
  }
  return { index: readCount(file, INDEX_KEY, "u16"), nParts, nTensors };
}

/** Names of all parts in their order, after that of one of them. */
export function namesOfParts(file: GgufFile, { index, nParts }: Split): string[] {
  const [, model = "", ...numbers] = PART_NAME.exec(file.file) ?? [];
  if (Number(numbers[0]) === index + 1 && Number(numbers[1]) === nParts) {
    return Array.from({ length: nParts }, (_, i) => partName(model, i, nParts));
  }
  const expected = `a part must be named like ${quote(partName("model", index, nParts))}, since that is what it says it is`;
  throw refuse("checkpoint.missing", file.source.name, expected, quote(file.file));
}

/** The parts of one model, added in their order; refuses those that do not belong together. Keeps the first one's metadata. */
export class Parts {
  readonly #split: Split;
  readonly #files: GgufFile[] = [];
  readonly #foundIn = new Map<string, string>();

  constructor(split: Split) {
    this.#split = split;
  }

  add(part: GgufFile): void {
    const expected = { ...this.#split, index: this.#files.length };
    const split = splitOf(part);
    if (split === undefined || spell(split) !== spell(expected)) {
      const got = split === undefined ? "a whole model" : spell(split);
      throw refuse("checkpoint.header", part.source.name, `it must be ${spell(expected)}`, got);
    }
    for (const { name } of part.tensors) {
      const other = this.#foundIn.get(name);
      const path = tensorPath(part.source.name, name);
      if (other !== undefined) {
        throw refuse("checkpoint.tensor", path, "a tensor must be in one part only", `it also in ${quote(other)}`);
      }
      this.#foundIn.set(name, part.file);
    }
    this.#files.push(expected.index === 0 ? part : { ...part, values: new Map(), metadata: {} });
    if (this.#foundIn.size > this.#split.nTensors) throw this.#wrongTotal();
  }

  /** All of them, once the last one has been added. */
  whole(): GgufFile[] {
    if (this.#foundIn.size !== this.#split.nTensors) throw this.#wrongTotal();
    return this.#files;
  }

  #wrongTotal(): CheckpointError {
    const { nParts, nTensors } = this.#split;
    const expected = `all parts together must hold the ${nTensors} tensors of ${TENSORS_KEY}`;
    const got = `${this.#foundIn.size} in ${this.#files.length} of ${nParts} parts`;
    return refuse("checkpoint.header", this.#files[0].source.name, expected, got);
  }
}

function spell({ index, nParts, nTensors }: Split): string {
  return `part ${index + 1} of ${nParts}, with ${nTensors} tensors in all`;
}

/** One file name for each GGUF model among these names, in their order: of the parts of one model the first that is there. */
export function modelsOf(names: readonly string[]): string[] {
  const files = new Map<string, string>();
  for (const name of names.filter((name) => SUFFIX.test(name)).sort()) {
    const model = name.replace(PART_NAME, "$1-of-$3");
    if (!files.has(model)) files.set(model, name);
  }
  return [...files.values()];
}

function partName(model: string, index: number, nParts: number): string {
  const digits = (n: number) => String(n).padStart(5, "0");
  return `${model}-${digits(index + 1)}-of-${digits(nParts)}.gguf`;
}

function readCount({ source, values }: GgufFile, key: string, type: string): number {
  const entry = values.get(key);
  if (entry?.type === type && typeof entry.value === "number" && entry.value >= 0) return entry.value;
  const got = entry === undefined ? "none" : `${quote(entry.value)} in ${entry.type}`;
  throw refuse("checkpoint.header", `${source.name}: ${key}`, `a split model must have this number, in ${type}`, got);
}

function refuse(code: ErrorCode, path: string, expected: string, got: string): CheckpointError {
  return new CheckpointError(code, { path, expected, got, remedy: REFETCH });
}
