import type { PointError } from "../errors.ts";
import type { Op } from "../tape/op.ts";
import { expand, tap } from "../tape/rewrite.ts";
import type { Tape } from "../tape/tape.ts";
import type { Dim, Shape, Value } from "../tape/value.ts";
import { parseAddress } from "./address.ts";
import { type Alias, type Aliases, aliasesOf } from "./aliases.ts";
import { derivePoint, sourcesOf } from "./derive.ts";
import { type ExpertOf, ExpertParts } from "./expert-parts.ts";
import { atLayer } from "./names.ts";
import { POINTS, type PointRow } from "./registry.ts";
import { unknownPoint } from "./unknown-point.ts";

/** One point of one model. */
export interface Point {
  readonly name: string;
  /**
   * Sizes; T is the number of tokens of a sequence, S its keys, R the rows whose logits are wanted, n the tokens of it
   * that went to an expert.
   */
  readonly shape: Shape;
  /** float: real numbers. int: whole numbers, such as which experts were chosen. */
  readonly type: "float" | "int";
  readonly formula: string;
  readonly aliases: readonly string[];
  /** stored: a value that a run computes anyway. recomputed: one that exists only when it is read. */
  readonly availability: "stored" | "recomputed";
  readonly writable: boolean;
}

/** A point with what it takes to read it. */
export interface CatalogEntry extends Point {
  /** Of a part of one expert that of the point that holds it. */
  readonly row: PointRow;
  readonly layer: number | undefined;
  /** Of a part of one expert, such as `blocks.5.experts.17.post`. */
  readonly ofExpert?: ExpertOf;
}

/** What a backend runs itself, and what it can store on the side. */
interface Kernels {
  supports(op: Op): boolean;
  taps(op: Op): readonly string[];
}

/** All points of a model, in the order in which they are computed. */
export class PointCatalog {
  readonly entries: readonly CatalogEntry[];
  readonly #byName = new Map<string, CatalogEntry>();
  readonly #experts: ExpertParts;
  readonly #unknown: (name: string, path: string) => PointError;

  /** `absent`: points of the vocabulary that the family lacks, with the reason. */
  constructor(tape: Tape, nLayers: number, absent: Readonly<Record<string, string>>, kernels: Kernels) {
    const full = expand(tape);
    const run = tap(
      expand(tape, (node) => !kernels.supports(node.op)),
      (node) => kernels.taps(node.op),
    );
    const values = new Map<string, Value>();
    const all = instances(nLayers).map(({ row, layer }) => ({ row: rowIn(full, row, layer), layer }));
    for (const { row, layer } of all) {
      const name = atLayer(row.name, layer);
      const value = row.derive === undefined ? full.points.get(name) : derivedValue(row, layer, full);
      if (value !== undefined) values.set(name, value);
    }
    this.entries = all.flatMap(({ row, layer }): CatalogEntry[] => {
      const name = atLayer(row.name, layer);
      const value = values.get(name);
      if (value === undefined) return [];
      const [shape, type] = [publicShape(value.shape), value.type === "int" ? "int" : "float"] as const;
      const aliases = namesAt(row.aliases, layer, (point) => values.has(point));
      const availability = run.points.has(name) ? "stored" : "recomputed";
      const { formula, derive } = row;
      const writable = derive === undefined && type === "float";
      return [{ name, shape, type, formula, aliases, availability, writable, row, layer }];
    });
    for (const entry of this.entries) {
      for (const name of [entry.name, ...entry.aliases]) this.#byName.set(name, entry);
    }
    this.#experts = new ExpertParts(this.entries, (part, layer) =>
      namesAt(aliasesOf(part), layer, (point) => values.has(point)),
    );
    this.#unknown = (name, path) => unknownPoint(name, path, { names: this.#byName, nLayers, absent });
  }

  /** The point of that name, in golgi's spelling or another tool's; `path` is how it was written, for the error. */
  get(name: string, path = name): CatalogEntry {
    const entry = this.#byName.get(name) ?? this.#experts.get(name, path);
    if (entry === undefined) throw this.#unknown(name, path);
    return entry;
  }

  /** Whether a point has that name, in golgi's spelling or another tool's. */
  has(name: string): boolean {
    return this.#byName.has(name) || this.#experts.has(name);
  }

  /** All points that an address reaches into: names, globs, and components such as `L5.H3`. */
  match(address: string): CatalogEntry[] {
    return parseAddress(address, this).addresses.map(({ entry }) => entry);
  }

  /**
   * All points that a name or glob stands for: `*` is anything within one part of a name, `**` anything. A glob is of
   * golgi's names where it fits any of them, otherwise of another tool's.
   */
  find(pattern: string, path = pattern): CatalogEntry[] {
    if (!pattern.includes("*")) return [this.get(pattern, path)];
    const regex = globRegex(pattern);
    const own = this.entries.filter(({ name }) => regex.test(name));
    if (own.length > 0) return own;
    const found = this.entries.filter(({ aliases }) => aliases.some((alias) => regex.test(alias)));
    if (found.length > 0) return found;
    const parts = this.#experts.find(pattern, globRegex, path);
    if (parts.length === 0) throw this.#unknown(pattern, path);
    return parts;
  }
}

interface Instance {
  readonly row: PointRow;
  readonly layer: number | undefined;
}

/** Every row of the vocabulary in a model of so many layers: what comes before the blocks, block by block, the rest. */
function instances(nLayers: number): Instance[] {
  const isBlock = ({ name }: PointRow): boolean => name.includes("{i}");
  const [first, end] = [POINTS.findIndex(isBlock), POINTS.findLastIndex(isBlock) + 1];
  const global = (rows: readonly PointRow[]): Instance[] => rows.map((row) => ({ row, layer: undefined }));
  const blocks = Array.from({ length: nLayers }, (_, layer) => POINTS.slice(first, end).map((row) => ({ row, layer })));
  return [...global(POINTS.slice(0, first)), ...blocks.flat(), ...global(POINTS.slice(end))];
}

/** The row as it holds in this model: some points are derived where the family does not compute them. */
function rowIn(full: Tape, row: PointRow, layer: number | undefined): PointRow {
  const isDerived = row.deriveIfAbsent !== undefined && !full.points.has(atLayer(row.name, layer));
  return isDerived ? { ...row, derive: row.deriveIfAbsent } : row;
}

/** Other tools' names of a point, each once, where they have that meaning in this model. */
function namesAt(aliases: Aliases, layer: number | undefined, exists: (point: string) => boolean): string[] {
  const holds = ({ has, lacks }: Alias): boolean =>
    (has === undefined || exists(atLayer(has, layer))) && (lacks === undefined || !exists(atLayer(lacks, layer)));
  const here = Object.values(aliases).flat().filter(holds);
  return [...new Set(here.map(({ name }) => atLayer(name, layer)))];
}

/** A derived point, or undefined where this model lacks what it derives from. */
function derivedValue(row: PointRow, layer: number | undefined, full: Tape): Value | undefined {
  const sources = sourcesOf(row, layer);
  return sources.every((name) => full.points.has(name)) ? derivePoint(full, row, layer) : undefined;
}

/** Sizes as users count them: ragged pairs are laid out as [T, S], and selections have one letter. */
function publicShape(shape: Shape): Shape {
  return shape.flatMap((dim): Dim[] => {
    if (typeof dim !== "string") return [dim];
    if (dim.startsWith("P")) return ["T", "S"];
    return [dim.startsWith("R") ? "R" : dim];
  });
}

function globRegex(pattern: string): RegExp {
  const parts = pattern.split(/(\*\*|\*)/).map((part) => {
    if (part === "**") return ".*";
    return part === "*" ? "[^.]*" : part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("")}$`);
}
