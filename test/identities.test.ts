/** How a model's parts make up its whole, in float64, with the weights as the checkpoint has them. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { openSafetensors } from "../src/checkpoint/safetensors.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { decodeWeight } from "../src/weights/decode.ts";
import { fixture, goldenTokens } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, tensorOf } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

/** The keys that a row of each layer sees, itself included; undefined for all before it. */
const WINDOWS: Readonly<Record<string, readonly (number | undefined)[]>> = {
  "gpt2-hub-names": [undefined, undefined],
  "gpt2-inverse-layer-scale": [undefined, undefined, undefined],
  "llama-bias-headdim-tied": [undefined, undefined],
  "llama-linear-rope": [undefined, undefined],
  "mistral-window": [7, 7],
  "qwen2-window": [undefined, 6, 6],
  "qwen3-bias-tied": [undefined, undefined],
  gemma: [undefined, undefined],
  gemma2: [6, undefined],
  gemma3: [7, 7, undefined],
  phi3: [7, 7],
  "phi3-longrope-long": [undefined, undefined],
  olmo2: [undefined, undefined],
};

interface Scores {
  /** On rotQ · rotK, where it is not 1/√headDim in every layer. */
  readonly scale?: (layer: number, headDim: number) => number;
  readonly cap?: number;
}

const SCORES: Readonly<Record<string, Scores>> = {
  "gpt2-inverse-layer-scale": { scale: (layer, headDim) => 1 / Math.sqrt(headDim) / (layer + 1) },
  gemma2: { scale: () => 1 / Math.sqrt(5), cap: 2.5 },
  gemma3: { scale: () => 1 / Math.sqrt(5) },
};

/** What logits are kept within. */
const LOGIT_CAPS: Readonly<Record<string, number>> = { gemma2: 9 };

/** What rows of the embedding are multiplied with, where it is not 1. */
const EMBEDDING_SCALES: Readonly<Record<string, number>> = {
  gemma: Math.sqrt(20),
  gemma2: Math.sqrt(20),
  gemma3: Math.sqrt(20),
};

/** x kept within ±cap. */
const capped = (x: number, cap: number | undefined): number => (cap === undefined ? x : cap * Math.tanh(x / cap));

/** The norms of a block, where a family has them, and what each of them takes. */
const NORMS: Readonly<Record<string, string>> = {
  ln1: "residPre",
  "attn.qNorm": "attn.q",
  "attn.kNorm": "attn.k",
  ln1Post: "attn.out",
  ln2: "residMid",
  ln2Post: "mlp.out",
};

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const dot = (a: Tensor, b: Tensor): number => sum(a.data.map((value, i) => value * b.data[i]));
const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

describe.each(Object.keys(WINDOWS))("%s", (name) => {
  let model: Model;
  let tokens: number[];
  let run: Run;
  let weights: ReadonlyMap<string, Tensor>;

  beforeAll(async () => {
    const directory = fixture(`goldens/${name}`);
    model = await open(directory, { precision: "f64" });
    tokens = await goldenTokens(name);
    run = await model.run(tokens, { read: ["**"] });
    weights = await readWeights(model, directory);
  });
  afterAll(() => model.close());

  const forEachBlock = (check: (at: (point: string) => Tensor, layer: number) => void): void => {
    for (const layer of range(model.config.nLayers)) check((point) => run.get(`blocks.${layer}.${point}`), layer);
  };
  const weight = (weightName: string): Tensor => {
    const found = weights.get(weightName);
    if (found === undefined) throw new Error(`${name} has no weight ${weightName}`);
    return found;
  };
  /** A bias, or 0 where the family has none. */
  const bias = (biasName: string, index: number): number => weights.get(biasName)?.at(index) ?? 0;
  const expectClose = (actual: Tensor, shape: readonly number[], expected: (...index: number[]) => number): void => {
    expect(deviation(actual, tensorOf(shape, expected))).toBeLessThanOrEqual(TOLERANCE.identity);
  };

  it("adds to the residual stream what attention and the MLP contribute, and nothing else", () => {
    const posEmbed = run.points.includes("posEmbed") ? run.get("posEmbed") : undefined;
    const embed = run.get("embed");
    const scale = EMBEDDING_SCALES[name] ?? 1;
    expectClose(embed, embed.shape, (t, i) => scale * weight("embed").at(tokens[t], i));
    expectClose(run.get("blocks.0.residPre"), embed.shape, (t, i) => embed.at(t, i) + (posEmbed?.at(t, i) ?? 0));
    forEachBlock((at, layer) => {
      const [pre, mid, attention, mlp] = ["residPre", "residMid", "attn.contribution", "mlp.contribution"].map(at);
      expectClose(mid, pre.shape, (t, i) => pre.at(t, i) + attention.at(t, i));
      expectClose(at("residPost"), pre.shape, (t, i) => pre.at(t, i) + attention.at(t, i) + mlp.at(t, i));
      if (layer > 0) expect(at("residPre")).toEqual(run.get(`blocks.${layer - 1}.residPost`));
    });
  });

  it("scores the keys that a row sees by scale · rotQ · rotK, capped in some families, and no others", () => {
    const isRotated = run.points.includes("blocks.0.attn.rotQ");
    forEachBlock((at, layer) => {
      const [q, k] = (isRotated ? ["attn.rotQ", "attn.rotK"] : ["attn.q", "attn.k"]).map(at);
      const { headDim, nHeads, nKvHeads } = model.config;
      const { scale: scaleOf = () => 1 / Math.sqrt(headDim), cap } = SCORES[name] ?? {};
      const scale = scaleOf(layer, headDim);
      const window = WINDOWS[name][layer] ?? Infinity;
      expectClose(at("attn.scores"), [nHeads, q.shape[0], q.shape[0]], (h, t, s) =>
        s <= t && s > t - window
          ? capped(scale * dot(q.row(t, h), k.row(s, Math.floor((h * nKvHeads) / nHeads))), cap)
          : -Infinity,
      );
    });
  });

  it("has the softmax of the scores as its pattern, whose rows add up to 1", () => {
    forEachBlock((at) => {
      const [scores, pattern] = ["attn.scores", "attn.pattern"].map(at);
      const [nHeads, n] = pattern.shape;
      const exps = scores.data.map(Math.exp);
      const total = (h: number, t: number): number => sum(exps.subarray((h * n + t) * n, (h * n + t + 1) * n));
      expectClose(pattern, pattern.shape, (h, t, s) => exps[(h * n + t) * n + s] / total(h, t));
      expectClose(
        tensorOf([nHeads, n], (h, t) => sum(pattern.row(h, t).data)),
        [nHeads, n],
        () => 1,
      );
    });
  });

  it("mixes values into z by the pattern, each query head with its own key-value head", () => {
    forEachBlock((at) => {
      const [pattern, v, z] = ["attn.pattern", "attn.v", "attn.z"].map(at);
      const { nHeads, nKvHeads } = model.config;
      expectClose(z, z.shape, (t, h, i) =>
        sum(range(t + 1).map((s) => pattern.at(h, t, s) * v.at(s, Math.floor((h * nKvHeads) / nHeads), i))),
      );
    });
  });

  it("adds up what each head writes, and the bias, to what attention writes", () => {
    forEachBlock((at, layer) => {
      const [z, result, out] = ["attn.z", "attn.result", "attn.out"].map(at);
      const [nHeads, headDim] = z.shape.slice(1);
      const wO = weight(`blocks.${layer}.attn.wO`); // [dModel, nHeads * headDim]
      expectClose(result, [...out.shape.slice(0, 1), nHeads, out.shape[1]], (t, h, i) =>
        dot(z.row(t, h), new Tensor([headDim], wO.row(i).data.subarray(h * headDim, (h + 1) * headDim))),
      );
      expectClose(out, out.shape, (t, i) =>
        range(nHeads).reduce((total, h) => total + result.at(t, h, i), bias(`blocks.${layer}.attn.bO`, i)),
      );
    });
  });

  it("adds up what each neuron writes, and the bias, to what the MLP writes", () => {
    forEachBlock((at, layer) => {
      const [post, out] = ["mlp.post", "mlp.out"].map(at);
      const wDown = weight(`blocks.${layer}.mlp.wDown`); // [dModel, dFf]
      expectClose(out, out.shape, (t, i) => dot(post.row(t), wDown.row(i)) + bias(`blocks.${layer}.mlp.bDown`, i));
    });
  });

  it("divides by the scale of each norm, and then applies gain and bias", () => {
    const norms = new Map([["lnFinal", run.get(`blocks.${model.config.nLayers - 1}.residPost`)]]);
    forEachBlock((at, layer) => {
      for (const [norm, point] of Object.entries(NORMS)) {
        const gain = weights.get(`blocks.${layer}.${norm}.gain`);
        if (gain === undefined) continue;
        const x = at(point);
        // Where the gain is longer than a head, all heads of a row are one vector.
        const [nRows, ...rest] = x.shape;
        const isAcrossHeads = gain.shape[0] !== rest.at(-1);
        norms.set(`blocks.${layer}.${norm}`, isAcrossHeads ? new Tensor([nRows, gain.shape[0]], x.data) : x);
      }
    });
    for (const [norm, x] of norms) {
      const [scale, normalized, out] = ["scale", "normalized", "out"].map((part) => run.get(`${norm}.${part}`));
      const size = x.shape.at(-1) as number;
      // A LayerNorm is centred, and is the norm that has a bias.
      const mean = (...row: number[]): number => (weights.has(`${norm}.bias`) ? sum(x.row(...row).data) / size : 0);
      expectClose(scale, [...x.shape.slice(0, -1), 1], (...index) => {
        const row = index.slice(0, -1);
        const centred = x.row(...row).data.map((value) => value - mean(...row));
        return Math.sqrt(sum(centred.map((value) => value ** 2)) / size + model.config.normEps);
      });
      expectClose(normalized, x.shape, (...index) => {
        const row = index.slice(0, -1);
        return (x.at(...index) - mean(...row)) / scale.at(...row, 0);
      });
      expectClose(out, x.shape, (...index) => {
        const i = index.at(-1) as number;
        return normalized.at(...index) * weight(`${norm}.gain`).at(i) + bias(`${norm}.bias`, i);
      });
    }
  });

  it("adds to the stream what attention and the MLP write, or what a norm after them makes of it", () => {
    forEachBlock((at, layer) => {
      for (const [module, norm] of Object.entries({ attn: "ln1Post", mlp: "ln2Post" })) {
        const isNormed = weights.has(`blocks.${layer}.${norm}.gain`);
        expect(at(`${module}.contribution`)).toEqual(at(isNormed ? `${norm}.out` : `${module}.out`));
      }
    });
  });

  it("reads the logits off the final norm, capped in some families, and has their softmax as probs, whose rows add up to 1", () => {
    const [lnFinal, logits, probs] = ["lnFinal.out", "logits", "probs"].map((point) => run.get(point));
    const unembed = weights.get("unembed") ?? weight("embed");
    const readOff = (t: number, token: number): number => dot(lnFinal.row(t), unembed.row(token));
    const cap = LOGIT_CAPS[name];
    if (cap !== undefined) expectClose(run.get("logitsBeforeSoftcap"), logits.shape, readOff);
    expectClose(logits, logits.shape, (t, token) => capped(readOff(t, token), cap));
    const totals = range(logits.shape[0]).map((t) => sum(logits.row(t).data.map(Math.exp)));
    expectClose(probs, logits.shape, (t, token) => Math.exp(logits.at(t, token)) / totals[t]);
    expectClose(
      tensorOf([totals.length], (t) => sum(probs.row(t).data)),
      [totals.length],
      () => 1,
    );
  });
});

/** All weights by their canonical names. */
async function readWeights(model: Model, directory: string): Promise<Map<string, Tensor>> {
  const checkpoint = await openSafetensors(await openFolder(directory));
  const tensors = new Map<string, Tensor>();
  for (const [name, binding] of model.bindings.weights) {
    tensors.set(name, new Tensor(binding.shape, await decodeWeight(binding, checkpoint, "f64")));
  }
  await checkpoint.close();
  return tensors;
}
