import { PointError } from "../errors.ts";
import type { Address } from "../points/address.ts";
import type { CatalogEntry, PointCatalog } from "../points/catalog.ts";
import { atLayer, block } from "../points/names.ts";
import type { Routing } from "./edit.ts";
import type { EditObject, Experts, RoutingAction } from "./edit-spec.ts";

/** Which experts each row chose. */
export function indicesPoint(layer: number | undefined): string {
  return atLayer(block("router.indices"), layer);
}

const CHOICES = ["biasedScores", "scores", "logits"].map((name) => block(`router.${name}`));

/** What experts are chosen by: biased scores where the family has them, else scores, else logits. */
export function choicePoint(layer: number | undefined, has: (name: string) => boolean): string {
  const [name] = CHOICES.map((point) => atLayer(point, layer)).filter(has);
  if (name === undefined) throw new Error(`layer ${layer} has no router`);
  return name;
}

/** An edit of a router's choice as one of a value that leads to it. */
export interface RoutingEdit {
  readonly address: Address;
  readonly routing: Routing;
}

/**
 * Where a ban, a force or a swap applies: what experts are chosen by at −∞, so that groups count without the banned ones;
 * what is chosen from at +∞, once the groups are known, for each forced expert; or the choice itself.
 * @throws PointError for anything but a router, and for what leaves no choice
 */
export function routingEdits(
  address: Address,
  spec: EditObject,
  action: RoutingAction,
  path: string,
  catalog: PointCatalog,
): RoutingEdit[] {
  const { entry, index } = address;
  if (entry.row.name !== block("router.weights") || entry.ofExpert !== undefined || index.length > 0) {
    throw new PointError("point.edit", {
      path,
      expected: `${action} is done to a router`,
      got: address.text,
      remedy: `Write L${entry.layer ?? 5}.router, and the experts behind ${action}.`,
    });
  }
  const { layer } = entry;
  const at = (name: string, index: readonly number[] = []): Address => {
    const target = catalog.get(name);
    return { text: target.name, entry: target, index };
  };
  const nExperts = Number(catalog.get(atLayer(block("router.logits"), layer)).shape[1]);
  const nExpertsPerToken = Number(entry.shape[1]);
  const sizes = { banned: [], forced: [], nExperts, nExpertsPerToken };
  const choice = choicePoint(layer, (name) => catalog.has(name));
  const limited = atLayer(block("router.limitedScores"), layer);
  const edits: Record<RoutingAction, () => RoutingEdit[]> = {
    ban: () => [{ address: at(choice), routing: { ...sizes, banned: listOf(spec.ban) } }],
    force: () =>
      listOf(spec.force).map((expert) => ({ address: at(limited, [expert]), routing: { ...sizes, forced: [expert] } })),
    swap: () => [{ address: at(indicesPoint(layer)), routing: { ...sizes, swap: spec.swap } }],
  };
  checkExperts([spec.ban, spec.force, spec.swap].flatMap(listOf), entry, nExperts, path);
  const made = edits[action]();
  checkRouting(
    made.map(({ routing }) => routing),
    path,
  );
  return made;
}

function listOf(experts: Experts | undefined): readonly number[] {
  return experts === undefined ? [] : [experts].flat();
}

function checkExperts(experts: readonly number[], { layer }: CatalogEntry, nExperts: number, path: string): void {
  const unknown = experts.find((expert) => expert >= nExperts);
  if (unknown === undefined) return;
  throw new PointError("point.edit", {
    path,
    expected: `layer ${layer} has experts 0 to ${nExperts - 1}`,
    got: `expert ${unknown}`,
    remedy: "Name one of them.",
  });
}

/** Refuses edits that one row cannot follow all at once: `path` is how they are written. @throws PointError */
export function checkRouting(edits: readonly Routing[], path: string): void {
  const [first] = edits;
  if (first === undefined) return;
  const { nExperts, nExpertsPerToken } = first;
  const banned = new Set(edits.flatMap((edit) => edit.banned));
  const forced = new Set(edits.flatMap((edit) => edit.forced));
  const swaps = edits.flatMap(({ swap }) => (swap === undefined ? [] : [swap]));
  const refuse = (expected: string, got: string, remedy: string): PointError =>
    new PointError("point.edit", { path, expected, got, remedy });
  if (nExperts - banned.size < nExpertsPerToken) {
    const got = `${banned.size} banned of ${nExperts}`;
    throw refuse(`at least ${nExpertsPerToken} experts must be left to choose`, got, "Ban fewer.");
  }
  if (forced.size > nExpertsPerToken) {
    const expected = `a token goes to ${nExpertsPerToken} experts`;
    throw refuse(expected, `${forced.size} forced`, "Force fewer.");
  }
  const both = [...forced].find((expert) => banned.has(expert));
  if (both !== undefined) {
    throw refuse("an expert is banned or forced", `both for expert ${both}`, "Leave one of the two out.");
  }
  for (const [from, to] of swaps) {
    if (banned.has(to)) {
      throw refuse(
        "a swap brings an expert that may be chosen",
        `expert ${to}, which is banned`,
        "Leave one of the two out.",
      );
    }
    if (forced.has(from)) {
      throw refuse(
        "a swap takes an expert that may go",
        `expert ${from}, which is forced`,
        "Leave one of the two out.",
      );
    }
  }
}
