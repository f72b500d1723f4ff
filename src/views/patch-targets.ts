import { RequestError } from "../errors.ts";
import type { Address } from "../points/address.ts";
import type { Model } from "../run/model.ts";

/** A component that is patched, and where it is in the stack. */
export interface PatchTarget {
  readonly address: string;
  readonly point: string;
  readonly layer: number | undefined;
  /** Head, neuron or what else the address counts; undefined for a whole point. */
  readonly index: number | undefined;
}

/** `*` in the place of an index: `L*.H*`, `L2.N*`, `blocks.*.attn.z[*]`. */
const EACH = /\.([HN])\*(?=$|\.)|\[\*\]$/;

/** The components that addresses name, each once; a `*` in the place of an index is each of them. */
export function patchTargets(model: Model, addresses: readonly string[]): PatchTarget[] {
  const targets = new Map<string, PatchTarget>();
  for (const text of addresses) {
    for (const target of targetsOf(model, text)) targets.set(target.address, target);
  }
  if (targets.size > 0) return [...targets.values()];
  throw new RequestError("request.option", {
    path: "patch: points",
    expected: "there must be something to patch",
    got: "[]",
    remedy: 'Name it, as in ["L*.H*"] or ["blocks.*.residPre"].',
  });
}

function targetsOf(model: Model, text: string): PatchTarget[] {
  const isEach = EACH.test(text);
  const { addresses, positions } = model.address(isEach ? text.replace(EACH, first) : text);
  if (positions !== undefined) {
    throw new RequestError("request.option", {
      path: `patch: ${text}`,
      expected: "an address is given without positions",
      got: JSON.stringify(positions),
      remedy: "Say by the option positions where to patch.",
    });
  }
  if (!isEach) return addresses.map(({ entry, index, text }) => targetOf(entry, index, text));
  return addresses.flatMap(({ entry, text }) => {
    const size = entry.shape.find((dim) => typeof dim === "number") as number;
    return Array.from({ length: size }, (_, i) => targetOf(entry, [i], text.replace(/0(\]?)$/, `${i}$1`)));
  });
}

/** The first of what a `*` stands for. */
function first(match: string, letter: string | undefined): string {
  return letter === undefined ? "[0]" : match.replace("*", "0");
}

function targetOf({ name, layer }: Address["entry"], index: readonly number[], address: string): PatchTarget {
  return { address, point: name, layer, index: index[0] };
}
