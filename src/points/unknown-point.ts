import { nearest, PointError, suggest } from "../errors.ts";
import type { Alias } from "./aliases.ts";
import { REFUSED } from "./refused.ts";
import { POINTS } from "./registry.ts";

/** What a model has, for telling why it lacks something. */
interface Known {
  /** Every name of every point. */
  readonly names: ReadonlyMap<string, { readonly name: string }>;
  readonly nLayers: number;
  /** Points of the vocabulary that the family lacks, with the reason. */
  readonly absent: Readonly<Record<string, string>>;
}

/** Meanings of every name of the vocabulary in any model. */
const MEANINGS = new Map<string, { readonly point: string; readonly alias: Alias }[]>();
for (const { name: point, aliases } of POINTS) {
  for (const alias of [{ name: point }, ...Object.values(aliases).flat()]) {
    MEANINGS.set(alias.name, [...(MEANINGS.get(alias.name) ?? []), { point, alias }]);
  }
}

const REASONS = new Map(REFUSED.flatMap(({ names, reason }) => names.map((name) => [name, reason])));

/** Why a model has no point of that name, and which one may be meant; `path` is how it was written. */
export function unknownPoint(name: string, path: string, { names, nLayers, absent }: Known): PointError {
  for (const { general, layer } of generalised(name)) {
    const meanings = MEANINGS.get(general);
    const refusal = REASONS.get(general);
    if (meanings === undefined && refusal === undefined) continue;
    if (layer !== undefined && layer >= nLayers) {
      const expected = `the model has layers 0 to ${nLayers - 1}`;
      const remedy = "model.points() lists all.";
      return new PointError("point.unknown", { path, expected, got: `layer ${layer}`, remedy });
    }
    if (refusal !== undefined) return new PointError("point.absent", { path, expected: `not one point: ${refusal}` });
    const expected = "this model does not have the point";
    return new PointError("point.absent", { path, expected, got: absence(meanings ?? [], absent) });
  }
  if (/moe|expert|router|(^|\.)shared/.test(name)) {
    const [expected, got] = ["this model does not have the point", "no experts: every MLP is dense"];
    return new PointError("point.absent", { path, expected, got });
  }
  const close = nearest(name, names.keys());
  const own = [...new Set([...names.values()].map((entry) => entry.name))];
  const remedy = `${close === undefined ? suggest(name, own) : `Did you mean ${close}?`} model.points() lists all.`;
  return new PointError("point.unknown", { path, expected: "there must be a point of that name", remedy });
}

/** The name itself, and with each of its numbers and globs taken for the layer. */
function generalised(name: string): { general: string; layer: number | undefined }[] {
  const layers = [...name.matchAll(/\b(?:0|[1-9]\d*)\b|\*/g)].map(({ 0: digits, index }) => ({
    general: `${name.slice(0, index)}{i}${name.slice(index + digits.length)}`,
    layer: digits === "*" ? undefined : Number(digits),
  }));
  return [{ general: name, layer: undefined }, ...layers];
}

/** Why none of a name's meanings holds in the model. */
function absence(meanings: readonly { point: string; alias: Alias }[], absent: Known["absent"]): string {
  const reasons = meanings.flatMap(({ point, alias: { has, lacks } }) => [
    ...[point, has].map((missing) => missing && absent[missing.replace("blocks.{i}.", "")]),
    lacks && `a name that has a meaning only without ${lacks.replace("blocks.{i}.", "")}`,
  ]);
  return reasons.find((reason) => reason !== undefined) ?? "an architecture without it";
}
