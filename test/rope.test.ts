/** Rotary frequencies against transformers, and how a config spells them. */

import { describe, expect, it } from "vitest";
import { ConfigReader } from "../src/config/reader.ts";
import { type RopeConfig, readRope, ropeFrequencies, ropeMagnitude, ropeVariant } from "../src/config/rope.ts";

/** Transformers computes in float32, with an error of a few units in the last place of the power. */
const RELATIVE_ERROR = 4e-7;

interface Vector {
  readonly name: string;
  readonly headDim: number;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly attentionFactor: number;
  readonly frequencies: readonly number[];
}

// From ROPE_INIT_FUNCTIONS of transformers 5.23.0 (modeling_rope_utils.py) under PyTorch 2.15 on a CPU, for a
// LlamaConfig with these rope_parameters, printed to 9 digits.
const VECTORS: readonly Vector[] = [
  {
    name: "linear",
    headDim: 16,
    parameters: { rope_type: "linear", rope_theta: 10000, factor: 2.5 },
    attentionFactor: 1,
    frequencies: [
      0.400000006, 0.1264911, 0.0399999991, 0.0126491114, 0.00399999972, 0.00126491114, 0.000400000019, 0.000126491112,
    ],
  },
  {
    name: "llama3, as Llama 3.2",
    headDim: 64,
    parameters: {
      rope_type: "llama3",
      rope_theta: 500000,
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    attentionFactor: 1,
    frequencies: [
      1, 0.663601279, 0.440366626, 0.292227834, 0.193922758, 0.128687382, 0.0853971019, 0.0566696189, 0.0376060307,
      0.0249554086, 0.0165604409, 0.0109895291, 0.00729266508, 0.00483942125, 0.00321144611, 0.00129054801,
      0.000429556705, 9.70828623e-5, 1.94616387e-5, 1.29147675e-5, 8.57025589e-6, 5.68723226e-6, 3.77405445e-6,
      2.50446715e-6, 1.66196742e-6, 1.10288363e-6, 7.31874934e-7, 4.85673127e-7, 3.22293289e-7, 2.1387423e-7,
      1.41927202e-7, 9.41830649e-8,
    ],
  },
  {
    name: "yarn with two mscales, as DeepSeek has them",
    headDim: 64,
    parameters: {
      rope_type: "yarn",
      rope_theta: 10000,
      factor: 40,
      beta_fast: 32,
      beta_slow: 1,
      mscale: 0.8,
      mscale_all_dim: 1,
      original_max_position_embeddings: 4096,
    },
    attentionFactor: 0.9461039968029624,
    frequencies: [
      1, 0.749894202, 0.562341332, 0.421696514, 0.316227764, 0.237137362, 0.177827939, 0.133352146, 0.100000001,
      0.0749894157, 0.0562341288, 0.0390069261, 0.0268793609, 0.0183781441, 0.012447956, 0.0083345091, 0.00550000044,
      0.00356199732, 0.00224936521, 0.00137051346, 0.000790569407, 0.000414990413, 0.00017782794, 3.3338034e-5,
      2.49999994e-5, 1.87473543e-5, 1.40585325e-5, 1.05424124e-5, 7.90569447e-6, 5.92843435e-6, 4.44569832e-6,
      3.33380353e-6,
    ],
  },
  {
    name: "yarn without truncation, as gpt-oss",
    headDim: 64,
    parameters: {
      rope_type: "yarn",
      rope_theta: 150000,
      factor: 32,
      beta_fast: 32,
      beta_slow: 1,
      truncate: false,
      original_max_position_embeddings: 4096,
    },
    attentionFactor: 1.3465735902799727,
    frequencies: [
      1, 0.689044297, 0.47478205, 0.327145875, 0.225418001, 0.155322984, 0.107024424, 0.0737445652, 0.0508132726,
      0.0317056961, 0.0193349998, 0.0115920492, 0.00679495931, 0.00386035908, 0.00209379266, 0.00105260219,
      0.000456483918, 0.000129318694, 3.83088118e-5, 2.63964685e-5, 1.8188337e-5, 1.25325696e-5, 8.63549576e-6,
      5.95023948e-6, 4.09997847e-6, 2.82506676e-6, 1.94659629e-6, 1.34129095e-6, 9.24208962e-7, 6.36820914e-7,
      4.38797855e-7, 3.0235114e-7,
    ],
  },
  {
    name: "yarn with an attention factor and betas of its own",
    headDim: 16,
    parameters: {
      rope_type: "yarn",
      rope_theta: 10000,
      factor: 4,
      attention_factor: 1.5,
      beta_fast: 4,
      beta_slow: 2,
      original_max_position_embeddings: 16,
    },
    attentionFactor: 1.5,
    frequencies: [
      1, 0.079056941, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-5,
    ],
  },
  {
    name: "yarn whose ramp has no width",
    headDim: 8,
    parameters: { rope_type: "yarn", rope_theta: 10000, factor: 4, original_max_position_embeddings: 4 },
    attentionFactor: 1.138629436111989,
    frequencies: [1, 0.0250000004, 0.00249999994, 0.000250000012],
  },
];

/** All of a config but its rope keys is read elsewhere. */
function read(json: Readonly<Record<string, unknown>>, headDim = 8, contextLength = 64): RopeConfig {
  return readRope(new ConfigReader(json), contextLength, headDim);
}

describe("rotary frequencies", () => {
  it.each(VECTORS)("are those of transformers: $name", ({ headDim, parameters, frequencies, attentionFactor }) => {
    const config = read({ rope_parameters: parameters }, headDim);
    const found = ropeFrequencies(config, headDim);
    expect(found).toHaveLength(frequencies.length);
    const errors = frequencies.map((expected, i) => Math.abs(found[i]! / expected - 1));
    expect(Math.max(...errors)).toBeLessThan(RELATIVE_ERROR);
    expect(ropeMagnitude(config)).toBeCloseTo(attentionFactor, 14);
  });

  it("of longrope are one set for short texts and one for long ones", () => {
    const [short_factor, long_factor] = [
      [1, 1, 2, 2],
      [2, 4, 5, 8],
    ];
    const longrope = { rope_type: "longrope", original_max_position_embeddings: 16, short_factor, long_factor };
    const config = read({ rope_theta: 16, rope_parameters: longrope });
    const plain = ropeFrequencies(read({ rope_theta: 16 }), 8);
    expect([16, 17].map((length) => ropeVariant(config, length))).toEqual([0, 1]);
    expect([...ropeFrequencies(config, 8, 0)]).toEqual(short_factor.map((factor, i) => plain[i] / factor));
    expect([...ropeFrequencies(config, 8, 1)]).toEqual(long_factor.map((factor, i) => plain[i] / factor));
    // A context of 64 is four times the original one: √(1 + ln 4 / ln 16).
    expect(ropeMagnitude(config)).toBeCloseTo(Math.sqrt(1.5), 14);
    expect(ropeMagnitude(read({ rope_parameters: { ...longrope, attention_factor: 1.2 } }))).toBe(1.2);
  });

  it("are powers of θ without scaling", () => {
    expect([...ropeFrequencies(read({ rope_theta: 16 }, 4), 4)]).toEqual([1, 1 / 4]);
    expect(ropeMagnitude(read({}))).toBe(1);
  });
});

describe("the rope keys of a config", () => {
  it.each<[string, Readonly<Record<string, unknown>>, number]>([
    ["10,000 where nothing is said", {}, 10_000],
    ["the old key", { rope_theta: 5e5 }, 5e5],
    ["the new one", { rope_parameters: { rope_theta: 5e5, rope_type: "default" } }, 5e5],
    ["the old key beside new parameters without one", { rope_theta: 5e5, rope_parameters: {} }, 5e5],
    ["the new one where both are there", { rope_theta: 1e4, rope_parameters: { rope_theta: 5e5 } }, 5e5],
    ["10,000 where they are null", { rope_theta: null, rope_scaling: null, rope_parameters: null }, 1e4],
  ])("give θ: %s", (_, json, theta) => {
    expect(read(json)).toEqual({ theta, scaling: { type: "default" } });
  });

  it.each(VECTORS)("mean the same in the old and the new spelling: $name", ({ parameters }) => {
    const { rope_theta, rope_type, ...scaling } = parameters;
    const modern = read({ rope_parameters: parameters });
    expect(read({ rope_theta, rope_scaling: { rope_type, ...scaling } })).toEqual(modern);
    expect(read({ rope_theta, rope_scaling: { type: rope_type, ...scaling } })).toEqual(modern);
  });

  it("take the context as the original one where yarn does not say", () => {
    const { scaling } = read({ rope_scaling: { type: "yarn", factor: 4 } }, 8, 640);
    expect(scaling).toMatchObject({ originalContextLength: 640, betaFast: 32, betaSlow: 1, truncate: true });
  });

  it.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    [
      "dynamic NTK",
      { type: "dynamic", factor: 2 },
      /rope_type: the supported rope scalings are default, linear, llama3, yarn, longrope; got dynamic \(dynamic NTK\)/,
    ],
    ["longrope without factors", { rope_type: "longrope", factor: 2 }, /short_factor: must be .*; got nothing/],
    [
      "longrope with too few factors",
      { rope_type: "longrope", short_factor: [1, 1], long_factor: [1, 1] },
      /short_factor: must be 4 positive numbers/,
    ],
    ["its old name", { type: "su", factor: 2 }, /the supported rope scalings are .*; got "su"/],
    ["several axes", { type: "mrope", mrope_section: [1, 2, 3] }, /the supported rope scalings are .*; got "mrope"/],
    ["a type that is none", { type: 4, factor: 2 }, /the supported rope scalings are .*; got 4/],
    ["a name that objects inherit", { type: "constructor" }, /the supported rope scalings are .*; got "constructor"/],
    ["linear without a factor", { type: "linear" }, /rope_scaling: factor: must be a positive number; got nothing/],
    ["a factor of zero", { type: "linear", factor: 0 }, /factor: must be a positive number; got 0/],
    ["a factor in quotes", { type: "linear", factor: "2" }, /factor: must be a positive number; got "2"/],
    [
      "llama3 without its original context",
      { type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
      /original_max_position_embeddings: must be a positive integer; got nothing/,
    ],
    [
      "an unknown parameter",
      { type: "linear", factor: 2, fctor: 3 },
      /rope_scaling: fctor: every key must be understood.* Did you mean factor\?/,
    ],
    [
      "a parameter of another type",
      { type: "linear", factor: 2, beta_fast: 3 },
      /rope_scaling: beta_fast: every key must be understood/,
    ],
    [
      "heads that turn in part",
      { type: "default", partial_rotary_factor: 0.5 },
      /partial_rotary_factor: only 1 is supported/,
    ],
    [
      "yarn with a negative mscale",
      { type: "yarn", factor: 2, mscale: -1, mscale_all_dim: 1 },
      /mscale: must be a positive number; got -1/,
    ],
  ])("refuse %s", (_, rope_scaling, message) => {
    expect(() => read({ rope_scaling })).toThrow(message);
  });

  it("refuse both spellings at once, and what is no object", () => {
    const both = { rope_scaling: { type: "default" }, rope_parameters: { rope_type: "default" } };
    expect(() => read(both)).toThrow(/rope_scaling: must be absent where rope_parameters is set/);
    expect(() => read({ rope_scaling: "linear" })).toThrow(/rope_scaling: must be an object; got "linear"/);
    expect(() => read({ rope_parameters: [1] })).toThrow(/rope_parameters: must be an object; got \[1\]/);
  });

  it("refuse heads of odd or broken size", () => {
    for (const headDim of [5, 32 / 3]) {
      expect(() => read({}, headDim)).toThrow(`head_dim: heads must have an even whole size`);
      expect(() => read({}, headDim)).toThrow(`got ${headDim}. Rotary embedding turns pairs of dimensions.`);
    }
  });
});
