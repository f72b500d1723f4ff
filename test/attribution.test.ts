/** Direct logit attribution: sums that add up, and parts that plain loops over points and weights give. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PointError, RequestError } from "../src/errors.ts";
import { rmsNorm } from "../src/ops/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { buildTape, input, point, weight } from "../src/tape/builder.ts";
import { type Attribution, attribution } from "../src/views/attribution.ts";
import { checkPlainPart, DETAILS } from "../src/views/components.ts";
import { lens } from "../src/views/lens.ts";
import type { Component } from "../src/views/writers.ts";
import { stories260K } from "./support/fixtures.ts";
import { isReference, open } from "./support/open.ts";
import {
  ATTRIBUTION_CASES,
  beforeNorm,
  openCase,
  openIntegerModel,
  plainComponents,
  plainMlps,
  unembedRow,
} from "./support/plain-attribution.ts";
import { TOLERANCE } from "./support/tolerance.ts";
import { dot, range, sum, type Weights } from "./support/view-cases.ts";

const valuesOf = (components: readonly Component[]): Map<string, number> =>
  new Map(components.map(({ label, value }) => [label, value]));

/** More neurons than any layer has. */
const ALL = 100_000;

/** A row's number, computed in a step of one row and of many. */
function expectSameRow(actual: number, expected: number): void {
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(isReference ? 0 : TOLERANCE.rows);
}

function expectSum({ value, components, others, remainder }: Attribution): void {
  const total = sum(components.map((component) => component.value));
  expect(total + others + remainder).toBeCloseTo(value, 10);
  expect(Math.abs(remainder)).toBeLessThanOrEqual(1e-4 * Math.max(1, Math.abs(value)));
}

/** Within the rounding of float32 sums over a model's width. */
function expectValues(actual: ReadonlyMap<string, number>, expected: ReadonlyMap<string, number>): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  const wrong = [...expected].filter(([label, value]) => {
    return Math.abs((actual.get(label) as number) - value) > 1e-4 * Math.max(1, Math.abs(value));
  });
  expect(wrong).toEqual([]);
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

  it.each(DETAILS)("at the detail %s, components and remainder add up to the model's own logit", async (detail) => {
    const [token, minus] = [3, model.config.vocabSize - 1];
    for (const position of [0, 4, -1]) {
      const one = await attribution(model, tokens, { of: token, position, detail });
      expectSameRow(one.value, run.logits.at(position, token));
      expectSum(one);
      const difference = await attribution(model, tokens, { of: { token, minus }, position, detail });
      expectSameRow(difference.value, run.logits.at(position, token) - run.logits.at(position, minus));
      expectSum(difference);
    }
  });

  it("gives each head, neuron and bias what it writes along the token's direction", async () => {
    const [token, position] = [7, 3];
    const { nLayers } = model.config;
    const row = unembedRow(token, model, weights);
    const divisor = run.get("lnFinal.scale").at(position, 0);
    const direction = beforeNorm(row, "lnFinal", model, weights).map((x) => x / divisor);
    const stream = { nAttentions: nLayers, nMlps: nLayers };
    const expected = plainComponents(direction, position, stream, model, run, weights);
    if (model.bindings.weights.has("lnFinal.bias")) expected.set("final norm bias", dot(weights("lnFinal.bias"), row));
    const uncapped = "logitsBeforeSoftcap";
    if (run.points.includes(uncapped)) {
      expected.set("softcap", run.logits.at(position, token) - run.get(uncapped).at(position, token));
    }
    const whole = await attribution(model, tokens, { of: token, position, detail: "neuron", topNeurons: ALL });
    expect(whole.divisor).toBeCloseTo(divisor, 5);
    expectValues(valuesOf(whole.components), expected);
    // Coarser parts are sums of the finer ones.
    const inLayer = (kind: RegExp, layer: number): number =>
      sum(
        [...expected].filter(([label]) => label.startsWith(`L${layer}.`) && kind.test(label)).map(([, value]) => value),
      );
    const layers = valuesOf((await attribution(model, tokens, { of: token, position, detail: "layer" })).components);
    const heads = valuesOf((await attribution(model, tokens, { of: token, position })).components);
    for (const layer of range(nLayers)) {
      expect(layers.get(`L${layer}.attn`)).toBeCloseTo(inLayer(/\.H|attn/, layer), 3);
      expect(layers.get(`L${layer}.mlp`)).toBeCloseTo(inLayer(/\.N|mlp|\.E|shared/, layer), 3);
      // The bias of an MLP is told apart from it, that of an expert is not.
      for (const { label } of plainMlps(layer, position, model, run, weights)) {
        const ofLabel = label.endsWith(".mlp") ? /\.N/ : new RegExp(`${label}[. ]`);
        expect(heads.get(label)).toBeCloseTo(inLayer(ofLabel, layer), 3);
      }
    }
  });

  it("names the largest neurons of each layer, and adds up the others", async () => {
    const options = { of: 2, detail: "neuron" } as const;
    const { nLayers } = model.config;
    const { components: all } = await attribution(model, tokens, { ...options, topNeurons: ALL });
    const { components } = await attribution(model, tokens, { ...options, topNeurons: 3 });
    // The shared expert of a sparse layer has a list of its own.
    for (const layer of range(nLayers)) {
      for (const isShared of [false, true]) {
        const here = ({ kind, layer: at, label }: Component, wanted: string): boolean =>
          kind === wanted && at === layer && label.includes(".shared") === isShared;
        const sorted = all.filter((one) => here(one, "neuron")).map(({ value }) => value);
        const named = components.filter((one) => here(one, "neuron"));
        expect(named.map(({ value }) => value)).toEqual(sorted.slice(0, 3));
        const others = components.find((one) => here(one, "otherNeurons"));
        if (sorted.length > 0) expect(others?.value).toBeCloseTo(sum(sorted.slice(3)), 4);
      }
    }
    const none = await attribution(model, tokens, { ...options, topNeurons: 0 });
    expect(none.components.filter(({ kind }) => kind === "neuron")).toEqual([]);
    expectSum(none);
  });

  it("after an inner layer takes apart the logit that the lens has there", async () => {
    const [token, position] = [5, 2];
    const { streams } = await lens(model, tokens, { layers: [0], positions: position, target: token });
    const found = await attribution(model, tokens, { of: token, position, layer: 0 });
    expect(found.value).toBe(streams[0].positions[0].target?.logit);
    expectSum(found);
    expect(found.components.every(({ layer = 0 }) => layer === 0)).toBe(true);
  });

  it("takes apart the stream along any direction", async () => {
    const of = range(model.config.dModel).map((i) => Math.cos(i));
    const last = `blocks.${model.config.nLayers - 1}.residPost`;
    for (const detail of DETAILS) {
      const found = await attribution(model, tokens, { of, position: 1, detail });
      expect(found.value).toBeCloseTo(dot(run.get(last).row(1).data, of), 3);
      expect(found.divisor).toBe(1);
      expectSum(found);
    }
  });
});

describe("on two layers of integers", () => {
  // The stream is [3, −1] after the embeddings, [6, −4] after layer 0 and [7, −2] in the end, where the norm divides by
  // 4.5. Token 0's direction is [2, 0] · [2, 1], centred: [2, −2].
  const expected = new Map([
    ["embed", 4 / 4.5], // [2, 0]
    ["posEmbed", 4 / 4.5], // [1, −1]
    ["L0.H0", 2 / 4.5], // z = 1 writes [1, 0]
    ["L0.H1", -2 / 4.5], // z = −1 writes −[2, 1]
    ["L0.attn bias", -2 / 4.5], // [0, 1]
    ["L0.N0", 12 / 4.5], // relu(2 · 1 + 1) = 3 writes 3 · [1, −1]
    ["L0.N1", 0], // relu(−2)
    ["L0.mlp bias", 2 / 4.5], // [1, 0]
    ["L1.H0", -2 / 4.5], // z = −1 writes [−1, 0]
    ["L1.H1", -2 / 4.5], // z = 1 writes [0, 1]
    ["L1.attn bias", 0],
    ["L1.N0", -2 / 4.5], // relu(1 − 1 + 1) = 1 writes [0, 1]
    ["L1.N1", 4 / 4.5], // relu(−1 + 3) = 2 writes 2 · [1, 0]
    ["L1.mlp bias", 0],
    ["final norm bias", 1], // [0.5, 0.25] · [2, 0]
  ]);

  it("every part is what a calculation by hand gives", async () => {
    const model = await openIntegerModel();
    const found = await attribution(model, [0], { of: 0, detail: "neuron" });
    await model.close();
    expect(found.value).toBeCloseTo(5, 6);
    expect(found.divisor).toBeCloseTo(4.5, 6);
    expect(found.components).toHaveLength(expected.size);
    for (const [label, value] of valuesOf(found.components))
      expect(value).toBeCloseTo(expected.get(label) as number, 6);
    expect(found.remainder).toBeCloseTo(0, 6);
  });
});

describe("an attribution", () => {
  const text = "Lily and her mom went to the park. She saw a big";
  let model: Model;
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  it("is of the token that the model predicts, unless another is asked for by its text or id", async () => {
    const { logits } = await model.run(text, { logits: "last" });
    const predicted = await attribution(model, text);
    expect(predicted.value).toBe(Math.max(...logits.data));
    expect(predicted.position).toBe(model.encode(text).length - 1);
    const id = predicted.token?.token as number;
    expect(predicted.token?.text).toBe(model.tokenizer.text(id));
    expect(await attribution(model, text, { of: id })).toEqual(predicted);
    expect(await attribution(model, text, { of: model.tokenizer.text(id) })).toEqual(predicted);
  });

  it("takes a text for the token that reads so, not for what encoding makes of it", async () => {
    for (const word of [" the", "ent", "<s>"]) {
      const { token } = await attribution(model, text, { of: word, detail: "layer" });
      expect(token?.text).toBe(word);
    }
  });

  it("lists the kinds asked for, and adds up the others", async () => {
    const all = await attribution(model, text);
    const heads = await attribution(model, text, { kinds: ["head"] });
    expect(heads.components).toEqual(all.components.filter(({ kind }) => kind === "head"));
    const others = all.components.filter(({ kind }) => kind !== "head");
    expect(heads.others).toBeCloseTo(sum(others.map(({ value }) => value)), 10);
    expect(heads.remainder).toBeCloseTo(all.remainder, 10);
  });

  it("leaves nothing over in float64", async () => {
    const precise = await open(stories260K, { precision: "f64" });
    for (const detail of DETAILS) {
      expect(Math.abs((await attribution(precise, text, { of: 5, detail })).remainder)).toBeLessThan(1e-12);
    }
    await precise.close();
  });

  it("of a text of one token has all of its parts", async () => {
    expectSum(await attribution(model, [1], { detail: "neuron" }));
  });

  it("shows an edit of a part in that part, and an edit of the stream as the remainder", async () => {
    const plain = await attribution(model, text, { of: 5 });
    const without = await attribution(model, text, { of: 5, edits: ["L2.H3 = 0"] });
    expect(valuesOf(without.components).get("L2.H3")).toBe(0);
    expect(without.value).not.toBe(plain.value);
    expectSum(without);
    const direction = range(model.config.dModel).map((i) => Math.sin(i));
    const steered = await attribution(model, text, { of: direction, edits: [{ at: "L4", add: direction }] });
    expect(steered.remainder).toBeCloseTo(dot(direction, direction), 4);
    for (const position of [3, -1]) {
      const raised = await attribution(model, text, { of: 5, position, edits: ["logits[5] += 2"] });
      expect(raised.remainder).toBeCloseTo(2, 4);
    }
  });

  it("is plain data, and prints itself in as many columns as it may", async () => {
    const found = await attribution(model, text, { detail: "neuron" });
    const { rows, ...rest } = JSON.parse(JSON.stringify(found));
    expect(rows).toEqual(rest.components);
    for (const width of [40, 80, 120]) {
      const lines = found.toString({ width }).split("\n");
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
    }
    expect(found.toString()).toContain("L1.N15");
  });

  it.each([
    [{ position: 17 }, "position", RequestError],
    [{ position: 0.5 }, "position", RequestError],
    [{ layer: 5 }, "layer", RequestError],
    [{ of: 512 }, "token's id", RequestError],
    [{ of: -1 }, "token's id", RequestError],
    [{ of: "Lily and" }, "one whole token", RequestError],
    [{ of: [1, 2] }, "64 finite numbers", RequestError],
    [{ of: { token: 1 } }, "{ token, minus }", RequestError],
    [{ detail: "heads" }, "detail", RequestError],
    [{ kinds: ["heads"] }, "kinds", RequestError],
    [{ topNeurons: -1 }, "topNeurons", RequestError],
    [{ neurons: 3 }, "neurons", RequestError],
    [{ edits: ["L9.H1 = 0"] }, "L9", PointError],
  ])("refuses %j and says why", async (options, words, kind) => {
    const error = await attribution(model, text, options as object).catch((reason) => reason);
    expect(error).toBeInstanceOf(kind);
    expect(error.message).toContain(words);
  });

  it("refuses heads where something other than a norm of the family stands between a part's output and the stream", () => {
    const tape = buildTape("post-norm", () => {
      const [out, gain] = [point("blocks.0.attn.out", input("x", "float", [2])), weight("postNorm.gain", [2])];
      return { out: point("blocks.0.attn.contribution", rmsNorm(out, gain, { eps: 1e-6 })) };
    });
    const check = () => checkPlainPart("attribution", { tape, architecture: "post-norm" }, 0, "attn");
    expect(check).toThrow(/blocks\.0\.attn\.contribution, which is neither in the family post-norm.* detail: "layer"/);
  });
});
