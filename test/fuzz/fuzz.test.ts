/** A few seconds of what `npm run fuzz` does for hours. A failure prints its seed, which repeats it. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { targets } from "./targets.ts";

test.for(targets)("files for $name open soundly or are refused, however they are damaged", async (target) => {
  const nOutcomes = new Map<string, number>();
  const property = fc.asyncProperty(target.cases, async (files) => {
    const outcome = await target.run(files);
    nOutcomes.set(outcome, (nOutcomes.get(outcome) ?? 0) + 1);
  });
  await fc.assert(property, { numRuns: 500 });
  // What never opens, or always does, tells nothing.
  const nOpened = [...nOutcomes].reduce((sum, [outcome, n]) => (outcome.startsWith("opened") ? sum + n : sum), 0);
  expect(nOpened).toBeGreaterThan(50);
  expect(nOpened).toBeLessThan(450);
  expect(nOutcomes.size).toBeGreaterThan(target.name === "tokenizer" ? 1 : 5);
});
