/** Layers with experts in float64, against plain loops over the weights as the checkpoint has them. */

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openModel, reference } from "../src/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { MemoryFolder } from "./checkpoint-files.ts";
import { fixture, goldenTokens } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { normalized, plainChoice, type RouterRule, softmax } from "./support/plain-router.ts";
import { deviation, sameBits, tensorOf } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";
import { dot, range, readWeights, sum } from "./support/view-cases.ts";

interface Family extends Pick<RouterRule, "scores" | "weigh"> {
  /** The value of a neuron from its gate and its other branch. */
  readonly neuron: (gate: number, up: number) => number;
}

const silu = (x: number): number => x / (1 + Math.exp(-x));
const swiglu = (gate: number, up: number): number => silu(gate) * up;
const asTheyAre = (values: readonly number[]): readonly number[] => values;

/** SwiGLU as gpt-oss has it. */
const clamped = (limit: number, alpha: number) => (gate: number, up: number) => {
  const g = Math.min(gate, limit);
  return (Math.max(-limit, Math.min(up, limit)) + 1) * g * (1 / (1 + Math.exp(-alpha * g)));
};

const FAMILIES: Readonly<Record<string, Family>> = {
  "mixtral-window-tied": { scores: softmax, weigh: normalized, neuron: swiglu },
  "mixtral-packed": { scores: softmax, weigh: normalized, neuron: swiglu },
  "qwen2-moe": { scores: softmax, weigh: asTheyAre, neuron: swiglu },
  "qwen3-moe": { scores: softmax, weigh: normalized, neuron: swiglu },
  "qwen3-moe-packed": { scores: softmax, weigh: asTheyAre, neuron: swiglu },
  olmoe: { scores: softmax, weigh: asTheyAre, neuron: swiglu },
  "gpt-oss": { scores: asTheyAre, weigh: softmax, neuron: clamped(1.5, 1.3) },
  "gpt-oss-mxfp4": { scores: asTheyAre, weigh: softmax, neuron: clamped(7, 1.702) },
};

describe.each(Object.entries(FAMILIES))("%s", (name, { neuron, ...router }) => {
  const directory = fixture(`goldens/${name}`);
  let model: Model;
  let run: Run;
  let stored: (weight: string) => readonly number[];

  beforeAll(async () => {
    model = await open(directory, { precision: "f64" });
    run = await model.run(await goldenTokens(name), { read: ["**"] });
    stored = await readWeights(directory, model);
  });
  afterAll(() => model.close());

  interface Layer {
    readonly at: (point: string) => Tensor;
    readonly weight: (name: string) => Tensor;
    /** A bias, or 0 where the family has none. */
    readonly bias: (name: string, ...index: number[]) => number;
  }
  const forEachSparse = (check: (layer: Layer) => void): void => {
    const { layers } = model.config.sparse!;
    expect(layers).toContain(true);
    for (const [i, isSparse] of layers.entries()) {
      const { weights } = model.bindings;
      const weight = (part: string): Tensor => {
        const full = `blocks.${i}.${part}`;
        return new Tensor(weights.get(full)!.shape, Float64Array.from(stored(full)));
      };
      const bias = (part: string, ...index: number[]): number =>
        weights.has(`blocks.${i}.${part}`) ? weight(part).at(...index) : 0;
      if (isSparse) check({ at: (point) => run.get(`blocks.${i}.${point}`), weight, bias });
    }
  };
  const expectClose = (actual: Tensor, shape: readonly number[], expected: (...index: number[]) => number): void => {
    expect(deviation(actual, tensorOf(shape, expected))).toBeLessThanOrEqual(TOLERANCE.identity);
  };

  it("has the points of experts in its sparse layers, and those of an MLP in the others", () => {
    for (const [i, isSparse] of model.config.sparse!.layers.entries()) {
      expect(run.points.includes(`blocks.${i}.experts.post`)).toBe(isSparse);
      expect(run.points.includes(`blocks.${i}.mlp.post`)).toBe(!isSparse);
    }
  });

  it("chooses experts, and weighs them, as its router's few lines do", () => {
    const { nExperts, nExpertsPerToken } = model.config.sparse!;
    forEachSparse(({ at, weight, bias }) => {
      const [x, logits, weights] = ["ln2.out", "router.logits", "router.weights"].map(at);
      const wRouter = weight("router.wRouter");
      const nTokens = x.shape[0];
      expectClose(
        logits,
        [nTokens, nExperts],
        (t, e) => dot(x.row(t).data, wRouter.row(e).data) + bias("router.bRouter", e),
      );
      const choices = range(nTokens).map((t) => plainChoice({ nExpertsPerToken, ...router }, [...logits.row(t).data]));
      expect([...at("router.indices").data]).toEqual(choices.flatMap(({ experts }) => experts));
      expectClose(weights, [nTokens, nExpertsPerToken], (t, a) => choices[t].weights[a]);
      const selection = run.points.some((point) => point.endsWith("router.scores")) ? "router.scores" : "router.logits";
      expect(at("router.limitedScores").data).toEqual(at(selection).data);
      expectClose(at(selection), [nTokens, nExperts], (t, e) => router.scores([...logits.row(t).data])[e]);
    });
  });

  it("computes every neuron of every chosen expert from that expert's own rows", () => {
    forEachSparse(({ at, weight, bias }) => {
      const [x, indices, pre, preLinear, post, out] = [
        ...["ln2.out", "router.indices"],
        ...["experts.pre", "experts.preLinear", "experts.post", "experts.out"],
      ].map(at);
      const [wGate, wUp, wDown] = ["experts.wGate", "experts.wUp", "experts.wDown"].map(weight);
      const branch = (w: Tensor, b: string) => (t: number, a: number, i: number) => {
        const e = indices.at(t, a);
        return dot(x.row(t).data, w.row(e, i).data) + bias(b, e, i);
      };
      expectClose(pre, pre.shape, branch(wGate, "experts.bGate"));
      expectClose(preLinear, pre.shape, branch(wUp, "experts.bUp"));
      expectClose(post, pre.shape, (...index) => neuron(pre.at(...index), preLinear.at(...index)));
      expectClose(out, [...indices.shape, x.shape[1]], (t, a, i) => {
        const e = indices.at(t, a);
        return dot(post.row(t, a).data, wDown.row(e, i).data) + bias("experts.bDown", e, i);
      });
    });
  });

  it("adds up weight times output of the chosen experts, and the shared one, to what the layer gives", () => {
    forEachSparse(({ at, weight }) => {
      const [x, weights, out, contribution, total, mlpOut] = [
        ...["ln2.out", "router.weights", "experts.out"],
        ...["experts.contribution", "experts.sum", "mlp.out"],
      ].map(at);
      expectClose(contribution, out.shape, (t, a, i) => weights.at(t, a) * out.at(t, a, i));
      const slots = range(weights.shape[1]);
      expectClose(total, x.shape, (t, i) => sum(slots.map((a) => contribution.at(t, a, i))));
      const shared = (t: number, i: number): number => (hasShared ? at("shared.contribution").at(t, i) : 0);
      const hasShared = model.config.sparse!.dShared > 0;
      expectClose(mlpOut, x.shape, (t, i) => total.at(t, i) + shared(t, i));
      expect(at("mlp.contribution")).toEqual(mlpOut);
      if (!hasShared) return;
      const [gate, sharedOut, post] = ["shared.gate", "shared.out", "shared.post"].map(at);
      const [wGate, wUp, wDown] = ["shared.wGate", "shared.wUp", "shared.wDown"].map(weight);
      expectClose(gate, gate.shape, (t) => 1 / (1 + Math.exp(-dot(x.row(t).data, weight("shared.wSharedGate").data))));
      expectClose(post, post.shape, (t, i) =>
        swiglu(dot(x.row(t).data, wGate.row(i).data), dot(x.row(t).data, wUp.row(i).data)),
      );
      expectClose(sharedOut, x.shape, (t, i) => dot(post.row(t).data, wDown.row(i).data));
      expectClose(at("shared.contribution"), x.shape, (t, i) => gate.at(t, 0) * sharedOut.at(t, i));
    });
  });

  it("takes nothing from experts that no token chose, and something from each of the others", async () => {
    const tokens = (await goldenTokens(name)).slice(0, 1);
    const before = await model.run(tokens, { read: ["**"] });
    const { nExperts, layers } = model.config.sparse!;
    const chosenIn = (layer: number): number[] => [...before.get(`blocks.${layer}.router.indices`).data];
    const spoilt = async (which: (layer: number) => number[]): Promise<Run> => {
      const bytes = new Uint8Array(readFileSync(`${directory}/model.safetensors`));
      for (const layer of range(layers.length).filter((i) => layers[i])) {
        for (const expert of which(layer)) spoilExpert(bytes, layer, expert);
      }
      const config = new Uint8Array(readFileSync(`${directory}/config.json`));
      const folder = new MemoryFolder({ "config.json": config, "model.safetensors": bytes });
      const other = await openModel({ folder }, host, [reference], { precision: "f64" });
      return other.run(tokens, { read: ["**"] }).finally(() => other.close());
    };
    const after = await spoilt((layer) => range(nExperts).filter((expert) => !chosenIn(layer).includes(expert)));
    expect(before.points.filter((point) => !sameBits(before.get(point), after.get(point)))).toEqual([]);
    expect(sameBits(before.logits, after.logits)).toBe(true);
    for (const slot of range(model.config.sparse!.nExpertsPerToken)) {
      const { logits } = await spoilt((layer) => [chosenIn(layer)[slot]]);
      expect(sameBits(before.logits, logits)).toBe(false);
    }
  });
});

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

/** Overwrites all that one expert has in a safetensors file with NaN, or in MXFP4 with the largest numbers. */
function spoilExpert(bytes: Uint8Array, layer: number, expert: number): void {
  const nHeaderBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + nHeaderBytes)));
  const own = new RegExp(`\\.layers\\.${layer}\\..*\\.experts\\.(?:${expert}\\.|(?!\\d))`);
  for (const [tensor, entry] of Object.entries<{ shape: number[]; data_offsets: [number, number] }>(header)) {
    if (!own.test(tensor)) continue;
    const [from, to] = entry.data_offsets;
    const isPacked = !tensor.includes(`.experts.${expert}.`);
    const size = isPacked ? (to - from) / entry.shape[0] : to - from;
    const start = 8 + nHeaderBytes + from + (isPacked ? expert * size : 0);
    bytes.fill(0xff, start, start + size);
  }
}

describe.each(["gpt-oss", "gpt-oss-mxfp4"])("%s", (name) => {
  it("leaves its share of the pattern to each head's sink", async () => {
    const directory = fixture(`goldens/${name}`);
    const model = await open(directory, { precision: "f64" });
    const stored = await readWeights(directory, model);
    const run = await model.run(await goldenTokens(name), { read: ["**"] });
    for (const layer of range(model.config.nLayers)) {
      const [scores, pattern] = ["scores", "pattern"].map((part) => run.get(`blocks.${layer}.attn.${part}`));
      const sinks = stored(`blocks.${layer}.attn.sinks`);
      const share = (h: number, t: number): number =>
        Math.exp(sinks[h]) / (Math.exp(sinks[h]) + sum(scores.row(h, t).data.map(Math.exp)));
      const expected = tensorOf(pattern.shape, (h, t, s) => Math.exp(scores.at(h, t, s) - sinks[h]) * share(h, t));
      expect(deviation(pattern, expected)).toBeLessThanOrEqual(TOLERANCE.identity);
      for (const [h, t] of [
        [0, 0],
        [model.config.nHeads - 1, pattern.shape[1] - 1],
      ]) {
        expect(sum(pattern.row(h, t).data)).toBeCloseTo(1 - share(h, t), 12);
      }
    }
    await model.close();
  });
});
