/** The distributions that tokens are drawn from, against those of transformers (scripts/fixtures/make_sampling.py). */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Sampler } from "../src/run/sampler.ts";
import type { SamplingOptions } from "../src/run/sampling/options.ts";
import { fixture } from "./support/fixtures.ts";

interface Case {
  readonly logits: string;
  readonly options: SamplingOptions;
  readonly tokens: readonly number[];
  readonly probabilities: readonly number[];
}

interface Expected {
  readonly prompt: readonly number[];
  /** null is −∞. */
  readonly logits: Readonly<Record<string, readonly (number | null)[]>>;
  readonly cases: readonly Case[];
}

const { prompt, logits, cases }: Expected = JSON.parse(readFileSync(fixture("sampling/transformers.json"), "utf8"));
const name = (options: SamplingOptions) => JSON.stringify(options).replaceAll('"', "");

describe.each(Object.keys(logits))("of %s logits, what can be drawn", (kind) => {
  const scores = Float32Array.from(logits[kind]!, (x) => x ?? Number.NEGATIVE_INFINITY);

  it.each(cases.filter((one) => one.logits === kind).map((one) => [name(one.options), one] as const))(
    "is what transformers leaves with %s",
    (_, { options, tokens, probabilities }) => {
      const drawn = new Sampler(options, prompt).distribution(scores);
      expect([...drawn.tokens]).toEqual(tokens);
      for (const [i, p] of drawn.probabilities.entries()) {
        expect(Math.abs(p - probabilities[i]!)).toBeLessThan(1e-11);
      }
    },
  );
});
