import { PointError } from "../errors.ts";
import { type AddressText, type EditPositions, scanAddress, scanPositions } from "./address-text.ts";
import type { CatalogEntry, PointCatalog } from "./catalog.ts";
import { Scanner } from "./scanner.ts";

export type { EditPositions } from "./address-text.ts";

/** A component of a model: one point, and which piece of each of its rows. */
export interface Address {
  /** Its one spelling: `L5.N1234`, `blocks.5.attn.q[3]`. */
  readonly text: string;
  readonly entry: CatalogEntry;
  /**
   * Into the axes after T: nothing for the whole row, [neuron], [head], [head, element]; of one expert those after its
   * place, [neuron]; for what is laid out over keys [head] or [head, key].
   */
  readonly index: readonly number[];
  /** Of what one expert holds, such as `L5.E17.N200`. */
  readonly expert?: number;
}

/** What a text names in a model; a glob names several. */
export interface ParsedAddress {
  readonly addresses: readonly Address[];
  readonly positions?: EditPositions;
}

/** What texts have been found to name; a sweep over positions asks for the same one again and again. */
const known = new WeakMap<PointCatalog, Map<string, ParsedAddress>>();
const MAX_KNOWN = 4096;

/** Reads an address such as `L5.H3@7`. @throws PointError where it says nothing, or names nothing in this model. */
export function parseAddress(text: string, catalog: PointCatalog): ParsedAddress {
  const ofCatalog = known.get(catalog) ?? new Map<string, ParsedAddress>();
  known.set(catalog, ofCatalog);
  const found = ofCatalog.get(text) ?? parse(text, catalog);
  if (ofCatalog.size >= MAX_KNOWN) ofCatalog.clear();
  ofCatalog.set(text, found);
  return found;
}

function parse(text: string, catalog: PointCatalog): ParsedAddress {
  const scanner = new Scanner(text, "point.address");
  const written = scanAddress(scanner);
  const positions = scanPositions(scanner);
  if (!scanner.isAtEnd) {
    const remedy = "Write positions as @7 directly behind it, and nothing else.";
    throw scanner.fail({ expected: "the address must end", remedy });
  }
  const addresses = resolveAddress(written, catalog);
  return positions === undefined ? { addresses } : { addresses, positions };
}

function resolveAddress(written: AddressText, catalog: PointCatalog): Address[] {
  // `layers_output[5]` is another tool's name of a whole point.
  const isName = catalog.has(written.text);
  const { name, index } = isName ? { name: written.text, index: [] } : written;
  return catalog.find(name, written.text).map((entry) => {
    checkIndex(written, entry, index, catalog);
    const expert = entry.ofExpert?.expert;
    return { text: addressText(entry, index), entry, index, ...(expert !== undefined && { expert }) };
  });
}

const COUNTS = ["no index", "one index"];

function checkIndex(
  { text, queryHead }: AddressText,
  entry: CatalogEntry,
  index: readonly number[],
  catalog: PointCatalog,
): void {
  const axes = indexedAxes(entry);
  if (index.length > axes.length) {
    throw new PointError("point.address", {
      path: text,
      expected: `${entry.name} has ${COUNTS[axes.length] ?? `${axes.length} indices`} beside its rows`,
      got: `[${index.join(", ")}]`,
      remedy: `Its shape is [${entry.shape.join(", ")}].`,
    });
  }
  if (queryHead !== undefined) checkQueryHead(text, queryHead, entry, catalog);
  for (const [axis, i] of index.entries()) {
    const size = axes[axis];
    if (typeof size !== "number" || i < size) continue;
    throw new PointError("point.address", {
      path: text,
      expected: `the index into ${entry.name} must be 0 to ${size - 1}`,
      got: `${i}`,
      remedy: `Its shape is [${entry.shape.join(", ")}].`,
    });
  }
}

/** `L5.H3.k` means nothing where query heads share keys. */
function checkQueryHead(text: string, queryHead: number, entry: CatalogEntry, catalog: PointCatalog): void {
  const nHeads = nHeadsOf(catalog.get(`blocks.${entry.layer}.attn.q`));
  const n = nHeadsOf(entry);
  if (n === nHeads || queryHead >= nHeads) return;
  throw new PointError("point.address", {
    path: text,
    expected: `${nHeads} query heads share the ${n} heads of ${entry.name}`,
    got: `query head ${queryHead}`,
    remedy: `It reads ${entry.name}[${Math.floor(queryHead / (nHeads / n))}].`,
  });
}

function nHeadsOf(entry: CatalogEntry): number {
  return Number(indexedAxes(entry)[0]);
}

/** The axes that an index counts along: all but the rows. */
function indexedAxes({ shape }: CatalogEntry): CatalogEntry["shape"] {
  return shape.filter((dim) => dim !== "T" && dim !== "R" && dim !== "n");
}

/** Points whose pieces have short addresses. */
const SHORT: Readonly<Record<string, string>> = {
  "blocks.{i}.mlp.post": "N",
  "blocks.{i}.attn.z": "H",
  "blocks.{i}.shared.post": "shared.N",
};

function addressText({ name, row, layer, ofExpert }: CatalogEntry, index: readonly number[]): string {
  const expert = ofExpert && `L${layer}.E${ofExpert.expert}`;
  if (index.length === 0) return row.name === "blocks.{i}.experts.contribution" ? (expert ?? name) : name;
  if (expert !== undefined && row.name === "blocks.{i}.experts.post") return `${expert}.N${index[0]}`;
  const short = index.length === 1 ? SHORT[row.name] : undefined;
  return short === undefined ? `${name}[${index.join(",")}]` : `L${layer}.${short}${index[0]}`;
}
