/** Each stage of sampling: small distributions by hand, llama.cpp's own tests, and the plainest implementations. */

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Sampler } from "../src/run/sampler.ts";
import { Candidates } from "../src/run/sampling/candidates.ts";
import type { SamplingOptions } from "../src/run/sampling/options.ts";
import { Penalties } from "../src/run/sampling/penalties.ts";
import { topK, topP, typicalP } from "../src/run/sampling/stages.ts";

const { NEGATIVE_INFINITY: MINUS_INFINITY } = Number;

const logsOf = (probabilities: readonly number[]) => Float64Array.from(probabilities, Math.log);

/** What can be drawn: token by token its probability. */
function drawn(options: SamplingOptions, logits: Float64Array, prompt?: readonly number[]): Record<number, number> {
  const { tokens, probabilities } = new Sampler({ temperature: 1, ...options }, prompt).distribution(logits);
  return Object.fromEntries(Array.from(tokens, (token, i) => [token, probabilities[i]!]));
}

function expectDrawn(found: Record<number, number>, expected: Record<number, number>): void {
  expect(Object.keys(found)).toEqual(Object.keys(expected));
  for (const [token, p] of Object.entries(expected)) expect(found[Number(token)]).toBeCloseTo(p, 5);
}

describe("llama.cpp's tests (tests/test-sampling.cpp), which give", () => {
  const rising = logsOf([0.1, 0.2, 0.3, 0.4]);

  it.each<[SamplingOptions, Record<number, number>]>([
    [{ temperature: 1 }, { 0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4 }],
    [{ temperature: 0 }, { 3: 1 }],
    [{ topK: 1 }, { 3: 1 }],
    [{ topK: 3 }, { 1: 0.22222, 2: 0.33333, 3: 0.44444 }],
    [{ topK: 4 }, { 0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4 }],
    [{ topP: 0.8 }, { 1: 0.22222, 2: 0.33333, 3: 0.44444 }],
    [{ topP: 1 }, { 0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4 }],
    [{ minP: 0 }, { 0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4 }],
    [{ minP: 0.24 }, { 0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4 }],
    [{ minP: 0.26 }, { 1: 0.2 / 0.9, 2: 0.3 / 0.9, 3: 0.4 / 0.9 }],
    [{ minP: 0.49 }, { 1: 0.2 / 0.9, 2: 0.3 / 0.9, 3: 0.4 / 0.9 }],
    [{ minP: 0.51 }, { 2: 0.3 / 0.7, 3: 0.4 / 0.7 }],
    [{ minP: 0.74 }, { 2: 0.3 / 0.7, 3: 0.4 / 0.7 }],
    [{ minP: 0.76 }, { 3: 1 }],
    [{ minP: 1 }, { 3: 1 }],
  ])("of 0.1, 0.2, 0.3, 0.4 with %j: %j", (options, expected) => {
    expectDrawn(drawn(options, rising), expected);
  });

  it("the likeliest token where it is typical, and leaves it out where it is not", () => {
    expectDrawn(drawn({ typicalP: 0.5 }, logsOf([0.97, 0.01, 0.01, 0.01])), { 0: 1 });
    const third = 1 / 3;
    expectDrawn(drawn({ typicalP: 0.5 }, logsOf([0.4, 0.2, 0.2, 0.2])), { 1: third, 2: third, 3: third });
  });

  it.each<[SamplingOptions, number[], number[]]>([
    [{ repetitionPenalty: 50 }, [0], [0, 0.25, 0.25, 0.25, 0.25]],
    [{ repetitionPenalty: 50 }, [0, 1, 2], [0, 0, 0, 0.5, 0.5]],
    [{ repetitionPenalty: 50 }, [0, 1, 2, 0, 0], [0, 0, 0, 0.5, 0.5]],
    [{ frequencyPenalty: 5, presencePenalty: 5 }, [0], [0.000011, 0.249997, 0.249997, 0.249997, 0.249997]],
    [{ frequencyPenalty: 5, presencePenalty: 5 }, [0, 1, 2], [0.000023, 0.000023, 0.000023, 0.499966, 0.499966]],
    [{ frequencyPenalty: 5, presencePenalty: 5 }, [0, 1, 2, 0, 0], [0, 0.000023, 0.000023, 0.499977, 0.499977]],
  ])("of even tokens with %j after %j: %j", (options, generated, expected) => {
    const penalties = new Penalties(options, []);
    for (const token of generated) penalties.push(token);
    const candidates = new Candidates(5);
    candidates.fill(logsOf([0.2, 0.2, 0.2, 0.2, 0.2]));
    penalties.apply(candidates);
    const total = candidates.weigh();
    for (const [i, p] of expected.entries()) expect(candidates.weights[i]! / total).toBeCloseTo(p, 5);
  });
});

describe("of tokens that are equally probable", () => {
  const logits = Float64Array.of(1, 2, 2, 1, 2, 1);

  it.each<[SamplingOptions, number[]]>([
    [{ topK: 2 }, [1, 2]],
    [{ topK: 4 }, [0, 1, 2, 4]],
    [{ topP: 0.3 }, [1, 2]],
    [{ topP: 0.75 }, [0, 1, 2, 4]],
    [{ minP: 0.9 }, [1, 2, 4]],
    [{ typicalP: 0.3 }, [1, 2]],
  ])("those of the lowest ids stay with %j", (options, tokens) => {
    expect(Object.keys(drawn(options, logits)).map(Number)).toEqual(tokens);
  });
});

describe("penalties", () => {
  const logits = Float64Array.of(2, -2, 1, 0);
  const divided = (values: readonly number[]) => {
    const weights = values.map(Math.exp);
    const total = weights.reduce((a, b) => a + b);
    return Object.fromEntries(weights.map((weight, i) => [i, weight / total]));
  };

  it("of repetition divide positive and multiply negative logits, of the prompt too, each token once", () => {
    expectDrawn(drawn({ repetitionPenalty: 2 }, logits, [0, 1, 0, 3]), divided([1, -4, 1, 0]));
  });

  it("of repetition look back as far as the window", () => {
    const options = { repetitionPenalty: 2, repetitionWindow: 2 };
    expectDrawn(drawn(options, logits, [0, 1, 2]), divided([2, -4, 0.5, 0]));
    expectDrawn(drawn(options, logits, [0, 1, 0]), divided([1, -4, 1, 0]));
    expectDrawn(drawn(options, logits, [0, 0, 1, 2]), divided([2, -4, 0.5, 0]));
  });

  it("of frequency and presence count what was generated, and not the prompt", () => {
    const sampler = new Sampler(
      { temperature: 1, topK: 1, frequencyPenalty: 0.1, presencePenalty: 0.05 },
      [0, 0, 0, 2],
    );
    const chosen = Array.from({ length: 12 }, () => sampler.choose(logits).token);
    // 2 − 0.05 − 0.1 n falls below token 2's first 1 − 0 at n = 10.
    expect(chosen).toEqual([...Array(10).fill(0), 2, 0]);
  });

  it("act before the greedy choice too, and below 0 favour repetition", () => {
    const greedy = (options: SamplingOptions) => {
      const sampler = new Sampler(options);
      return Array.from({ length: 4 }, () => sampler.choose(Float64Array.of(1, 0.9, 0.8)).token);
    };
    expect(greedy({ presencePenalty: 0.15 })).toEqual([0, 1, 0, 0]);
    expect(greedy({ frequencyPenalty: 0.15 })).toEqual([0, 1, 0, 2]);
    expect(greedy({ frequencyPenalty: -1 })).toEqual([0, 0, 0, 0]);
    expect(greedy({ repetitionPenalty: 2 })).toEqual([0, 1, 2, 0]);
  });
});

describe("a bias", () => {
  const logits = logsOf([0.25, 0.25, 0.5]);

  it.each([["an object", { 1: Math.log(3) }] as const, ["a map", new Map([[1, Math.log(3)]])] as const])(
    "given as %s is added to the logits",
    (_, logitBias) => {
      expectDrawn(drawn({ logitBias }, logits), { 0: 1 / 6, 1: 3 / 6, 2: 2 / 6 });
    },
  );

  it("of −∞ bans a token, also where it is the likeliest and nothing is drawn", () => {
    const logitBias = { 2: MINUS_INFINITY };
    expectDrawn(drawn({ logitBias }, logits), { 0: 0.5, 1: 0.5 });
    expect(new Sampler({ logitBias }).choose(logits).token).toBe(0);
  });

  it("does not change the logprobs, which are the model's own", () => {
    const { token, logprob, top } = new Sampler({ logitBias: { 0: 9 }, logprobs: 2 }).choose(logits);
    expect([token, logprob]).toEqual([0, expect.closeTo(Math.log(0.25), 12)]);
    expect(top!.map((one) => one.token)).toEqual([2, 0]);
  });

  it("leaves all other tokens in, however low their logits", () => {
    expectDrawn(drawn({ logitBias: { 1: MINUS_INFINITY } }, Float64Array.of(-2000, -2000, -2000)), { 0: 0.5, 2: 0.5 });
  });

  it("that leaves no token is refused", () => {
    const logitBias = { 0: MINUS_INFINITY, 1: MINUS_INFINITY, 2: MINUS_INFINITY };
    for (const temperature of [0, 1]) {
      expect(() => new Sampler({ temperature, logitBias }).choose(logits)).toThrow("some token a finite logit");
    }
  });
});

describe("a temperature next to nothing", () => {
  it.each([{ topK: 2 }, { topP: 0.9 }, { minP: 0.1 }, { typicalP: 0.9 }])("leaves the likeliest with %j", (options) => {
    expect(drawn({ ...options, temperature: 1e-308 }, Float64Array.of(-3, 20, 19, 0))[1]).toBe(1);
  });
});

describe("the order of stages", () => {
  // Squared by a temperature of 0.5: 0.05, 0.2, 0.45 of 0.7; so what top-p keeps depends on which comes first.
  const logits = logsOf([0.1, 0.2, 0.3, 0.4]);
  const squared = [0.01 / 0.3, 0.04 / 0.3, 0.09 / 0.3, 0.16 / 0.3];

  it.each<[SamplingOptions["order"], number]>([
    [undefined, 2],
    ["huggingface", 2],
    ["llama.cpp", 3],
    [["temperature", "topP"], 2],
    [["topP", "temperature"], 3],
  ])("%j decides what top-p keeps of a colder distribution", (order, nKept) => {
    const kept = squared.slice(4 - nKept);
    const total = kept.reduce((a, b) => a + b);
    const expected = Object.fromEntries(kept.map((p, i) => [4 - nKept + i, p / total]));
    expectDrawn(drawn({ temperature: 0.5, topP: 0.75, order }, logits), expected);
  });

  it("may put penalties last, where they reach the tokens that are left", () => {
    const order = ["temperature", "topK", "penalties"] as const;
    const options = { temperature: 1, topK: 2, repetitionPenalty: 2, order };
    expectDrawn(drawn(options, Float64Array.of(1, 2, -1, 2), [0, 3]), {
      1: Math.exp(2) / (Math.exp(2) + Math.exp(1)),
      3: Math.exp(1) / (Math.exp(2) + Math.exp(1)),
    });
  });
});

describe("selection without sorting", () => {
  /** Many alike, a few far away, and nothing. */
  const logit = fc.oneof(
    fc.integer({ min: -3, max: 3 }),
    fc.double({ min: -30, max: 30, noNaN: true }),
    fc.constantFrom(MINUS_INFINITY, -1e30, 5e-324, -5e-324, 0, -1.7e308, 1.7e308),
  );
  const distribution = fc.record({
    logits: fc.array(logit, { minLength: 1, maxLength: 600 }).filter((all) => all.some((x) => x > MINUS_INFINITY)),
    share: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
  });

  function fill(logits: readonly number[]): Candidates {
    const candidates = new Candidates(logits.length);
    candidates.fill(Float64Array.from(logits));
    return candidates;
  }

  const kept = ({ tokens, size }: Candidates) => [...tokens.subarray(0, size)];

  it("keeps the tokens that a sort puts first", () => {
    fc.assert(
      fc.property(distribution, ({ logits, share }) => {
        const k = Math.ceil(share * logits.length);
        const candidates = fill(logits);
        topK(candidates, k);
        const possible = [...logits.keys()].filter((token) => logits[token]! > MINUS_INFINITY);
        const sorted = possible.sort((a, b) => logits[b]! - logits[a]! || a - b);
        expect(kept(candidates)).toEqual(sorted.slice(0, k).sort((a, b) => a - b));
      }),
    );
  });

  it.each([topP, typicalP])("keeps for $name a set that suffices, and no more than that", (stage) => {
    fc.assert(
      fc.property(distribution, ({ logits, share }) => {
        const candidates = fill(logits);
        const total = candidates.weigh();
        const p = Array.from(candidates.weights.subarray(0, candidates.size), (weight) => weight / total);
        const entropy = -p.reduce((sum, x) => sum + (x > 0 ? x * Math.log(x) : 0), 0);
        const before = kept(candidates);
        const rank = p.map((x) => (stage === topP ? x : -Math.abs(-Math.log(x) - entropy)));
        stage(candidates, share);
        const places = kept(candidates).map((token) => before.indexOf(token));
        const left = [...before.keys()].filter((place) => !places.includes(place));
        const mass = places.reduce((sum, place) => sum + p[place]!, 0);
        const worst = Math.min(...places.map((place) => rank[place]!));
        expect(mass).toBeGreaterThan(share - 1e-9);
        for (const place of left) expect(rank[place]).toBeLessThanOrEqual(worst + 1e-9);
        const least = places.filter((place) => rank[place]! <= worst + 1e-9).map((place) => p[place]!);
        expect(mass - Math.max(...least)).toBeLessThan(share + 1e-9);
      }),
    );
  });

  it("takes milliseconds for a vocabulary of 131,072 tokens", () => {
    const random = new Sampler({ temperature: 1, seed: 1 });
    const normal = Float32Array.from({ length: 2 ** 17 }, (_, i) => 3 * Math.sin(i * i) + Math.cos(i));
    random.choose(normal);
    const sampler = new Sampler({ temperature: 0.8, topK: 40, topP: 0.95, seed: 1 });
    const timesMs = Array.from({ length: 30 }, () => {
      const startMs = performance.now();
      sampler.choose(normal);
      return performance.now() - startMs;
    });
    // About 3 where nothing else runs, of which 1.3 are the exponentials; a sort of all tokens takes 60 and more.
    expect(Math.min(...timesMs)).toBeLessThan(20);
  });
});
