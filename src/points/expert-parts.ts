import { PointError } from "../errors.ts";
import type { CatalogEntry } from "./catalog.ts";
import { atLayer, generalised } from "./names.ts";
import { EXPERT_PARTS, expertPart } from "./sparse-rows.ts";

/** Of which expert a part is, of which point, and where that point's places get their experts from. */
export interface ExpertOf {
  readonly expert: number;
  /** The point that has a place for each chosen expert: [T, nExpertsPerToken, ...]. */
  readonly whole: CatalogEntry;
  /** int [T, nExpertsPerToken] */
  readonly indices: CatalogEntry;
}

/** A part of every expert of one layer. */
interface General {
  /** With `{e}` for the expert. */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly whole: CatalogEntry;
  readonly indices: CatalogEntry;
  readonly nExperts: number;
}

/** What single experts of a model hold: too many to be listed, so each is made when somebody names it. */
export class ExpertParts {
  /** By every name, with `{e}` for the expert. */
  readonly #general = new Map<string, General>();
  readonly #made = new Map<string, CatalogEntry>();

  /** `aliasesOf` gives other tools' names of a part of a layer. */
  constructor(
    entries: readonly CatalogEntry[],
    aliasesOf: (part: string, layer: number | undefined) => readonly string[],
  ) {
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    for (const { row, layer } of entries.filter(({ row }) => row.name === "blocks.{i}.router.indices")) {
      const at = (name: string) => byName.get(atLayer(name, layer)) as CatalogEntry;
      const nExperts = Number(at("blocks.{i}.router.logits").shape[1]);
      for (const { part, of } of EXPERT_PARTS) {
        const aliases = aliasesOf(expertPart(part), layer);
        const name = atLayer(expertPart(part), layer);
        const general = { name, aliases, whole: at(of), indices: at(row.name), nExperts };
        for (const each of [name, ...aliases]) this.#general.set(each, general);
      }
    }
  }

  has(name: string): boolean {
    return this.#named(name) !== undefined;
  }

  /** @throws PointError for an expert that the layer does not have. */
  get(name: string, path: string): CatalogEntry | undefined {
    const found = this.#named(name);
    return found && this.#make(found.general, found.expert, path);
  }

  /** Parts of the one expert that a glob over layers or parts names. */
  find(pattern: string, regexOf: (pattern: string) => RegExp, path: string): CatalogEntry[] {
    for (const { general, number } of generalised(pattern, "{e}")) {
      const regex = regexOf(general);
      const fitting = [...this.#general].flatMap(([name, one]) => (regex.test(name) ? [one] : []));
      if (fitting.length > 0) return [...new Set(fitting)].map((one) => this.#make(one, number, path));
    }
    return [];
  }

  #named(name: string): { readonly general: General; readonly expert: number } | undefined {
    for (const { general, number } of generalised(name, "{e}")) {
      const found = this.#general.get(general);
      if (found !== undefined) return { general: found, expert: number };
    }
    return undefined;
  }

  #make({ name: generalName, aliases, whole, indices, nExperts }: General, expert: number, path: string): CatalogEntry {
    const of = (general: string): string => general.replace("{e}", `${expert}`);
    const name = of(generalName);
    if (expert >= nExperts) {
      throw new PointError("point.address", {
        path,
        expected: `layer ${whole.layer} has experts 0 to ${nExperts - 1}`,
        got: `expert ${expert}`,
        remedy: "Name one of them.",
      });
    }
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const entry: CatalogEntry = {
      ...whole,
      name,
      shape: ["n", ...whole.shape.slice(2)],
      formula: `${whole.name} where ${indices.name} is ${expert}`,
      aliases: aliases.map(of),
      ofExpert: { expert, whole, indices },
    };
    this.#made.set(name, entry);
    return entry;
  }
}
