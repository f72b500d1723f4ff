/** DeepSeek's routers against plain code, and how its configs and checkpoints are read. */

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckpointError, ConfigError } from "../src/errors.ts";
import { openModel, reference } from "../src/index.ts";
import { readConfig } from "../src/run/config.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { MemoryFolder } from "./checkpoint-files.ts";
import { fixture, goldenTokens, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, tensorOf } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const configJson = (name: string) => JSON.parse(readFileSync(fixture(`goldens/${name}/config.json`), "utf8"));

/** Indices of the k largest, the largest first, ties to the lowest. */
const largest = (values: readonly number[], k: number): number[] =>
  range(values.length)
    .sort((a, b) => values[b]! - values[a]! || a - b)
    .slice(0, k);

interface Choice {
  readonly scores: number[];
  readonly biased: number[];
  readonly groupScores: number[];
  readonly kept: number[];
  readonly chosen: number[];
  readonly weights: number[];
}

/** What a router makes of one token's logits, after the papers and the config as it stands. */
function route(logits: readonly number[], bias: readonly number[] | undefined, json: Record<string, number>): Choice {
  const { n_group: nGroups, topk_group: nKept, num_experts_per_tok: k, routed_scaling_factor: scale } = json;
  const total = sum(logits.map(Math.exp));
  const scores = logits.map((x) => (bias === undefined ? Math.exp(x) / total : 1 / (1 + Math.exp(-x))));
  const biased = scores.map((s, e) => s + (bias?.[e] ?? 0));
  const size = logits.length / nGroups!;
  const groups = range(nGroups!).map((g) => biased.slice(g * size, (g + 1) * size).sort((a, b) => b - a));
  const groupScores = groups.map(([best, second]) => (bias === undefined ? best! : best! + second!));
  const kept = largest(groupScores, nKept!);
  const limited = biased.map((s, e) => (kept.includes(Math.floor(e / size)) ? s : -Infinity));
  const chosen = largest(limited, k!);
  const divisor = json.norm_topk_prob ? sum(chosen.map((e) => scores[e]!)) : 1;
  return { scores, biased, groupScores, kept, chosen, weights: chosen.map((e) => (scale! * scores[e]!) / divisor) };
}

describe.each(["deepseek-v2", "deepseek-v3", "deepseek-v3-packed", "deepseek-v3-published"])("%s", (name) => {
  const json = configJson(name);
  const sparse = range(json.num_hidden_layers).filter((i) => i >= json.first_k_dense_replace);
  let model: Model;
  let run: Run;
  let stored: Map<string, Tensor>;

  beforeAll(async () => {
    model = await open(fixture(`goldens/${name}`), { precision: "f64" });
    run = await model.run(await goldenTokens(name), { read: ["**"] });
    stored = await readTensors(fixture(`goldens/${name}/model.safetensors`));
  });
  afterAll(() => model.close());

  it("routes each token as plain code does with the router's logits", () => {
    for (const layer of sparse) {
      const at = (point: string): Tensor => run.get(`blocks.${layer}.router.${point}`);
      const bias = stored.get(`model.layers.${layer}.mlp.gate.e_score_correction_bias`);
      const logits = at("logits");
      const routed = range(logits.shape[0]!).map((t) => route([...logits.row(t).data], bias && [...bias.data], json));
      const expectClose = (point: string, expected: (t: number, i: number) => number): void => {
        const actual = at(point);
        expect(deviation(actual, tensorOf(actual.shape, expected))).toBeLessThanOrEqual(TOLERANCE.identity);
      };
      expectClose("scores", (t, e) => routed[t]!.scores[e]!);
      if (bias !== undefined) expectClose("biasedScores", (t, e) => routed[t]!.biased[e]!);
      expect(run.points.includes(`blocks.${layer}.router.biasedScores`)).toBe(bias !== undefined);
      expect(run.points.includes(`blocks.${layer}.router.groupScores`)).toBe(json.n_group > 1);
      const size = json.n_routed_experts / json.n_group;
      if (json.n_group > 1) {
        expectClose("groupScores", (t, g) => routed[t]!.groupScores[g]!);
        expectClose("groupMask", (t, g) => Number(routed[t]!.kept.includes(g)));
      }
      expectClose("limitedScores", (t, e) => {
        return routed[t]!.kept.includes(Math.floor(e / size)) ? routed[t]!.biased[e]! : -Infinity;
      });
      expectClose("indices", (t, a) => routed[t]!.chosen[a]!);
      expectClose("weights", (t, a) => routed[t]!.weights[a]!);
    }
  });

  it("adds the weighted experts and the shared one, and nothing else, in its sparse layers", () => {
    for (const layer of sparse) {
      const at = (point: string): Tensor => run.get(`blocks.${layer}.${point}`);
      const [out, weights, shared, whole] = ["experts.out", "router.weights", "shared.out", "mlp.out"].map(
        at,
      ) as Tensor[];
      const expected = tensorOf(whole!.shape, (t, i) => {
        return shared!.at(t, i) + sum(range(json.num_experts_per_tok).map((a) => weights!.at(t, a) * out!.at(t, a, i)));
      });
      expect(deviation(whole!, expected)).toBeLessThanOrEqual(TOLERANCE.identity);
      expect(at("shared.contribution")).toEqual(shared);
    }
  });
});

describe("biases on the choice of experts", () => {
  it("are below 0 in some goldens, so that experts outside the kept groups must not be given 0", async () => {
    const stored = await readTensors(fixture("goldens/deepseek-v3/model.safetensors"));
    const bias = stored.get("model.layers.1.mlp.gate.e_score_correction_bias")!;
    const run = await open(fixture("goldens/deepseek-v3")).then(async (model) => {
      const tokens = await goldenTokens("deepseek-v3");
      return model
        .run(tokens, { read: ["blocks.1.router.biasedScores", "blocks.1.router.indices"] })
        .finally(() => model.close());
    });
    expect(Math.min(...bias.data)).toBeLessThan(0);
    const [biased, indices] = ["biasedScores", "indices"].map((part) => run.get(`blocks.1.router.${part}`)) as [
      Tensor,
      Tensor,
    ];
    const chosen = [...indices.data].map((e, i) => biased.at(Math.floor(i / indices.shape[1]!), e));
    expect(Math.min(...chosen)).toBeLessThan(0);
  });
});

describe("layers for multi-token prediction", () => {
  const files = async (change: object) => {
    const name = fixture("goldens/deepseek-v3-published");
    const config = new TextEncoder().encode(JSON.stringify({ ...configJson("deepseek-v3-published"), ...change }));
    const weights = new Uint8Array(readFileSync(`${name}/model.safetensors`));
    return { folder: new MemoryFolder({ "config.json": config, "model.safetensors": weights }) };
  };
  const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

  it("are left out with the reason, tensor by tensor", async () => {
    const model = await openModel(await files({}), host, [reference]);
    const { ignored } = model.bindings;
    await model.close();
    expect(ignored.map(({ tensor }) => tensor)).toContain("model.layers.2.eh_proj.weight");
    expect(ignored.map(({ tensor }) => tensor)).toContain("model.layers.2.self_attn.kv_b_proj.weight");
    expect(ignored.every(({ tensor }) => tensor.startsWith("model.layers.2."))).toBe(true);
    expect(new Set(ignored.map(({ reason }) => reason))).toEqual(
      new Set(["multi-token prediction (MTP), which no other layer reads"]),
    );
  });

  it("are tensors that nothing uses where the config says that there are none", async () => {
    const opened = openModel(await files({ num_nextn_predict_layers: 0 }), host, [reference]);
    await expect(opened).rejects.toThrow(CheckpointError);
    await expect(opened).rejects.toThrow(/model.layers.2.*every tensor of the checkpoint must be used/);
  });
});

describe("a config of DeepSeek", () => {
  const published = JSON.parse(readFileSync(fixture("configs/deepseek-v3.json"), "utf8"));
  const v2 = configJson("deepseek-v2");
  const read = (json: object) => readConfig(JSON.parse(JSON.stringify(json)), "config.json").config;

  it("says the same in the old and in the new form", () => {
    const {
      rope_scaling: scaling,
      quantization_config: _,
      topk_method: _method,
      scoring_func: _scores,
      ...plain
    } = published;
    const { type, ...rope } = scaling;
    const modern = {
      ...plain,
      ...{ head_dim: 64, qk_head_dim: 192, rope_interleave: true },
      rope_parameters: { ...rope, rope_type: type, rope_theta: 10_000, beta_fast: 32, beta_slow: 1 },
    };
    expect(read(modern)).toEqual(read(published));
  });

  it("is that of Kimi K2 under its own name", () => {
    expect(read({ ...published, model_type: "kimi_k2" })).toEqual(read(published));
  });

  it.each<[string, object, RegExp]>([
    ["heads that share keys", { num_key_value_heads: 8 }, /num_key_value_heads: only 128 is supported/],
    ["heads of another size", { qk_head_dim: 128 }, /qk_head_dim: only 192 is supported/],
    ["other scores", { scoring_func: "softmax" }, /scoring_func: only sigmoid is supported/],
    ["another choice", { topk_method: "greedy" }, /topk_method: only noaux_tc is supported/],
    ["groups of unequal size", { n_group: 7 }, /n_group: must be a divisor of the 256 experts; got 7/],
    ["more groups kept than there are", { topk_group: 9 }, /topk_group: must be at most 8, and so many .*; got 9/],
    [
      "too few experts in the kept groups",
      { n_group: 64, topk_group: 1 },
      /topk_group: .* the 8 experts of a token; got 1/,
    ],
    ["another quantisation", { quantization_config: { quant_method: "awq" } }, /quant_method: only fp8 is supported/],
    [
      "scales of activations",
      { quantization_config: { ...published.quantization_config, activation_scheme: "static" } },
      /activation_scheme: only dynamic is supported/,
    ],
    [
      "blocks of another size",
      { quantization_config: { ...published.quantization_config, weight_block_size: [64, 128] } },
      /weight_block_size: must be \[128, 128\]; got \[64,128\]/,
    ],
    [
      "more heads than memory could hold",
      { num_attention_heads: 1e6, num_key_value_heads: 1e6 },
      /at most 131072 heads; got 1000000/,
    ],
    ["more experts than that", { n_routed_experts: 2 ** 20 }, /all layers have at most 131072; got 8 of 1048576/],
    [
      "a key that turns an odd number of dimensions",
      { qk_rope_head_dim: 63 },
      /qk_rope_head_dim: the part of a head that turns must have an even whole size/,
    ],
    ["a key that is larger than memory", { qk_rope_head_dim: 2 ** 17 }, /qk_rope_head_dim: .* up to 65536; got 131072/],
    ["no latent", { kv_lora_rank: 0 }, /kv_lora_rank: must be a positive integer; got 0/],
    ["more experts for a token than there are", { n_group: 1, num_experts_per_tok: 257 }, /no more .*; got 257 of 256/],
    ["groups of other sizes", { n_group: 7 }, /n_group: must be a divisor of the 256 experts; got 7/],
    ["groups of one expert", { n_group: 256 }, /n_group: must be so few that each has 2 or more of the 256 experts/],
    ["more groups for a token than there are", { topk_group: 9 }, /topk_group: must be at most 8, .*; got 9/],
    [
      "groups that hold fewer experts than a token goes to",
      { num_experts_per_tok: 129 },
      /topk_group: must be at most 8, and so many that they hold the 129 experts of a token; got 4/,
    ],
    ["no layer between sparse ones", { moe_layer_freq: 0 }, /moe_layer_freq: must be a positive integer; got 0/],
    [
      "more dense layers than there are",
      { first_k_dense_replace: 62 },
      /first_k_dense_replace: must be at most the 61 layers that there are; got 62/,
    ],
    ["more further layers than memory", { num_nextn_predict_layers: 1e9 }, /num_nextn_predict_layers: must be at most/],
    [
      "scores whose factor overflows",
      { rope_scaling: { ...published.rope_scaling, mscale_all_dim: 1e200 } },
      /rope_scaling: mscale_all_dim: must be at most 1000000; got 1e\+200/,
    ],
  ])("is refused: %s", (_, change, message) => {
    expect(() => read({ ...published, ...change })).toThrow(ConfigError);
    expect(() => read({ ...published, ...change })).toThrow(message);
  });

  it("of V2 may keep experts to groups or not, whatever the number of groups", () => {
    const groups = (change: object) => (read({ ...v2, ...change }) as unknown as { groups: unknown }).groups;
    expect(groups({})).toEqual({ nGroups: 4, nGroupsPerToken: 2 });
    expect(groups({ topk_method: "greedy" })).toBeUndefined();
    expect(groups({ n_group: null, topk_group: null })).toBeUndefined();
    expect(() => groups({ topk_method: "noaux_tc" })).toThrow(
      /topk_method: must be one of greedy, group_limited_greedy/,
    );
  });

  it("may leave dense every layer but each second, third ... one", () => {
    const { sparse } = read({ ...published, num_hidden_layers: 8, moe_layer_freq: 2 });
    expect(sparse?.layers).toEqual([false, false, false, false, true, false, true, false]);
  });
});
