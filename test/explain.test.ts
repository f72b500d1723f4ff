/** Explanations: exact sums, held to plain loops over points and weights. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GolgiError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { attribution } from "../src/views/attribution.ts";
import { type ExplainOptions, type Explanation, explain } from "../src/views/explain.ts";
import type { HeadExplanation } from "../src/views/explain-head.ts";
import type { NeuronBranch, NeuronExplanation } from "../src/views/explain-neuron.ts";
import type { MovedToken } from "../src/views/written.ts";
import { stories260K } from "./support/fixtures.ts";
import { isReference, open } from "./support/open.ts";
import {
  ATTRIBUTION_CASES,
  beforeNorm,
  openCase,
  openIntegerModel,
  type PlainMlp,
  plainComponents,
  plainMlps,
} from "./support/plain-attribution.ts";
import { dot, length, range, readout, sum, type Weights } from "./support/view-cases.ts";

const partOf = ({ value }: { readonly value: number }): number => value;

/** Terms add up to the value within the rounding of float32. */
function expectSum(branch: NeuronBranch, nInputs: number): void {
  const { value, bias, terms, rest, remainder, writers, writersRemainder } = branch;
  expect(terms.length + rest.nTerms).toBe(nInputs);
  const sizes = sum(terms.map((term) => Math.abs(term.value))) + Math.abs(rest.value) + Math.abs(bias);
  expect(sum(terms.map(partOf)) + rest.value + bias + remainder).toBeCloseTo(value, 10);
  expect(Math.abs(remainder)).toBeLessThanOrEqual(1e-5 * Math.max(1, sizes));
  const writerSizes = sum(writers.map((writer) => Math.abs(writer.value)));
  expect(sum(writers.map(partOf)) + bias + writersRemainder).toBeCloseTo(value, 10);
  expect(Math.abs(writersRemainder)).toBeLessThanOrEqual(1e-5 * Math.max(1, writerSizes));
}

describe.each(ATTRIBUTION_CASES)("on %s", (_, path) => {
  let model: Model;
  let tokens: number[];
  let run: Run;
  let weights: Weights;
  beforeAll(async () => {
    ({ model, tokens, run, weights } = await openCase(path));
  });
  afterAll(() => model.close());

  const row = (point: string, position: number): number[] => Array.from(run.get(point).row(position).data);
  const has = (name: string): boolean => model.bindings.weights.has(name);
  const neuronOf = async (address: string, options: ExplainOptions = {}): Promise<NeuronExplanation> =>
    (await explain(model, address, tokens, options)) as Explanation as NeuronExplanation;

  /** What the MLP or the experts of a layer read. */
  const mlpInputOf = (layer: number): string =>
    has(`blocks.${layer}.ln2.gain`) ? `blocks.${layer}.ln2.out` : `blocks.${layer}.residMid`;

  /** What a vector is when it is added to the stream, behind a norm that a family may have there. */
  function added(vector: readonly number[], norm: string, position: number): readonly number[] {
    if (!has(`${norm}.gain`)) return vector;
    const scale = run.get(`${norm}.scale`).at(position, 0);
    return vector.map((x, i) => (x * weights(`${norm}.gain`)[i]) / scale);
  }

  /** Tokens whose logits a vector moves most, as plain loops have it. */
  function expectMoved(found: readonly MovedToken[], vector: readonly number[], position: number, sign: number): void {
    const divisor = run.get("lnFinal.scale").at(position, 0);
    const logits = readout(vector, model, weights).map((x) => x / divisor);
    const expected = logits.toSorted((a, b) => sign * (b - a)).slice(0, found.length);
    for (const [rank, { token, logit }] of found.entries()) {
      expect(logit).toBeCloseTo(expected[rank], 4);
      expect(logit).toBeCloseTo(logits[token], 4);
    }
  }

  it("a neuron's sums are those of its inputs and weights, and give its value", async () => {
    const { nLayers, dModel } = model.config;
    for (const [layer, position] of [
      [0, 0],
      [nLayers - 1, 3],
      [1, tokens.length - 1],
    ]) {
      const mlps = plainMlps(layer, position, model, run, weights);
      // The MLP; or the expert that comes first, and the one that comes last.
      for (const mlp of new Set([mlps[0], mlps.at(-1) as PlainMlp])) {
        const neuron = mlp.post.length - 1 - layer;
        const found = await neuronOf(`${mlp.neuron}${neuron}@${position}`, { nTerms: 4 });
        const [first, up] = found.branches;
        expect(found.branches.map(({ name }) => name)).toEqual(model.architecture === "gpt2" ? ["up"] : ["gate", "up"]);
        expect(found.value).toBe(mlp.post[neuron]);
        expect(found.factor).toBe(mlp.factor);
        expect(found.activated * (found.multiplied ?? 1)).toBeCloseTo(found.value, 5);
        if (model.architecture !== "gpt-oss") expect(found.multiplied).toBe(up?.value);
        expect(first.value).toBe(mlp.at("pre")[neuron]);
        const inputs = row(mlpInputOf(layer), position);
        for (const branch of found.branches) {
          expectSum(branch, dModel);
          const name = branch.name === "gate" ? "Gate" : "Up";
          const into = mlp.row(`w${name}`, neuron);
          expect(branch.bias).toBeCloseTo(mlp.biasOf(`b${name}`, neuron) ?? 0, 6);
          const products = inputs.map((x, i) => x * into[i]);
          const largest = products.toSorted((a, b) => Math.abs(b) - Math.abs(a)).slice(0, 4);
          for (const [i, term] of branch.terms.entries()) {
            expect(term.value).toBeCloseTo(largest[i], 5);
            expect(term.value).toBeCloseTo(products[term.dimension], 5);
            expect(term.input).toBe(inputs[term.dimension]);
            expect(term.weight).toBeCloseTo(into[term.dimension], 6);
            expect(term.resid).toBe(run.get(`blocks.${layer}.residMid`).at(position, term.dimension));
          }
        }
      }
    }
  });

  it("each writer's part of a sum, and of each of its terms, is what plain loops trace back through the norm", async () => {
    const { nLayers, dModel } = model.config;
    const [layer, neuron, position] = [nLayers - 1, 5, 4];
    const [mlp] = plainMlps(layer, position, model, run, weights);
    const found = await neuronOf(`${mlp.neuron}${neuron}@${position}`, { nTerms: 3, nNeurons: 1000, nWriters: 10_000 });
    const norm = `blocks.${layer}.ln2`;
    const divisor = has(`${norm}.gain`) ? run.get(`${norm}.scale`).at(position, 0) : 1;
    expect(found.divisor).toBe(divisor);
    const stream = { nAttentions: layer + 1, nMlps: layer };
    for (const { name, terms, writers } of found.branches) {
      const into = mlp.row(name === "gate" ? "wGate" : "wUp", neuron);
      const expectTraced = (list: typeof writers, at: readonly number[]): void => {
        const before = has(`${norm}.gain`) ? beforeNorm(at, norm, model, weights) : at;
        const direction = before.map((x) => x / divisor);
        const expected = plainComponents(direction, position, stream, model, run, weights);
        const parts = list.filter(({ kind }) => kind !== "normBias");
        expect(parts.map(({ label }) => label).sort()).toEqual([...expected.keys()].sort());
        for (const { label, value } of parts) expect(value).toBeCloseTo(expected.get(label) as number, 4);
      };
      expectTraced(writers, into);
      for (const { dimension, value, normBias, writers: wrote } of terms) {
        expectTraced(
          wrote,
          range(dModel).map((i) => (i === dimension ? into[i] : 0)),
        );
        const bias = has(`${norm}.bias`) ? weights(`${norm}.bias`)[dimension] * into[dimension] : 0;
        expect(normBias).toBeCloseTo(bias, 6);
        expect(sum(wrote.map(partOf)) + normBias).toBeCloseTo(value, 4);
      }
    }
  });

  it("a neuron writes its column of the output weights times its value, which moves logits as it says", async () => {
    const [neuron, position] = [3, 2];
    const [mlp] = plainMlps(1, position, model, run, weights);
    const { value, written } = await neuronOf(`${mlp.neuron}${neuron}@${position}`);
    const column = added(
      mlp.column(neuron).map((x) => x * value * mlp.factor),
      "blocks.1.ln2Post",
      position,
    );
    expect(written.length).toBeCloseTo(length(column), 4);
    expectMoved(written.promotes, column, position, 1);
    expectMoved(written.suppresses, column, position, -1);
  });

  it("a head's z is the sum of what it took from each position, and its result what those write", async () => {
    const { nLayers, nHeads } = model.config;
    for (const [layer, head, position] of [
      [0, 0, 0],
      [nLayers - 1, nHeads - 1, 5],
      [1, 1, tokens.length - 1],
    ]) {
      const found = (await explain(model, `L${layer}.H${head}@${position}`, tokens)) as Explanation as HeadExplanation;
      const part = `blocks.${layer}.attn`;
      const pattern = run.get(`${part}.pattern`).row(head, position).data;
      const v = run.get(`${part}.v`);
      const [, nKvHeads] = v.shape;
      expect(found.kvHead).toBe(Math.floor(head / (nHeads / nKvHeads)));
      expect(found.z).toEqual(Array.from(run.get(`${part}.z`).row(position, head).data));
      expect(found.remainder).toBeLessThanOrEqual(1e-6 * Math.max(1, length(found.z)));
      const seen = range(position + 1).filter((s) => pattern[s] > 0);
      expect(found.sources.map((source) => source.position).sort((a, b) => a - b)).toEqual(seen);
      const lengths = range(position + 1).map((s) => pattern[s] * length(v.row(s, found.kvHead).data));
      for (const { position: s, weight, share } of found.sources) {
        expect(weight).toBe(pattern[s]);
        expect(share).toBeCloseTo(lengths[s] / sum(lengths), 5);
      }
      expect(sum(found.sources.map(({ share }) => share))).toBeCloseTo(1, 5);
      expect(sum(found.sources.map(({ shareOfResult }) => shareOfResult))).toBeCloseTo(1, 4);
      const result = Array.from(run.get(`${part}.result`).row(position, head).data);
      // Position s alone would write weight · v · wOᵀ.
      const wO = weights(`${part}.wO`);
      const headDim = found.z.length;
      const first = found.sources[0];
      const alone = result.map((_, i) => {
        const from = (i * nHeads + head) * headDim;
        return first.weight * dot(wO.slice(from, from + headDim), v.row(first.position, found.kvHead).data);
      });
      expect(first.shareOfResult).toBeCloseTo(dot(alone, result) / dot(result, result), 4);
      const written = added(result, `blocks.${layer}.ln1Post`, position);
      expect(found.written.length).toBeCloseTo(length(written), 4);
      expectMoved(found.written.promotes, written, position, 1);
    }
  });

  it("a logit is what its attribution to heads and neurons says", async () => {
    const of = { token: 4, minus: 9 };
    const expected = await attribution(model, tokens, { of: 4, position: 2, detail: "neuron", topNeurons: 3 });
    expect(await explain(model, "logits[4]@2", tokens)).toEqual({ kind: "logit", address: "logits[4]@2", ...expected });
    const difference = await attribution(model, tokens, { of, detail: "neuron", topNeurons: 1 });
    const explained = await explain(model, "logits[4 - 9]", tokens, { nNeurons: 1 });
    expect(explained).toEqual({ kind: "logit", address: "logits[4 - 9]", ...difference });
  });
});

describe("on two layers of integers", () => {
  it("a neuron's terms and writers are what a calculation by hand gives", async () => {
    const model = await openIntegerModel();
    const found = (await explain(model, "L1.N1", [0])) as Explanation as NeuronExplanation;
    await model.close();
    // The norm makes [1, −1] of the stream [5, −3], dividing by 4; the weights are [−1, −3].
    expect(found).toMatchObject({ value: 2, activation: "relu", activated: 2, position: 0 });
    const [{ value, bias, terms, rest, writers }] = found.branches;
    expect([value, bias, rest]).toEqual([2, 0, { nTerms: 0, value: 0 }]);
    expect(terms.map(({ dimension, resid, input, weight, value }) => [dimension, resid, input, weight, value])).toEqual(
      [
        [1, -3, -1, -3, 3],
        [0, 5, 1, -1, -1],
      ],
    );
    // The direction at the stream is [−1, −3], centred: [1, −1].
    const expected = { embed: 2, posEmbed: 2, "L0.H0": 1, "L0.H1": -1, "L0.attn bias": -1, "L0.N0": 6, "L0.N1": 0 };
    const later = { "L0.mlp bias": 1, "L1.H0": -1, "L1.H1": -1, "L1.attn bias": 0 };
    const quarters = Object.fromEntries(writers.map((writer) => [writer.label, 4 * writer.value]));
    expect(quarters).toEqual({ ...expected, ...later });
    // It writes [2, 0], centred [1, −1], through the gain [2, 1] and the divisor 4.5.
    expect(found.written.promotes.map(({ token, logit }) => [token, Math.round(logit * 4.5 * 1e5) / 1e5])).toEqual([
      [0, 4],
      [1, 1],
      [2, -3],
    ]);
  });
});

describe("an explanation", () => {
  const text = "Lily and her mom went to the park. She saw a big";
  let model: Model;
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  it("is of the last position unless the address names one, from either end", async () => {
    for (const [address, position] of [
      ["L2.N40", 16],
      ["L2.N40@-2", 15],
      ["L2.H3@0", 0],
      ['logits[" b"]@-17', 0],
    ] as const) {
      expect((await explain(model, address, text)).position).toBe(position);
    }
  });

  it("names tokens by their texts as JSON writes them", async () => {
    const found = await explain(model, 'logits[" b" - " t"]', text);
    expect(found).toMatchObject({ token: { text: " b" }, minus: { text: " t" } });
    expect(await explain(model, 'logits["\\u0020b"]', text)).toMatchObject({ token: { text: " b" } });
  });

  it("is of what edits leave, and shows what they changed", async () => {
    const edited = (await explain(model, "L2.N40", text, {
      edits: ["L2.N40 = 3"],
    })) as Explanation as NeuronExplanation;
    expect(edited.value).toBe(3);
    expectSum(edited.branches[0], model.config.dModel);
    const without = (await explain(model, "L2.N40", text, {
      edits: ["embed = 0"],
    })) as Explanation as NeuronExplanation;
    expect(without.branches[0].writers.find(({ kind }) => kind === "embed")?.value).toBe(0);
    expectSum(without.branches[0], model.config.dModel);
  });

  it("is plain data, and prints itself in as many columns as it may", async () => {
    for (const address of ["L2.N40@7", "L2.H3@7", 'logits[" b"]']) {
      const found = await explain(model, address, text);
      expect(JSON.parse(JSON.stringify(found)).rows.length).toBeGreaterThan(0);
      for (const width of [40, 80, 120]) {
        const lines = found.toString({ width }).split("\n");
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
      }
    }
    const options = { nTerms: 2, nTokens: 2 };
    // It shows the backend's rounding, too.
    if (!isReference) return;
    const shown = async (address: string): Promise<string> => `${await explain(model, address, text, options)}`;
    expect(await shown("L1.N15")).toMatchInlineSnapshot(`
      "L1.N15 at position 16 " big": 2.8763 = silu(2.3151) · 1.3651 = 2.1070 · 1.3651

      gate = 2.3151 (blocks.1.mlp.pre) by input
          input  stream  normed  weight  product  written by
              1   0.820   1.005   0.355    0.357  embed 0.17  L0.N5 0.11
             31   1.227   1.350   0.253    0.342  L0.N96 0.13  embed 0.034
       62 other       –       –       –    1.617
      remainder       –       –       –   3.6e-8

      gate by what wrote its inputs
      embed               0.564  ████████████████
      L0 other neurons    0.528  ███████████████
      19 smaller ones     1.223  ████████████████
      remainder         -9.4e-8

      up = 1.3651 (blocks.1.mlp.preLinear) by input
          input  stream  normed  weight  product  written by
             62   1.039   1.673   0.224    0.374  embed 0.14  L0.N96 0.13
             43   0.518   0.884  -0.216   -0.191  L0.N96 -0.069  L0.N5 -0.064
       62 other       –       –       –    1.182
      remainder       –       –       –  -4.3e-9

      up by what wrote its inputs
      L0.N62             0.255  ████████████████
      L0.N96             0.247  ███████████████▌
      19 smaller ones    0.863  ████████████████
      remainder        -5.5e-9

      writes a vector of length 2.406, which moves logits directly
        up    " and" +2.40  "," +2.32
        down  " Once" -1.58  "im" -1.57"
    `);
    expect(await shown("L1.H2@4")).toMatchInlineSnapshot(`
      "L1.H2 at position 4 " mom": Σ weight · v of key-value head 1

      from  token    weight    |v|  share  of result
         1  " Lily"   0.246  1.039  0.265      0.438  ████▎
         0  "<s>"     0.243  0.937  0.235      0.237  ███▊
      and 3 other positions
      largest difference from z: 0.0e+0

      writes a vector of length 0.2069, which moves logits directly
        up    " time" +0.145  "le" +0.138
        down  "ver" -0.149  "pp" -0.140"
    `);
  });

  it.each([
    ["L2", "one number at one position"],
    ["L2.N*", "L2.N*"],
    ["L*.H3", "5 addresses"],
    ["L2.mlp", "one number at one position"],
    ["L2.H3@2:4", "one number at one position"],
    ["L2.H3@all", "one number at one position"],
    ["L2.H3.pattern", "one number at one position"],
    ["embed[3]", "one number at one position"],
    ["L2.N40@17", "explain: position"],
    ["L9.N40", "L9"],
    ["logits", "one number at one position"],
    ['logits["two words"]', "one whole token"],
    ["logits[600]", "token's id"],
    ['logits["\\q"]', "quotes as in JSON"],
  ])("refuses %s and says why", async (address, words) => {
    const error = await explain(model, address, text).catch((reason) => reason);
    expect(error).toBeInstanceOf(GolgiError);
    expect(error.message).toContain(words);
  });

  it.each([{ nTerms: 0 }, { nWriters: -1 }, { nTokens: 0.5 }, { terms: 3 }])("refuses %j", async (options) => {
    await expect(explain(model, "L2.N40", text, options as object)).rejects.toThrow(
      `explain: ${Object.keys(options)[0]}`,
    );
  });
});
