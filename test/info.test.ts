/** What `golgi info` says about models that are too large to be here, from their configs alone, and about sparse ones that are. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderInfo } from "../node/cli/render-info.ts";
import { ConfigError } from "../src/errors.ts";
import { formatBytes, numel } from "../src/tensor/shape.ts";
import { describeConfig, describeModel, type ModelInfo } from "../src/views/info.ts";
import { golgiHere, widest } from "./support/command.ts";
import { fixture, goldenNames } from "./support/fixtures.ts";
import { open } from "./support/open.ts";

const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const configPath = (name: string): string => fixture(`configs/${name}.json`);

interface Known {
  readonly counts: Partial<ModelInfo["counts"]>;
  readonly cacheBytes16: number;
}

/** As published, or counted by hand. */
const KNOWN: Readonly<Record<string, Known>> = {
  "deepseek-v3": {
    counts: {
      parameters: 671_026_419_200,
      activeParameters: 37_552_297_472,
      layers: 61,
      sparseLayers: 58,
      heads: 61 * 128,
      neurons: 30_582_784,
      activeNeurons: 1_124_352,
    },
    // 61 layers of a latent of 512 and a key of 64.
    cacheBytes16: 70_272,
  },
  "deepseek-v2-lite": {
    counts: { parameters: 15_706_484_224, sparseLayers: 26, neurons: 10_944 + 26 * (64 + 2) * 1408 },
    cacheBytes16: 2 * 27 * (512 + 64),
  },
  "kimi-k2": {
    counts: { sparseLayers: 60, neurons: 18_432 + 60 * 385 * 2048, activeNeurons: 18_432 + 60 * 9 * 2048 },
    cacheBytes16: 70_272,
  },
  "mixtral-8x7b": {
    counts: { parameters: 46_702_792_704, sparseLayers: 32, neurons: 32 * 8 * 14_336, activeNeurons: 32 * 2 * 14_336 },
    cacheBytes16: 2 * 2 * 32 * 8 * 128,
  },
  "qwen3-30b-a3b": {
    counts: { parameters: 30_532_122_624, sparseLayers: 48, neurons: 48 * 128 * 768, activeNeurons: 48 * 8 * 768 },
    cacheBytes16: 2 * 2 * 48 * 4 * 128,
  },
};

describe("the config alone", () => {
  it.each(Object.entries(KNOWN))("gives the numbers of %s", (name, { counts, cacheBytes16 }) => {
    const info = describeConfig(read(configPath(name)), "config.json");
    expect(info.counts).toMatchObject(counts);
    expect(info.cacheBytesPerToken).toEqual({ bits16: cacheBytes16, bits32: 2 * cacheBytes16 });
  });

  it("counts as active all but the experts that a token does not go to", () => {
    const { counts } = describeConfig(read(configPath("deepseek-v3")), "config.json");
    const expert = 3 * 7168 * 2048;
    expect(counts.parameters - counts.activeParameters).toBe(58 * (256 - 8) * expert);
  });

  it("says that layers for multi-token prediction are left out and not counted, where the config has any", () => {
    const json = read(configPath("deepseek-v3"));
    const ignored = (change: object) => describeConfig({ ...json, ...change }, "config.json").ignored;
    expect(ignored({})).toEqual([{ name: "the layer after the last", reason: expect.stringContaining("MTP") }]);
    expect(ignored({ num_nextn_predict_layers: 2 })[0]?.name).toBe("the 2 layers after the last");
    expect(ignored({ num_nextn_predict_layers: 0 })).toEqual([]);
  });
});

describe("golgi info", () => {
  it("tells what of a sparse model runs for each token, within 80 columns", async () => {
    const { code, stdout } = await golgiHere(["info", configPath("deepseek-v3")]);
    expect(code).toBe(0);
    const [, ...rows] = stdout.split("\n");
    expect(widest(rows.join("\n"))).toBeLessThanOrEqual(80);
    const said = rows.join(" ").replaceAll(/\s+/g, " ");
    for (const text of [
      "parameters 671,026,419,200 (671 billion), without the layer for multi-token prediction",
      "active 37,552,297,472 (37.6 billion) for each token",
      "experts 256 in each of 58 layers, 8 of them for each token; 2,048 neurons each, and 2,048 that all tokens share",
      "heads 7,808 (128 a layer of size 192, values of size 128)",
      "neurons 30,582,784 (1,124,352 for each token)",
      "cache 137.3 KiB a token, 21.4 GiB when full; at 16 bits 68.6 KiB a token",
      "left out the layer after the last: multi-token prediction (MTP), which no other layer reads",
    ]) {
      expect(said).toContain(text);
    }
  });

  it("gives the same as JSON", async () => {
    const { stdout } = await golgiHere(["info", configPath("deepseek-v3"), "--json"]);
    const { tape: _tape, ...info } = describeConfig(read(configPath("deepseek-v3")), configPath("deepseek-v3"));
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(info)));
  });

  const sparse = goldenNames.filter((name) => /moe|mixtral|oss|deepseek/.test(name));
  it.each(sparse)("counts the experts of %s from its files as from its config", async (name) => {
    const model = await open(fixture(`goldens/${name}`));
    const { counts, cacheBytesPerToken } = describeModel(model);
    await model.close();
    const fromConfig = describeConfig(read(fixture(`goldens/${name}/config.json`)), "config.json");
    expect({ counts, cacheBytesPerToken }).toEqual({
      counts: fromConfig.counts,
      cacheBytesPerToken: fromConfig.cacheBytesPerToken,
    });
    expect(counts.activeParameters).toBeLessThan(counts.parameters);
    expect(counts.activeNeurons).toBeLessThan(counts.neurons);
  });

  it.each<[string, readonly string[]]>([
    ["gpt2", ["attn.wQ", "attn.wK", "attn.wV", "attn.wO", "mlp.wUp", "mlp.wDown"]],
    ["gpt-oss", ["experts.wGate", "experts.wUp", "experts.wDown"]],
    ["gpt-oss-mxfp4", []],
    ["gemma", []],
  ])("tells which matrices of %s take memory of their own", async (name, kinds) => {
    const model = await open(fixture(`goldens/${name}`));
    const { config, bindings } = model;
    const { converted } = describeModel(model);
    await model.close();
    const names = Array.from({ length: config.nLayers }, (_, i) => kinds.map((kind) => `blocks.${i}.${kind}`)).flat();
    const nNumbers = names.reduce((sum, weight) => sum + numel(bindings.weights.get(weight)?.shape ?? []), 0);
    expect(converted).toEqual({ weights: names, bytes: 4 * nNumbers });

    const { stdout } = await golgiHere(["info", fixture(`goldens/${name}`)]);
    const said = stdout.replaceAll(/\s+/g, " ");
    const list = kinds.map((kind) => `blocks.*.${kind}`).join(", ");
    if (kinds.length === 0) expect(said).not.toContain("converted");
    else {
      const memory = `${formatBytes(4 * nNumbers)} of memory`;
      expect(said).toContain(`converted ${names.length} matrices to f32 on load, ${memory}: ${list}`);
    }
    const { stdout: json } = await golgiHere(["info", fixture(`goldens/${name}`), "--json"]);
    expect(JSON.parse(json).converted).toEqual(converted);
  });

  it("says nothing of experts where every layer is dense", () => {
    const json = { ...read(fixture("goldens/qwen2-moe/config.json")), decoder_sparse_step: 9 };
    const info = describeConfig(json, "config.json");
    expect(info.counts).toMatchObject({ sparseLayers: 0, activeParameters: info.counts.parameters });
    expect(renderInfo("config.json", info, 80)).not.toContain("experts");
  });

  it("tells what a family that is not supported would need", async () => {
    const json = { ...read(configPath("deepseek-v3")), model_type: "deepseek_v32" };
    expect(() => describeConfig(json, "config.json")).toThrow(/got "deepseek_v32". It needs an indexer/);
  });
});

/** Configs as they are published, and whose numbers some of them have. */
const { GOLGI_CONFIGS: elsewhere } = process.env;
const PUBLISHED: Readonly<Record<string, string>> = {
  "deepseek-ai--DeepSeek-R1_config.json": "deepseek-v3",
  "deepseek-ai--DeepSeek-V3_config.json": "deepseek-v3",
  "mistralai--Mixtral-8x7B-v0.1_config.json": "mixtral-8x7b",
  "moonshotai--Kimi-K2-Instruct_config.json": "kimi-k2",
  "Qwen--Qwen3-30B-A3B_config.json": "qwen3-30b-a3b",
};

if (elsewhere !== undefined) {
  const files = readdirSync(elsewhere).filter((file) => file.endsWith(".json"));
  describe("in GOLGI_CONFIGS", () => {
    it.each(files)("%s is described, or refused with what it lacks", (file) => {
      const json = read(`${elsewhere}/${file}`);
      if (json.model_type === "deepseek_v32") {
        expect(() => describeConfig(json, file)).toThrow(ConfigError);
        return;
      }
      const { counts } = describeConfig(json, file);
      expect(counts.parameters).toBeGreaterThanOrEqual(counts.activeParameters);
      expect(counts).toMatchObject(KNOWN[PUBLISHED[file] ?? ""]?.counts ?? {});
    });
  });
}
