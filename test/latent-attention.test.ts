/** Multi-head latent attention in float64, against plain loops over the tensors as the checkpoint has them. */

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { CachePool } from "../src/backends/reference/cache-pool.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { PAGE_SIZE } from "../src/tape/rows.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { describeModel } from "../src/views/info.ts";
import { fixture, goldenTokens, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, tensorOf } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const NAMES = ["deepseek-v2", "deepseek-v3", "deepseek-v3-packed", "deepseek-v3-published"];

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

interface Sizes {
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nope: number;
  readonly turned: number;
  readonly vDim: number;
  readonly rank: number;
  readonly theta: number;
  /** Whether pairs that turn lie side by side. */
  readonly isInterleaved: boolean;
  readonly yarn: Readonly<Record<string, number>> | undefined;
}

function sizesOf(directory: string): Sizes {
  const json = JSON.parse(readFileSync(`${directory}/config.json`, "utf8"));
  const rope = json.rope_parameters ?? { ...json.rope_scaling, rope_theta: json.rope_theta };
  return {
    nLayers: json.num_hidden_layers,
    nHeads: json.num_attention_heads,
    nope: json.qk_nope_head_dim,
    turned: json.qk_rope_head_dim,
    vDim: json.v_head_dim,
    rank: json.kv_lora_rank,
    theta: rope.rope_theta,
    isInterleaved: json.rope_interleave ?? true,
    yarn: (rope.rope_type ?? rope.type) === "yarn" ? rope : undefined,
  };
}

/** What a context that is stretched by a factor multiplies cos and sin (or scores, squared) with (arXiv:2309.00071, §3.4). */
const mscale = (factor: number, m: number): number => 0.1 * m * Math.log(factor) + 1;

/** Angle of each pair at a position, as YaRN has it (§3.2 there). */
function angle({ theta, turned, yarn }: Sizes, position: number, pair: number): number {
  const plain = theta ** ((-2 * pair) / turned);
  if (yarn === undefined) return position * plain;
  const { factor, beta_fast: fast, beta_slow: slow, original_max_position_embeddings: original } = yarn;
  const at = (turns: number): number => (turned * Math.log(original! / (2 * Math.PI * turns))) / (2 * Math.log(theta));
  const [low, high] = [Math.max(Math.floor(at(fast!)), 0), Math.min(Math.ceil(at(slow!)), turned - 1)];
  const ramp = Math.min(1, Math.max(0, (pair - low) / (high - low)));
  return position * ((plain / factor!) * ramp + plain * (1 - ramp));
}

/** The last dimensions of a vector, turned by its position. */
function rotated(x: readonly number[], position: number, sizes: Sizes): number[] {
  const { turned, isInterleaved, yarn } = sizes;
  const first = x.length - turned;
  const magnitude =
    yarn === undefined ? 1 : mscale(yarn.factor!, yarn.mscale!) / mscale(yarn.factor!, yarn.mscale_all_dim!);
  const out = [...x];
  for (const pair of range(turned / 2)) {
    const a = first + (isInterleaved ? 2 * pair : pair);
    const b = a + (isInterleaved ? 1 : turned / 2);
    const [cos, sin] = [Math.cos, Math.sin].map((f) => magnitude * f(angle(sizes, position, pair))) as [number, number];
    out[a] = x[a]! * cos - x[b]! * sin;
    out[b] = x[b]! * cos + x[a]! * sin;
  }
  return out;
}

describe.each(NAMES)("%s", (name) => {
  const directory = fixture(`goldens/${name}`);
  const sizes = sizesOf(directory);
  const { nLayers, nHeads, nope, turned, vDim, rank } = sizes;
  let model: Model;
  let run: Run;
  let stored: Map<string, Tensor>;
  let tokens: number[];

  beforeAll(async () => {
    model = await open(directory, { precision: "f64" });
    tokens = await goldenTokens(name);
    run = await model.run(tokens, { read: ["**"] });
    stored = await readTensors(`${directory}/model.safetensors`);
  });
  afterAll(() => model.close());

  const forEachBlock = (
    check: (at: (point: string) => Tensor, weight: (part: string) => Tensor | undefined, layer: number) => void,
  ): void => {
    for (const layer of range(nLayers)) {
      check(
        (point) => run.get(`blocks.${layer}.${point}`),
        (part) => stored.get(`model.layers.${layer}.self_attn.${part}`),
        layer,
      );
    }
  };
  /** Row `j` of a projection of x, and its bias where it has one. */
  const project = (x: Tensor, w: Tensor | undefined, bias: Tensor | undefined, j: number): number =>
    sum(x.data.map((value, i) => value * w!.at(j, i))) + (bias?.at(j) ?? 0);
  const expectClose = (actual: Tensor, expected: (...index: number[]) => number): void => {
    expect(deviation(actual, tensorOf(actual.shape, expected))).toBeLessThanOrEqual(TOLERANCE.identity);
  };

  it("gives each head keys and values by its rows of kv_b_proj from the one latent", () => {
    forEachBlock((at, weight) => {
      const [latent, k, v] = ["attn.kvLatent", "attn.k", "attn.v"].map(at) as [Tensor, Tensor, Tensor];
      expect([latent.shape, k.shape, v.shape]).toEqual([
        [tokens.length, rank],
        [tokens.length, nHeads, nope],
        [tokens.length, nHeads, vDim],
      ]);
      const row = (t: number, j: number): number => project(latent.row(t), weight("kv_b_proj.weight"), undefined, j);
      expectClose(k, (t, h, i) => row(t, h * (nope + vDim) + i));
      expectClose(v, (t, h, i) => row(t, h * (nope + vDim) + nope + i));
    });
  });

  it("turns the last dimensions of each query, and the one key that all heads share", () => {
    forEachBlock((at, weight) => {
      const [x, q, rotQ, kRope] = ["ln1.out", "attn.q", "attn.rotQ", "attn.kRope"].map(at) as Tensor[];
      const [w, bias] = [weight("kv_a_proj_with_mqa.weight"), weight("kv_a_proj_with_mqa.bias")];
      const queries = range(tokens.length).map((t) =>
        range(nHeads).map((h) => rotated([...q!.row(t, h).data], t, sizes)),
      );
      expectClose(rotQ!, (t, h, i) => queries[t]![h]![i]!);
      const keys = range(tokens.length).map((t) =>
        rotated(
          range(turned).map((i) => project(x!.row(t), w, bias, rank + i)),
          t,
          sizes,
        ),
      );
      expectClose(kRope!, (t, i) => keys[t]![i]!);
    });
  });

  it("divides latents by their own root mean square, whose eps is not that of the other norms", () => {
    forEachBlock((at, weight) => {
      const x = at("ln1.out");
      for (const [point, down, norm] of [
        ["kvLatent", "kv_a_proj_with_mqa", "kv_a_layernorm"],
        ["qLatent", "q_a_proj", "q_a_layernorm"],
      ] as const) {
        const gain = weight(`${norm}.weight`);
        if (gain === undefined) continue;
        const [width] = gain.shape as [number];
        const before = tensorOf([tokens.length, width], (t, j) =>
          project(x.row(t), weight(`${down}.weight`), weight(`${down}.bias`), j),
        );
        const scale = (t: number): number =>
          Math.sqrt(sum(before.row(t).data.map((value) => value ** 2)) / width + 1e-6);
        expectClose(at(`attn.${point}Norm.scale`), scale);
        expectClose(at(`attn.${point}Norm.normalized`), (t, i) => before.at(t, i) / scale(t));
        expectClose(at(`attn.${point}`), (t, i) => (before.at(t, i) / scale(t)) * gain.at(i));
        expect(at(`attn.${point}Norm.out`)).toEqual(at(`attn.${point}`));
      }
    });
  });

  it("scores the keys that a row sees by q · k of its own head and by what both turned, scaled as YaRN asks", () => {
    const { yarn } = sizes;
    const scale = (yarn === undefined ? 1 : mscale(yarn.factor!, yarn.mscale_all_dim!) ** 2) / Math.sqrt(nope + turned);
    forEachBlock((at) => {
      const [rotQ, k, kRope] = ["attn.rotQ", "attn.k", "attn.kRope"].map(at) as [Tensor, Tensor, Tensor];
      expectClose(at("attn.scores"), (h, t, s) => {
        if (s > t) return -Infinity;
        const plain = sum(range(nope).map((i) => rotQ.at(t, h, i) * k.at(s, h, i)));
        return scale * (plain + sum(range(turned).map((i) => rotQ.at(t, h, nope + i) * kRope.at(s, i))));
      });
    });
  });

  it("mixes values into z by the softmax of the scores, and z into what attention adds", () => {
    forEachBlock((at, weight) => {
      const [scores, pattern, v, z, result] = ["scores", "pattern", "v", "z", "result"].map((part) =>
        at(`attn.${part}`),
      );
      expectClose(pattern!, (h, t, s) => Math.exp(scores!.at(h, t, s)) / sum(scores!.row(h, t).data.map(Math.exp)));
      expectClose(z!, (t, h, i) => sum(range(t + 1).map((s) => pattern!.at(h, t, s) * v!.at(s, h, i))));
      expectClose(result!, (t, h, i) =>
        sum(range(vDim).map((j) => z!.at(t, h, j) * weight("o_proj.weight")!.at(i, h * vDim + j))),
      );
      expectClose(at("attn.out"), (t, i) => {
        return sum(range(nHeads).map((h) => result!.at(t, h, i))) + (weight("o_proj.bias")?.at(i) ?? 0);
      });
      expect(at("attn.contribution")).toEqual(at("attn.out"));
    });
  });

  it("keeps of each token one latent and one key, in every layer and nothing else", async () => {
    const layer = vi.spyOn(CachePool.prototype, "layer");
    const precise = await open(directory, { precision: "f64" });
    try {
      const session = precise.session({ contextLength: tokens.length });
      await session.append(tokens);
      const storages = new Set(layer.mock.results.map(({ value }) => value as ReturnType<CachePool["layer"]>));
      const nBytes = sum(Array.from(storages, ({ k, v }) => k.byteLength + v.byteLength));
      const nSlots = Math.ceil(tokens.length / PAGE_SIZE) * PAGE_SIZE;
      expect(nBytes).toBe(nSlots * nLayers * (rank + turned) * Float64Array.BYTES_PER_ELEMENT);
      expect(describeModel(precise).cacheBytesPerToken.bits16).toBe(2 * nLayers * (rank + turned));
      session.close();
    } finally {
      layer.mockRestore();
      await precise.close();
    }
  });

  it("computes from the cache, token by token, what it computes of the whole text", async () => {
    const points = range(nLayers).flatMap((i) => [
      `blocks.${i}.attn.z`,
      `blocks.${i}.attn.kvLatent`,
      `blocks.${i}.residPost`,
    ]);
    const session = model.session({ contextLength: tokens.length });
    for (const [t, token] of tokens.entries()) {
      const step = await session.append([token], { read: points });
      for (const point of points) {
        const whole = run.get(point);
        expect(
          deviation(
            step.get(point),
            tensorOf([1, ...whole.shape.slice(1)], (_, ...index) => whole.at(t, ...index)),
          ),
        ).toBe(0);
      }
    }
    session.close();
  });
});
