import type { StepOutput } from "../backends/contract.ts";
import { PointError } from "../errors.ts";
import { type GlassPlan, type PlannedRead, readName } from "../glass/plan.ts";
import type { Ragged } from "../glass/ragged.ts";
import { parseAddress } from "../points/address.ts";
import type { PointCatalog } from "../points/catalog.ts";
import { type Positions, resolvePositions } from "../points/read-spec.ts";
import type { Rows } from "../tape/rows.ts";
import type { FloatArray } from "../tensor/dtype.ts";
import { numel } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { ChangedRows } from "./edit-counts.ts";
import type { EditedRows } from "./edit-inputs.ts";
import { expertRows } from "./expert-rows.ts";
import type { LogitRows } from "./options.ts";
import { spreadPairs } from "./pairs.ts";

/** The part of a step that belongs to one sequence: positions [start, end). */
export interface SequenceRows {
  readonly tokens: readonly number[];
  readonly start: number;
  readonly end: number;
}

/** An edit, as it was written, and how many rows it has changed. */
export interface EditCount extends ChangedRows {
  readonly edit: string;
}

/** Counts of the same edits in several sequences or steps as one each. */
export function sumOfCounts(counts: readonly EditCount[]): EditCount[] {
  const sums = new Map<string, EditCount>();
  for (const count of counts) {
    const { edit, nRows, nNotChosen } = count;
    const before = sums.get(edit);
    const sum = { edit, nRows: nRows + (before?.nRows ?? 0) };
    sums.set(edit, nNotChosen === undefined ? sum : { ...sum, nNotChosen: nNotChosen + (before?.nNotChosen ?? 0) });
  }
  return [...sums.values()];
}

/** A step's outputs as the backend gave them, and where each sequence's part of them is. Lays out only what is asked for. */
export class StepResult {
  readonly plan: GlassPlan;
  readonly sequences: readonly (SequenceRows & Pick<EditedRows, "edits">)[];
  readonly #outputs: ReadonlyMap<string, StepOutput>;
  readonly #rows: Rows;
  readonly #logits: LogitRows;
  readonly #changed: readonly (readonly ChangedRows[])[];
  readonly #catalog: () => PointCatalog;
  /** Where each sequence's rows begin, and how many there are in all as the last entry; by what was selected. */
  readonly #firstRows = new Map<Positions | "logits", readonly number[]>();

  constructor(parts: {
    plan: GlassPlan;
    outputs: ReadonlyMap<string, StepOutput>;
    sequences: readonly (SequenceRows & Pick<EditedRows, "edits">)[];
    rows: Rows;
    logits: LogitRows;
    changed: readonly (readonly ChangedRows[])[];
    catalog: () => PointCatalog;
  }) {
    this.plan = parts.plan;
    this.sequences = parts.sequences;
    this.#outputs = parts.outputs;
    this.#rows = parts.rows;
    this.#logits = parts.logits;
    this.#changed = parts.changed;
    this.#catalog = parts.catalog;
    for (const read of this.plan.reads) this.#checkFired(read);
  }

  get hasLogits(): boolean {
    return this.#outputs.has("logits");
  }

  /** [R, vocabSize] of `nSequences` sequences, one after another. */
  logits(first: number, nSequences: number): Tensor {
    const firstRows = this.#logitRows();
    return rowsOf(this.#output("logits"), firstRows[first], firstRows[first + nSequences]);
  }

  /**
   * The read of a point by one of its names, or of the point of an address with the piece of it that the address means;
   * undefined for a point that was not read.
   */
  find(text: string, before: boolean): { readonly read: PlannedRead; readonly index: readonly number[] } | undefined {
    const { byName } = this.plan;
    const named = byName.get(readName(text, before));
    if (named !== undefined) return { read: named, index: [] };
    const { addresses, positions } = parseAddress(text, this.#catalog());
    const read = byName.get(readName(addresses[0].entry.name, before));
    return read === undefined || addresses.length > 1 || positions !== undefined
      ? undefined
      : { read, index: addresses[0].index };
  }

  /** What a read gave for one sequence. */
  read(read: PlannedRead, sequence: number): Tensor {
    const output = this.#output(read.output);
    if (read.ragged !== undefined) return this.#spread(output, read, read.ragged, sequence);
    if (read.hasAllRows) return this.#ofStep(output, read, sequence);
    const firstRows = this.#rowsOfRead(read);
    const rows = rowsOf(output, firstRows[sequence], firstRows[sequence + 1]);
    const { ofExpert } = read.entry;
    return ofExpert === undefined ? rows : expertRows(rows, this.#chosenIn(read, sequence), ofExpert.expert);
  }

  /** Positions of the rows that a read gave for one sequence. */
  positions(read: PlannedRead, sequence: number): number[] {
    const { ofExpert } = read.entry;
    const first = this.firstPosition(read, sequence);
    const firstRows = this.#rowsOfRead(read);
    const n = firstRows[sequence + 1] - firstRows[sequence];
    if (ofExpert === undefined) return Array.from({ length: n }, (_, i) => first + i);
    const rows = this.#chosenIn(read, sequence);
    return Array.from({ length: n }, (_, i) => i)
      .filter((i) => rows.row(i).data.includes(ofExpert.expert))
      .map((i) => first + i);
  }

  /** Position of the first row that a read gave for one sequence. */
  firstPosition({ positions, entry }: PlannedRead, sequence: number): number {
    const { start, end } = this.sequences[sequence];
    if (entry.shape[0] === "R") return this.#logits === "last" ? end - 1 : start;
    return resolvePositions(positions, start, end, entry.name)[0];
  }

  /** How many rows a read gave, over `nSequences` sequences. */
  nFired(read: PlannedRead, first: number, nSequences: number): number {
    if (read.entry.ofExpert !== undefined) {
      const ofSequences = Array.from({ length: nSequences }, (_, i) => this.positions(read, first + i).length);
      return ofSequences.reduce((sum, n) => sum + n, 0);
    }
    const firstRows = this.#rowsOfRead(read);
    return firstRows[first + nSequences] - firstRows[first];
  }

  /** What each edit of one sequence has changed, in the order of the edits. */
  edited(sequence: number): EditCount[] {
    return this.sequences[sequence].edits.flatMap((edit, slot) =>
      edit === undefined || edit.isContinued ? [] : [{ edit: edit.text, ...this.#changed[sequence][slot] }],
    );
  }

  /** A result of the plan's own, which belongs to no point. */
  derived(name: string): Tensor {
    const { shape, data } = this.#output(name);
    return new Tensor(shape, data);
  }

  /** Every read must give exactly the rows that it was to give. */
  #checkFired(read: PlannedRead): void {
    const { shape } = this.#output(read.output);
    const { ragged, hasAllRows } = read;
    const nRows = hasAllRows ? this.#rows.nRows : this.#rowsOfRead(read).at(-1);
    const expected = ragged === undefined ? nRows : this.#nPairs(read, ragged);
    const got = shape[ragged === undefined ? 0 : 1];
    if (got === expected) return;
    throw new PointError("point.firings", {
      path: read.entry.name,
      expected: `the read must give ${expected} ${ragged === undefined ? "rows" : "pairs of a row and a key"}`,
      got: `${got}`,
    });
  }

  #output(name: string): StepOutput {
    const output = this.#outputs.get(name);
    if (output === undefined) throw new Error(`the backend gave no ${name}`);
    return output;
  }

  #logitRows(): readonly number[] {
    return this.#firstRowsOf("logits", () =>
      this.sequences.map(({ start, end }) => (this.#logits === "last" ? 1 : end - start)),
    );
  }

  #rowsOfRead({ entry, positions }: PlannedRead): readonly number[] {
    if (entry.shape[0] === "R") return this.#logitRows();
    return this.#firstRowsOf(positions, () =>
      this.sequences.map(({ start, end }) => {
        const [from, to] = resolvePositions(positions, start, end, entry.name);
        return to - from;
      }),
    );
  }

  #firstRowsOf(selected: Positions | "logits", count: () => readonly number[]): readonly number[] {
    const known = this.#firstRows.get(selected);
    if (known !== undefined) return known;
    const firstRows = [0];
    for (const n of count()) firstRows.push((firstRows.at(-1) ?? 0) + n);
    this.#firstRows.set(selected, firstRows);
    return firstRows;
  }

  #nPairs(read: PlannedRead, { window }: Ragged): number {
    const { offset } = this.#rows.visible(window);
    if (read.positions === "all") return offset[this.#rows.nRows];
    return this.sequences.reduce((sum, _, s) => {
      const { firstRow, nRows } = this.#stepRows(read, s);
      return sum + offset[firstRow + nRows] - offset[firstRow];
    }, 0);
  }

  /** The selected positions of a sequence as rows of the step. */
  #stepRows({ positions, entry }: PlannedRead, sequence: number): { from: number; firstRow: number; nRows: number } {
    const { start, end } = this.sequences[sequence];
    const [from, to] = resolvePositions(positions, start, end, entry.name);
    return { from, firstRow: this.#rows.firstRows[sequence] + from - start, nRows: to - from };
  }

  /** The selected positions of a sequence, of an output that has all rows of the step. */
  #ofStep(output: StepOutput, read: PlannedRead, sequence: number): Tensor {
    const { firstRow, nRows } = this.#stepRows(read, sequence);
    return rowsOf(output, firstRow, firstRow + nRows);
  }

  /** The experts that each row which a read is about chose, int [n, nExpertsPerToken]. */
  #chosenIn(read: PlannedRead, sequence: number): Tensor {
    return this.#ofStep(this.#output(read.chosen as string), read, sequence);
  }

  /** A value over visible (row, key) pairs as a dense [nHeads, T, S]. */
  #spread({ shape, data }: StepOutput, read: PlannedRead, { window }: Ragged, sequence: number): Tensor {
    const [nHeads = 0, nPairs = 0] = shape;
    const visible = this.#rows.visible(window);
    let firstPair = 0;
    for (let s = 0; s < sequence; s++) {
      const before = this.#stepRows(read, s);
      firstPair += visible.offset[before.firstRow + before.nRows] - visible.offset[before.firstRow];
    }
    const rows = { ...this.#stepRows(read, sequence), firstPair, nHeads, nPairs };
    return spreadPairs(data as FloatArray, rows, visible, read.entry.row.invisible ?? 0);
  }
}

/** Rows [from, to) of an output, in memory of their own where they are not all of it. */
function rowsOf({ shape, data }: StepOutput, from: number, to: number): Tensor {
  if (from === 0 && to === shape[0]) return new Tensor(shape, data);
  const rest = shape.slice(1);
  const width = numel(rest);
  return new Tensor([to - from, ...rest], data.slice(from * width, to * width));
}
