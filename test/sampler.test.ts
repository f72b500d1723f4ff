import { describe, expect, it } from "vitest";
import { BackendError, RequestError } from "../src/errors.ts";
import { Sampler } from "../src/run/sampler.ts";
import type { SamplingOptions } from "../src/run/sampling/options.ts";

const { NaN: NAN, NEGATIVE_INFINITY: MINUS_INFINITY, POSITIVE_INFINITY: INFINITY } = Number;

function draw(options: SamplingOptions, logits: readonly number[], n: number): number[] {
  const sampler = new Sampler(options);
  return Array.from({ length: n }, () => sampler.choose(Float32Array.from(logits)).token);
}

/** exp(x / temperature), normalised, in the plainest way. */
function probabilities(logits: readonly number[], temperature: number): number[] {
  const weights = logits.map((x) => Math.exp(x / temperature));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

describe("at temperature 0, the default, the sampler", () => {
  it("takes the largest logit, the lowest id of several", () => {
    expect(draw({}, [1, 3, 2, 3, 3], 1)).toEqual([1]);
    expect(draw({ temperature: 0 }, [-5, -7, -5], 1)).toEqual([0]);
    expect(draw({}, [MINUS_INFINITY, -1e30, MINUS_INFINITY], 1)).toEqual([1]);
    expect(draw({}, [0], 1)).toEqual([0]);
  });

  it("takes the same whatever the seed", () => {
    for (const seed of [0, 1, 2 ** 32 - 1]) expect(draw({ seed }, [1, 2, 2], 5)).toEqual([1, 1, 1, 1, 1]);
  });
});

describe("above temperature 0, the sampler", () => {
  const logits = [1, 0, 2, -1, MINUS_INFINITY, 0.5];

  it.each([0.5, 1, 2])("draws by the probabilities of the logits over %d", (temperature) => {
    const n = 20_000;
    const counts = logits.map(() => 0);
    for (const token of draw({ temperature, seed: 7 }, logits, n)) counts[token]!++;
    const expected = probabilities(logits, temperature).map((p) => p * n);
    expect(counts[4]).toBe(0);
    const chiSquared = expected.reduce((sum, e, i) => sum + (e === 0 ? 0 : (counts[i]! - e) ** 2 / e), 0);
    // Four degrees of freedom: one good generator in a thousand is beyond 18.5.
    expect(chiSquared).toBeLessThan(18.5);
  });

  it("draws the same tokens from the same seed, and others from another", () => {
    const first = draw({ temperature: 1, seed: 1 }, logits, 50);
    expect(draw({ temperature: 1, seed: 1 }, logits, 50)).toEqual(first);
    expect(draw({ temperature: 1, seed: 2 }, logits, 50)).not.toEqual(first);
  });

  it("draws otherwise each time where no seed is given", () => {
    const sequences = Array.from({ length: 5 }, () => draw({ temperature: 1 }, logits, 50).join());
    expect(new Set(sequences).size).toBeGreaterThan(1);
  });

  it("draws as at temperature 0 where it is next to nothing, even beyond what a float can divide by", () => {
    for (const temperature of [1e-3, 1e-300, Number.MIN_VALUE]) {
      expect(draw({ temperature, seed: 3 }, [-3, -2, -2.5], 20)).toEqual(Array(20).fill(1));
      expect(draw({ temperature, seed: 3 }, [3, 9, 8], 20)).toEqual(Array(20).fill(1));
    }
  });

  it("draws evenly where it is very large", () => {
    const counts = [0, 0, 0];
    for (const token of draw({ temperature: 1e9, seed: 5 }, [0, 50, -50], 3000)) counts[token]!++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(100);
  });

  it("never draws a token of no probability", () => {
    const tokens = draw({ temperature: 1, seed: 11 }, [MINUS_INFINITY, 0, MINUS_INFINITY], 1000);
    expect(new Set(tokens)).toEqual(new Set([1]));
  });
});

describe("the sampler's logprob", () => {
  const logits = [1, 0, 2, -1];

  it("is the logarithm of the token's probability at temperature 1, at whatever temperature it was drawn", () => {
    const expected = probabilities(logits, 1).map(Math.log);
    for (const temperature of [0, 0.7, 3]) {
      const sampler = new Sampler({ temperature, seed: 1 });
      for (let i = 0; i < 20; i++) {
        const { token, logprob } = sampler.choose(Float64Array.from(logits));
        expect(logprob).toBeCloseTo(expected[token]!, 12);
      }
    }
  });

  it("is exact for logits whose exponentials would overflow", () => {
    const { logprob } = new Sampler({}).choose(Float64Array.of(10_000, 10_000, -10_000));
    expect(logprob).toBeCloseTo(-Math.LN2, 12);
    expect(new Sampler({}).choose(Float32Array.of(5)).logprob).toBe(0);
  });
});

describe("the sampler refuses", () => {
  it.each<[string, readonly number[], string]>([
    ["NaN", [1, NAN, 2], "got NaN"],
    ["NaN at the end", [1, 2, NAN], "got NaN"],
    ["NaN in the first place", [NAN, 2], "got NaN"],
    ["infinity", [1, INFINITY], "got Infinity at most"],
    ["nothing but minus infinity", [MINUS_INFINITY, MINUS_INFINITY], "got -Infinity at most"],
    ["no logits", [], "got undefined at most"],
  ])("%s among the logits", (_, logits, message) => {
    for (const temperature of [0, 1]) {
      const choose = () => new Sampler({ temperature, seed: 1 }).choose(Float32Array.from(logits));
      expect(choose).toThrow(BackendError);
      expect(choose).toThrow(`logits: a token is chosen from finite logits; ${message}. Read residPost`);
    }
  });

  it.each<[string, object, string]>([
    ["a negative temperature", { temperature: -1 }, "temperature: must be a number from 0 up; got -1."],
    ["an infinite one", { temperature: INFINITY }, "temperature: must be a number from 0 up; got Infinity."],
    ["NaN", { temperature: NAN }, "temperature: must be a number from 0 up; got NaN."],
    ["a temperature in quotes", { temperature: "1" }, "temperature: must be a number from 0 up; got 1."],
    ["a temperature of null", { temperature: null }, "temperature: must be a number from 0 up; got null."],
    ["a negative seed", { seed: -1 }, "seed: must be an integer from 0 to 2^32 − 1; got -1."],
    ["half a seed", { seed: 0.5 }, "seed: must be an integer from 0 to 2^32 − 1; got 0.5."],
    ["a seed of 33 bits", { seed: 2 ** 32 }, "seed: must be an integer from 0 to 2^32 − 1; got 4294967296."],
    ["a seed in quotes", { seed: "1" }, "seed: must be an integer from 0 to 2^32 − 1; got 1."],
  ])("%s as an option", (_, options, message) => {
    expect(() => new Sampler(options as SamplingOptions)).toThrow(RequestError);
    expect(() => new Sampler(options as SamplingOptions)).toThrow(message);
  });
});
