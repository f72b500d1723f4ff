/** The names that other tools have for points. */

import { describe, expect, it } from "vitest";
import { NAMES, TOOLS } from "../src/points/aliases.ts";
import { atLayer } from "../src/points/names.ts";
import { REFUSED } from "../src/points/refused.ts";
import { POINTS } from "../src/points/registry.ts";
import { EXPERT_PARTS, expertPart } from "../src/points/sparse-rows.ts";
import { catalogOf } from "./support/catalog.ts";
import { fixture, goldenNames, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, headsFirst } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const llama = catalogOf("llama");
const gpt2 = catalogOf("gpt2");
const qwen3 = catalogOf("qwen3");
const gemma2 = catalogOf("gemma2");
const mixtral = catalogOf("mixtral");
const qwen2Moe = catalogOf("qwen2Moe");
const gptOss = catalogOf("gptOss");
const deepSeekV3 = catalogOf("deepSeekV3");

describe("a name of another tool", () => {
  it("belongs to a row of the vocabulary", () => {
    const rows = new Set([...POINTS.map(({ name }) => name), ...EXPERT_PARTS.map(({ part }) => expertPart(part))]);
    const orphans = TOOLS.flatMap((tool) => Object.keys(NAMES[tool]).filter((point) => !rows.has(point)));
    expect(orphans).toEqual([]);
  });

  it.each([
    ["gpt2", gpt2],
    ["llama", llama],
    ["qwen3", qwen3],
    ["gemma2", gemma2],
    ["mixtral", mixtral],
    ["qwen2_moe", qwen2Moe],
    ["gpt_oss", gptOss],
    ["deepseek_v3", deepSeekV3],
  ])("finds its point, and no other, in %s", (_, catalog) => {
    const names = catalog.entries.flatMap(({ name, aliases }) => [name, ...aliases]);
    expect(new Set(names).size).toBe(names.length);
    for (const entry of catalog.entries) {
      for (const name of [entry.name, ...entry.aliases]) expect(catalog.match(name)).toEqual([entry]);
    }
  });

  it("has a meaning in some model, under each of its rows", () => {
    const met = new Set(
      [gpt2, llama, qwen3, gemma2, mixtral, qwen2Moe, gptOss, deepSeekV3].flatMap(({ entries }) =>
        entries.flatMap(({ row, aliases }) => aliases.map((alias) => `${row.name} ${alias}`)),
      ),
    );
    const unmet = POINTS.flatMap(({ name, aliases }) =>
      Object.values(aliases)
        .flat()
        .filter((alias) => !met.has(`${name} ${atLayer(alias.name, 5)}`) && !met.has(`${name} ${alias.name}`)),
    );
    expect(unmet).toEqual([]);
  });

  it.each([
    ["blocks.5.hook_attn_out", "blocks.5.attn.contribution"],
    ["blocks.5.attn.hook_pattern", "blocks.5.attn.pattern"],
    ["blocks.5.mlp.hook_pre", "blocks.5.mlp.pre"],
    ["pattern.5", "blocks.5.attn.pattern"],
    ["attn.5", "blocks.5.attn.pattern"],
    ["attn_logits.5", "blocks.5.attn.scores"],
    ["query.5", "blocks.5.attn.q"],
    ["pre.5", "blocks.5.mlp.pre"],
    ["ln1.scale.5", "blocks.5.ln1.scale"],
    ["ln2.normalized.5", "blocks.5.ln2.normalized"],
    ["unembed.hook_in", "lnFinal.out"],
    ["blocks.5.attn.q.hook_out", "blocks.5.attn.q"],
    ["blocks.5.attn.o.hook_in", "blocks.5.attn.z"],
    ["blocks.5.attn.hook_out", "blocks.5.attn.out"],
    ["blocks.5.hook_in", "blocks.5.residPre"],
    ["blocks.5.mlp.in.hook_out", "blocks.5.mlp.preLinear"],
    ["blocks.5.mlp.gate.hook_out", "blocks.5.mlp.pre"],
    ["model.layers.5.self_attn", "blocks.5.attn.out"],
    ["model.layers.5.mlp.up_proj", "blocks.5.mlp.preLinear"],
    ["lm_head", "logits"],
    ["unembed.hook_out", "logits"],
    ["result_output", "logits"],
    ["Qcur-5", "blocks.5.attn.rotQ"],
    ["Vcur-5", "blocks.5.attn.v"],
    ["kq_soft_max_ext-5", "blocks.5.attn.pattern"],
    ["kqv_out-5", "blocks.5.attn.z"],
    ["ffn_inp-5", "blocks.5.residMid"],
    ["ffn_up-5", "blocks.5.mlp.preLinear"],
    ["ffn_gate-5", "blocks.5.mlp.pre"],
    ["ffn_gate_par-5", "blocks.5.mlp.post"],
    ["l_out-5", "blocks.5.residPost"],
    ["result_norm", "lnFinal.out"],
    ["attn_out.5", "blocks.5.attn.out"],
    ["attn_out_post.5", "blocks.5.attn.contribution"],
    ["mlp_in.5", "blocks.5.ln2.out"],
    ["final_norm", "lnFinal.out"],
    ["layers_input.5", "blocks.5.residPre"],
    ["mlps_output[5]", "blocks.5.mlp.out"],
  ])("%s is %s in a gated model with rotary positions", (alias, point) => {
    expect(llama.get(alias).name).toBe(point);
  });

  it.each([
    ["ffn_up-5", "blocks.5.mlp.pre"],
    ["ffn_gelu-5", "blocks.5.mlp.post"],
    ["blocks.5.mlp.in.hook_out", "blocks.5.mlp.pre"],
    ["Qcur-5", "blocks.5.attn.q"],
    ["transformer.h.5.mlp.act", "blocks.5.mlp.post"],
    ["transformer.h.5.attn.c_proj", "blocks.5.attn.out"],
    ["pos_embd", "posEmbed"],
  ])("%s is %s in GPT-2", (alias, point) => {
    expect(gpt2.get(alias).name).toBe(point);
  });

  it.each([
    ["blocks.5.mlp.hook_expert_weights", "blocks.5.router.scores"],
    ["blocks.5.mlp.hook_expert_indices", "blocks.5.router.indices"],
    ["blocks.5.mlp.experts.3.hook_gate", "blocks.5.experts.3.pre"],
    ["blocks.5.mlp.experts.3.hook_pre", "blocks.5.experts.3.preLinear"],
    ["blocks.5.mlp.experts.3.hook_post", "blocks.5.experts.3.post"],
    ["blocks.5.attn.hook_q_latent", "blocks.5.attn.qLatent"],
    ["blocks.5.attn.hook_kv_latent", "blocks.5.attn.kvLatent"],
    ["blocks.5.mlp.gate.hook_out", "blocks.5.router.logits"],
    ["blocks.1.mlp.gate.hook_out", "blocks.1.mlp.pre"],
    ["blocks.5.mlp.shared_experts.out.hook_in", "blocks.5.shared.post"],
    ["model.layers.5.mlp.gate", "blocks.5.router.logits"],
    ["model.layers.5.mlp.experts", "blocks.5.experts.sum"],
    ["model.layers.5.mlp.shared_experts.up_proj", "blocks.5.shared.preLinear"],
    ["model.layers.5.self_attn.q_b_proj", "blocks.5.attn.q"],
    ["ffn_moe_logits-5", "blocks.5.router.logits"],
    ["ffn_moe_probs-5", "blocks.5.router.scores"],
    ["ffn_moe_probs_biased-5", "blocks.5.router.biasedScores"],
    ["ffn_moe_topk-5", "blocks.5.router.indices"],
    ["ffn_moe_weights_scaled-5", "blocks.5.router.weights"],
    ["ffn_moe_gate-5", "blocks.5.experts.pre"],
    ["ffn_moe_down-5", "blocks.5.experts.out"],
    ["ffn_moe_out-5", "blocks.5.experts.sum"],
    ["ffn_shexp-5", "blocks.5.shared.out"],
    ["ffn_up-5", "blocks.5.shared.preLinear"],
    ["ffn_up-1", "blocks.1.mlp.preLinear"],
    ["k_pe-5", "blocks.5.attn.kRope"],
    ["router_logits.5", "blocks.5.router.logits"],
    ["expert_weights.5", "blocks.5.router.weights"],
    ["expert_indices.5", "blocks.5.router.indices"],
  ])("%s is %s in DeepSeek-V3", (alias, point) => {
    expect(deepSeekV3.get(alias).name).toBe(point);
  });

  it.each([
    ["blocks.5.ln1_post.hook_out", "blocks.5.ln1Post.out"],
    ["blocks.5.ln2_post.hook_scale", "blocks.5.ln2Post.scale"],
    ["attn_post_norm-5", "blocks.5.ln1Post.out"],
    ["ffn_post_norm-5", "blocks.5.ln2Post.out"],
    ["model.layers.5.post_attention_layernorm", "blocks.5.ln1Post.out"],
    ["model.layers.5.pre_feedforward_layernorm", "blocks.5.ln2.out"],
    ["blocks.5.hook_mlp_out", "blocks.5.mlp.contribution"],
    ["lm_head", "logitsBeforeSoftcap"],
    ["unembed.hook_out", "logitsBeforeSoftcap"],
    ["result_output", "logits"],
  ])("%s is %s in Gemma 2", (alias, point) => {
    expect(gemma2.get(alias).name).toBe(point);
  });

  it("means in each family what the tool has there", () => {
    expect(gptOss.get("blocks.5.mlp.hook_router_scores").name).toBe("blocks.5.router.weights");
    expect(gptOss.get("attn_post_norm-5").name).toBe("blocks.5.ln2.out");
    expect(mixtral.get("ffn_moe_weights_norm-5").name).toBe("blocks.5.router.weights");
    expect(() => deepSeekV3.get("ffn_moe_weights_norm-5")).toThrow("before they are scaled");
    expect(() => deepSeekV3.get("blocks.5.attn.hook_rot_k")).toThrow("say attn.k or attn.kRope");
    expect(() => mixtral.get("blocks.5.mlp.hook_router_scores")).toThrow("only of gpt-oss");
  });

  it.each([
    ["blocks.5.mlp.gate.hook_out", "the MLP is not gated"],
    ["ffn_gate-5", "the MLP is not gated"],
    ["mlp_pre_linear.5", "the MLP is not gated"],
    ["blocks.*.attn.hook_rot_q", "positions are learned embeddings"],
  ])("%s is refused in GPT-2 with the reason of the family", (alias, reason) => {
    expect(() => gpt2.find(alias)).toThrow(reason);
    expect(() => gpt2.find(alias)).toThrow(expect.objectContaining({ code: "point.absent" }));
  });

  it("is refused with a reason where it stands for no point or for two", () => {
    for (const { names, reason, has } of REFUSED) {
      for (const name of names) {
        const alias = atLayer(name, 5);
        const plain = alias === "ffn_silu-5" ? llama : gpt2;
        const catalog = has === undefined ? plain : deepSeekV3;
        expect(() => catalog.get(alias), alias).toThrow(expect.objectContaining({ code: "point.absent" }));
        expect(() => catalog.get(alias), alias).toThrow(reason);
      }
    }
  });

  it.each(goldenNames)("of a module of transformers gives the numbers of its output: %s", async (golden) => {
    const expected = await readTensors(`${fixture(`goldens/${golden}`)}/expected.safetensors`);
    const model = await open(fixture(`goldens/${golden}`));
    const refused = new Set(REFUSED.flatMap(({ names }) => names));
    const outputs = [...expected].flatMap(([key, value]) => {
      // The first of several values has the module's name, and those of experts have no rows of all tokens.
      const [, module = ""] = /^out:(.*?)(?::0)?$/.exec(key) ?? [];
      const isNamed = module !== "" && !/:\d$|\.act_fn$/.test(module) && !refused.has(module.replace(/\d+/, "{i}"));
      return isNamed ? [{ module, value }] : [];
    });
    const tokens = expected.get("tokens");
    const read = outputs.map(({ module }) => module);
    const run = await model.run([...(tokens?.data ?? [])], { read, logits: "none" });
    expect(outputs.length).toBeGreaterThanOrEqual(8);
    for (const { module, value } of outputs) {
      const found = run.get(module);
      // Gemma 3 lays heads out before rows.
      const laidOut = found.shape[0] === value.shape[0] ? found : headsFirst(found);
      expect(deviation(laidOut, value), module).toBeLessThanOrEqual(TOLERANCE.official);
    }
    await model.close();
  });
});
