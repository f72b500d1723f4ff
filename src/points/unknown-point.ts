import { nearest, PointError, suggest } from "../errors.ts";
import { type Alias, aliasesOf } from "./aliases.ts";
import { atLayer, block, generalised } from "./names.ts";
import { REFUSED, type Refused } from "./refused.ts";
import { POINTS } from "./registry.ts";
import { EXPERT_PARTS, expertPart } from "./sparse-rows.ts";

/** What a model has, for telling why it lacks something. */
interface Known {
  /** Every name of every point. */
  readonly names: ReadonlyMap<string, { readonly name: string }>;
  readonly nLayers: number;
  /** Points of the vocabulary that the family lacks, with the reason. */
  readonly absent: Readonly<Record<string, string>>;
}

interface Meaning {
  readonly point: string;
  readonly alias: Alias;
}

/** Meanings of every name of the vocabulary in any model; a part of one expert stands for the point that holds it. */
const MEANINGS = new Map<string, Meaning[]>();
for (const { name, point } of [
  ...POINTS.map(({ name }) => ({ name, point: name })),
  ...EXPERT_PARTS.map(({ part, of }) => ({ name: expertPart(part), point: of })),
]) {
  for (const alias of [{ name }, ...Object.values(aliasesOf(name)).flat()]) {
    MEANINGS.set(alias.name, [...(MEANINGS.get(alias.name) ?? []), { point, alias }]);
  }
}

const REFUSALS = new Map<string, Refused[]>();
for (const refused of REFUSED) {
  for (const name of refused.names) REFUSALS.set(name, [...(REFUSALS.get(name) ?? []), refused]);
}

/** Why a model has no point of that name, and which one may be meant; `path` is how it was written. */
export function unknownPoint(name: string, path: string, known: Known): PointError {
  for (const { general, layer } of inGeneral(name)) {
    const meanings = MEANINGS.get(general) ?? [];
    const refusal = REFUSALS.get(general)?.find(({ has }) => has === undefined || layersWith(has, known).length > 0);
    if (meanings.length === 0 && refusal === undefined) continue;
    if (layer !== undefined && layer >= known.nLayers) {
      const expected = `the model has layers 0 to ${known.nLayers - 1}`;
      const remedy = "model.points() lists all.";
      return new PointError("point.unknown", { path, expected, got: `layer ${layer}`, remedy });
    }
    if (refusal !== undefined) {
      return new PointError("point.absent", { path, expected: `not one point: ${refusal.reason}` });
    }
    return inOtherLayers(meanings, layer, path, known) ?? absentPoint(path, absence(meanings, known));
  }
  if (isOfExperts(name) && hasNoExperts(known)) return absentPoint(path, NO_EXPERTS);
  const close = nearest(name, known.names.keys());
  const own = [...new Set([...known.names.values()].map((entry) => entry.name))];
  const remedy = `${close === undefined ? suggest(name, own) : `Did you mean ${close}?`} model.points() lists all.`;
  return new PointError("point.unknown", { path, expected: "there must be a point of that name", remedy });
}

/** The name itself, with each of its numbers and globs taken for the layer, and with another number for the expert. */
function inGeneral(name: string): { readonly general: string; readonly layer: number | undefined }[] {
  const numbered = generalised(name, "{i}").map(({ general, number }) => ({ general, layer: number }));
  const globs = [...name.matchAll(/\*/g)].map(({ index }) => {
    return { general: `${name.slice(0, index)}{i}${name.slice(index + 1)}`, layer: undefined };
  });
  return [{ general: name, layer: undefined }, ...numbered, ...globs].flatMap(({ general, layer }) => [
    { general, layer },
    ...generalised(general, "{e}").map((part) => ({ general: part.general, layer })),
  ]);
}

/** The layers that have a point, and for a point of no layer [undefined] where the model has it. */
function layersWith(point: string, { names, nLayers }: Known): (number | undefined)[] {
  const layers = point.includes("{i}") ? Array.from({ length: nLayers }, (_, layer) => layer) : [undefined];
  return layers.filter((layer) => names.has(atLayer(point, layer)));
}

/** Where other layers have what the one that was named lacks. */
function inOtherLayers(
  meanings: readonly Meaning[],
  layer: number | undefined,
  path: string,
  known: Known,
): PointError | undefined {
  if (layer === undefined) return undefined;
  const [{ point }] = meanings;
  const layers = meanings.flatMap(({ point, alias }) =>
    layersWith(alias.name.includes("{e}") ? point : alias.name, known).filter((other) => other !== undefined),
  );
  const [closest] = layers.sort((a, b) => Math.abs(a - layer) - Math.abs(b - layer));
  if (closest === undefined) return undefined;
  return new PointError("point.absent", {
    path,
    expected: "the layer must have the point",
    got: `layer ${layer}, ${differenceOf(point, layer, known)}`,
    remedy: `The nearest layer that has it is ${closest}.`,
  });
}

/** What sets a layer apart from those that have a point. */
function differenceOf(point: string, layer: number, { names }: Known): string {
  const isSparse = names.has(atLayer(block("router.indices"), layer));
  if (isOfExperts(point) && !isSparse) return "whose MLP is dense";
  return isSparse && point.includes(".mlp.") ? "whose MLP is made of experts" : "which is built otherwise";
}

const NO_EXPERTS = "no experts: every MLP is dense";

function hasNoExperts(known: Known): boolean {
  return layersWith(block("router.indices"), known).length === 0;
}

function isOfExperts(name: string): boolean {
  return /moe|expert|router|(^|\.)shared/.test(name);
}

/** Why none of a name's meanings holds in the model. */
function absence(meanings: readonly Meaning[], known: Known): string {
  if (meanings.every(({ point }) => isOfExperts(point)) && hasNoExperts(known)) return NO_EXPERTS;
  const reasons = meanings.flatMap(({ point, alias: { has, lacks } }) => [
    ...[point, has].map((missing) => missing && known.absent[missing.replace("blocks.{i}.", "")]),
    lacks && `a name that has a meaning only without ${lacks.replace("blocks.{i}.", "")}`,
  ]);
  return reasons.find((reason) => reason !== undefined) ?? "an architecture without it";
}

function absentPoint(path: string, got: string): PointError {
  return new PointError("point.absent", { path, expected: "this model does not have the point", got });
}
