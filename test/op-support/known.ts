/** All results that are known by other means, and tapes that give them. */

import { buildTape } from "../../src/tape/builder.ts";
import type { Tape } from "../../src/tape/tape.ts";
import { KNOWN_ATTENTION } from "./known-attention.ts";
import { KNOWN_EDITS } from "./known-edits.ts";
import { KNOWN_EXPERTS } from "./known-experts.ts";
import { KNOWN_LATENT } from "./known-latent.ts";
import { KNOWN_RESULTS, type KnownResult } from "./known-results.ts";

export const KNOWN: readonly KnownResult[] = [
  ...KNOWN_RESULTS,
  ...KNOWN_ATTENTION,
  ...KNOWN_LATENT,
  ...KNOWN_EXPERTS,
  ...KNOWN_EDITS,
];

export function knownTape(build: KnownResult["build"]): Tape {
  return buildTape("known", () => Object.fromEntries([build()].flat().map((value, i) => [`${i}`, value])));
}
