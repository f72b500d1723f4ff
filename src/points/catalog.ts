import { PointError, suggest } from "../errors.ts";
import type { Op } from "../tape/op.ts";
import { expand, tap } from "../tape/rewrite.ts";
import type { Tape } from "../tape/tape.ts";
import type { Dim, Shape } from "../tape/value.ts";
import { derivePoint, sourcesOf } from "./derive.ts";
import { atLayer, POINTS, type PointRow } from "./registry.ts";

/** One point of one model. */
export interface Point {
  readonly name: string;
  /** Sizes; T is the number of tokens of a sequence, S its keys, R the rows whose logits are wanted. */
  readonly shape: Shape;
  readonly formula: string;
  readonly aliases: readonly string[];
  /** stored: a value that a run computes anyway. recomputed: one that exists only when it is read. */
  readonly availability: "stored" | "recomputed";
  readonly writable: boolean;
}

/** A point with what it takes to read it. */
export interface CatalogEntry extends Point {
  readonly row: PointRow;
  readonly layer: number | undefined;
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
  readonly #nLayers: number;
  readonly #absent: Readonly<Record<string, string>>;

  /** `absent`: points of the vocabulary that the family lacks, with the reason. */
  constructor(tape: Tape, nLayers: number, absent: Readonly<Record<string, string>>, kernels: Kernels) {
    this.#nLayers = nLayers;
    this.#absent = absent;
    const full = expand(tape);
    const run = tap(
      expand(tape, (node) => !kernels.supports(node.op)),
      (node) => kernels.taps(node.op),
    );
    this.entries = instances(nLayers).flatMap(({ row, layer }): CatalogEntry[] => {
      const name = atLayer(row.name, layer);
      const shape = row.derive === undefined ? full.points.get(name)?.shape : derivedShape(row, layer, full);
      if (shape === undefined) return [];
      const aliases = row.aliases.map((alias) => atLayer(alias, layer));
      const availability = run.points.has(name) ? "stored" : "recomputed";
      const { formula, derive } = row;
      return [{ name, shape: publicShape(shape), formula, aliases, availability, writable: !derive, row, layer }];
    });
    for (const entry of this.entries) {
      for (const name of [entry.name, ...entry.aliases]) this.#byName.set(name, entry);
    }
  }

  /** The point of that name, in golgi's spelling or another tool's. */
  get(name: string): CatalogEntry {
    const entry = this.#byName.get(name);
    if (entry === undefined) throw this.#unknown(name);
    return entry;
  }

  /** All points that a name or glob stands for: `*` is anything within one part of a name, `**` anything. */
  match(pattern: string): CatalogEntry[] {
    if (!pattern.includes("*")) return [this.get(pattern)];
    const regex = globRegex(pattern);
    const found = this.entries.filter(({ name, aliases }) => [name, ...aliases].some((n) => regex.test(n)));
    if (found.length === 0) throw this.#unknown(pattern);
    return found;
  }

  #unknown(name: string): PointError {
    const missing = this.#absentRow(name);
    if (missing !== undefined) {
      const reason = this.#absent[missing.name.replace("blocks.{i}.", "")];
      return new PointError("point.absent", {
        path: name,
        expected: "this model does not have the point",
        got: reason ?? "an architecture without it",
      });
    }
    const remedy = `${suggest(name, [...this.#byName.keys()])} model.points() lists all.`;
    return new PointError("point.unknown", { path: name, expected: "a read names a point of the model", remedy });
  }

  /** The vocabulary's row that a name without a match in this model refers to. */
  #absentRow(name: string): PointRow | undefined {
    const layered = name.replaceAll("*", "0");
    return POINTS.find(({ name: rowName, aliases }) =>
      [rowName, ...aliases].some((n) =>
        Array.from({ length: this.#nLayers }, (_, i) => atLayer(n, i)).some(
          (full) => full === name || full === layered,
        ),
      ),
    );
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

/** The shape of a derived point, or undefined where this model lacks what it derives from. */
function derivedShape(row: PointRow, layer: number | undefined, full: Tape): Shape | undefined {
  const sources = sourcesOf(row, layer);
  return sources.every((name) => full.points.has(name)) ? derivePoint(full, row, layer).shape : undefined;
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

/** Whether a tape's value at a point is laid out over keys. */
export function isRagged(shape: Shape): boolean {
  return shape.some((dim) => typeof dim === "string" && dim.startsWith("P"));
}
