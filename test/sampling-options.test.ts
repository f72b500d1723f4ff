/** Which sampling options are refused, and with which words. */

import { describe, expect, it } from "vitest";
import { RequestError } from "../src/errors.ts";
import { Sampler } from "../src/run/sampler.ts";
import type { SamplingOptions } from "../src/run/sampling/options.ts";

const { NaN: NAN, POSITIVE_INFINITY: INFINITY } = Number;

function expectRefusal(call: () => unknown, message: string): void {
  expect(call).toThrow(RequestError);
  expect(call).toThrow(expect.objectContaining({ code: "request.option", message: expect.stringContaining(message) }));
}

describe("a sampler refuses", () => {
  it.each<[object, string]>([
    [{ topK: 0 }, "topK: must be a positive integer; got 0. Leave it out to keep every token."],
    [{ topK: 1.5 }, "topK: must be a positive integer; got 1.5."],
    [{ topK: INFINITY }, "topK: must be a positive integer; got Infinity."],
    [{ topP: 0 }, "topP: must be above 0 and at most 1; got 0."],
    [{ topP: 1.01 }, "topP: must be above 0 and at most 1; got 1.01."],
    [{ topP: NAN }, "topP: must be above 0 and at most 1; got NaN."],
    [{ topP: "0.9" }, "topP: must be above 0 and at most 1; got 0.9."],
    [{ minP: -0.1 }, "minP: must be from 0 to 1; got -0.1."],
    [{ minP: 2 }, "minP: must be from 0 to 1; got 2."],
    [{ typicalP: 0 }, "typicalP: must be above 0 and at most 1; got 0."],
    [{ repetitionPenalty: 0 }, "repetitionPenalty: must be a number above 0; got 0."],
    [{ repetitionPenalty: -1 }, "repetitionPenalty: must be a number above 0; got -1."],
    [{ repetitionPenalty: null }, "repetitionPenalty: must be a number above 0; got null."],
    [{ repetitionPenalty: 2, repetitionWindow: 0 }, "repetitionWindow: must be a positive integer; got 0."],
    [{ frequencyPenalty: NAN }, "frequencyPenalty: must be a finite number; got NaN."],
    [{ presencePenalty: INFINITY }, "presencePenalty: must be a finite number; got Infinity."],
    [{ logprobs: 0 }, "logprobs: must be a positive integer; got 0."],
    [{ logitBias: [1, 2] }, "logitBias: must map token ids to numbers or −Infinity; got [1,2]."],
    [{ logitBias: null }, "logitBias: must map token ids to numbers or −Infinity; got null."],
    [{ logitBias: { 3: INFINITY } }, "logitBias: must map token ids to numbers or −Infinity; got 3: Infinity."],
    [{ logitBias: { 3: NAN } }, "got 3: NaN."],
    [{ logitBias: { 3: "1" } }, "got 3: 1."],
    [{ logitBias: { the: 1 } }, "got the: 1."],
    [{ logitBias: { "": 1 } }, "got : 1."],
    [{ logitBias: new Map([[-1, 1]]) }, "got -1: 1."],
    [{ logitBias: new Map([[0.5, 1]]) }, "got 0.5: 1."],
    [
      { order: "hugingface" },
      'must be huggingface, llama.cpp or a list of stages; got "hugingface". Did you mean hugg',
    ],
    [{ order: "toString" }, 'must be huggingface, llama.cpp or a list of stages; got "toString". Known: huggingface'],
    [{ order: 3 }, "order: must be huggingface, llama.cpp or a list of stages; got 3."],
    [{ order: ["temperature", "topk"] }, 'order: must list known stages; got "topk". Did you mean topK?'],
    [{ order: ["temperature", "temperature"] }, "order: must list each stage once; got temperature twice."],
    [{ order: ["topK", "temperature"] }, "order: must list only stages whose option is given; got topK without topK."],
    [
      { order: ["penalties", "temperature"], repetitionWindow: undefined },
      "got penalties without repetitionPenalty or frequencyPenalty or presencePenalty.",
    ],
    [{ order: ["topP"], topP: 0.5 }, 'list each stage whose option is given; got ["topP"]. Add temperature.'],
    [{ order: ["temperature"], presencePenalty: 1 }, 'got ["temperature"]. Add penalties.'],
  ])("%j", (options, message) => {
    expectRefusal(() => new Sampler({ temperature: 1, ...options }), message);
  });

  it.each<[SamplingOptions, string]>([
    [{ topK: 5 }, "topK: needs a temperature above 0, where tokens are drawn; got 0. Give a temperature, or leave out"],
    [{ topP: 0.9 }, "topP: needs a temperature above 0"],
    [{ temperature: 0, minP: 0.1 }, "minP: needs a temperature above 0"],
    [{ typicalP: 0.9, order: "llama.cpp" }, "typicalP: needs a temperature above 0"],
    [{ repetitionWindow: 64 }, "repetitionWindow: needs a repetitionPenalty; got none."],
    [{ order: ["temperature"] }, "got temperature without a temperature above 0."],
  ])("%j, which could have no effect", (options, message) => {
    expectRefusal(() => new Sampler(options), message);
  });

  it.each<[SamplingOptions, string]>([
    [{ logitBias: { 2: 1, 4: 1 } }, "logitBias: token ids are integers from 0 to 3; got 4."],
    [{ logprobs: 5 }, "logprobs: must be at most 4; got 5."],
  ])("%j at the first choice, when the vocabulary is known", (options, message) => {
    expectRefusal(() => new Sampler(options).choose(Float32Array.of(1, 2, 3, 4)), message);
  });
});

describe("a sampler accepts", () => {
  it.each<[SamplingOptions]>([
    [{ topP: 1, minP: 0, typicalP: 1, repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 }],
    [{ temperature: 0, order: "llama.cpp" }],
    [{ seed: 3, logitBias: {} }],
    [{ order: ["penalties"], presencePenalty: -0.5 }],
    [{ temperature: undefined, topK: undefined, order: undefined, logitBias: undefined }],
  ])("%j, and chooses the likeliest token", (options) => {
    expect(new Sampler(options).choose(Float32Array.of(1, 3, 2))).toMatchObject({ token: 1, top: undefined });
  });

  it("more than all tokens for topK, and every stage at once in any order", () => {
    const options = { temperature: 1, topK: 99, topP: 0.9, minP: 0.1, typicalP: 0.9, presencePenalty: 1 };
    const order = ["minP", "typicalP", "penalties", "topK", "temperature", "topP"] as const;
    expect(new Sampler({ ...options, order, seed: 1 }).choose(Float32Array.of(1, 9)).token).toBe(1);
  });
});

describe("a seed", () => {
  it("keeps its meaning: the numbers are mulberry32's", () => {
    // By the generator's definition in Python, seed 1 begins with 0.62707394, 0.00273572, 0.52744704, 0.98105097.
    const sampler = new Sampler({ temperature: 1, seed: 1 });
    const even = new Float64Array(1000);
    expect(Array.from({ length: 4 }, () => sampler.choose(even).token)).toEqual([627, 2, 527, 981]);
  });

  it("gives one number to each token, whatever else shapes the distribution", () => {
    const even = new Float64Array(1000);
    const draw = (options: SamplingOptions) => {
      const sampler = new Sampler({ temperature: 1, seed: 9, ...options });
      sampler.choose(Float64Array.of(...even.subarray(1), 50));
      return sampler.choose(even).token;
    };
    const expected = draw({});
    expect(draw({ topP: 1, minP: 0.5, logprobs: 3 })).toBe(expected);
    expect(draw({ order: "llama.cpp", repetitionPenalty: 1.5 })).toBe(expected);
  });
});
