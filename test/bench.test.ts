import { mkdtemp, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Ceilings } from "../bench/ceilings.ts";
import type { Round } from "../bench/compare.ts";
import { EngineProcess } from "../bench/engine-process.ts";
import { type EngineSettings, promptTokens } from "../bench/engines/engine.ts";
import { parseMoeOptions } from "../bench/moe.ts";
import { Layer } from "../bench/moe-layer.ts";
import { renderLayer, renderModels } from "../bench/moe-report.ts";
import { denseTwinShape, layerShape, olmoeShape, TINY_LAYER, TINY_OLMOE } from "../bench/moe-shapes.ts";
import { parseOptions, UsageError } from "../bench/options.ts";
import { renderComparison, renderGlass, summarise, summariseGlass } from "../bench/report.ts";
import { gpt2Shape, type ModelShape, SHAPES } from "../bench/shapes.ts";
import { median, quantile, spread } from "../bench/stats.ts";
import { workOf } from "../bench/work.ts";
import { ensureModel, FORMATS, type FormatName } from "../bench/write-model.ts";
import { describeModel, open } from "../node/index.ts";
import { loadAddon } from "../node/native/addon.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "golgi-bench-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("models of random weights", () => {
  const shapes = {
    tiny: SHAPES.tiny,
    "tiny-gpt2": gpt2Shape({ nLayers: 2, dModel: 64, nHeads: 4, vocabSize: 320, contextLength: 64 }),
  };
  const formats = Object.keys(FORMATS) as FormatName[];
  const cases = Object.entries(shapes).flatMap(([name, shape]) => formats.map((f) => [name, f, shape] as const));

  it.each(cases)("%s in %s opens with every tensor used, and gives finite logits", async (name, format, shape) => {
    const model = await open(await ensureModel(folder, name, shape, format));
    expect(model.bindings.ignored).toEqual([]);
    const { logits } = await model.run([1, 2, 3]);
    expect(logits.shape).toEqual([3, shape.vocabSize]);
    expect(logits.data.every(Number.isFinite)).toBe(true);
    expect(new Set(logits.data).size).toBeGreaterThan(100);
    await model.close();
  });

  it("are kept, and written again where the file is not whole", async () => {
    const writes: string[] = [];
    const ensure = () => ensureModel(folder, "kept", SHAPES.tiny, "q8_0", (file) => writes.push(file));
    const file = await ensure();
    const { size } = await stat(file);
    await ensure();
    expect(writes).toHaveLength(1);
    await truncate(file, size - 1000);
    await ensure();
    expect(writes).toHaveLength(2);
    expect((await stat(file)).size).toBe(size);
  });
});

describe("what a model costs", () => {
  it("is golgi's own count of one token, and of a prompt with the logits of its last token", async () => {
    const model = await open(await ensureModel(folder, "tiny", SHAPES.tiny, "f32"));
    const { perToken } = describeModel(model);
    await model.close();
    const rounds = [{ golgi: { load: { loadMs: 1, perToken } } }];
    const of = (format: FormatName, n: number) => workOf(rounds, SHAPES.tiny, format, n);
    expect(of("f32", 1).prefillFlops).toBe(perToken[0].flops);
    const unembedding = 2 * SHAPES.tiny.unembedMultiplyAdds;
    const slope = (perToken[1].flops - perToken[0].flops) / perToken[1].nCached;
    expect(of("f32", 3).prefillFlops).toBeCloseTo(3 * perToken[0].flops + 3 * slope - 2 * unembedding, 3);
    expect(of("f32", 1).decodeBytes).toBe(4 * perToken[0].weightElements);
    expect(of("q8_0", 1).decodeBytes).toBe((34 / 32) * perToken[0].weightElements);
  });
});

describe("an engine in a process of its own", () => {
  const settings = async (): Promise<EngineSettings> => ({
    engine: "golgi reference",
    modelPath: await ensureModel(folder, "tiny", SHAPES.tiny, "f32"),
    vocabSize: SHAPES.tiny.vocabSize,
    threads: 1,
    contextLength: 40,
  });

  it("loads, runs a prompt, generates, reads, and tells its memory", async () => {
    const engine = await EngineProcess.start(await settings());
    try {
      expect((await engine.ask({ call: "load" })).loadMs).toBeGreaterThan(0);
      const tokens = promptTokens(8, SHAPES.tiny.vocabSize);
      expect(await engine.ask({ call: "prefill", tokens })).toBeGreaterThan(0);
      expect(await engine.ask({ call: "decode", prompt: [1, 2, 3], nTokens: 5 })).toHaveLength(5);
      const glass = await engine.ask({ call: "glass", nCached: 4, nSteps: 2 });
      expect(glass.steps).toHaveLength(2);
      expect(glass.points).toBeGreaterThan(20);
      expect(glass.sizeBytes).toBe(4 * glass.values);
      const memory = await engine.ask({ call: "memory" });
      if (process.platform === "linux") expect(memory?.peak).toBeGreaterThan(0);
    } finally {
      await engine.stop();
    }
    await expect(engine.ask({ call: "load" })).rejects.toThrow("its process ended");
  });

  it("reports a model that is not there, and lives on", async () => {
    const engine = await EngineProcess.start({ ...(await settings()), modelPath: path.join(folder, "none.gguf") });
    await expect(engine.ask({ call: "load" })).rejects.toThrow("none.gguf");
    await expect(engine.ask({ call: "prefill", tokens: [1] })).rejects.toThrow("load comes first");
    await engine.stop();
  });
});

describe("rounds", () => {
  const engineRound = (speed: number, ceiling: number) => ({
    load: { loadMs: 100 / speed },
    prefillMs: 1000 / speed,
    decodeMs: [10 / speed, 10 / speed, 40 / speed],
    memory: { peak: 2e8 * speed, own: 1e8 },
    prefillCeiling: ceiling,
    decodeCeiling: ceiling,
  });
  const round = (ours: number, theirs: number, ceiling: number): Round => ({
    golgi: engineRound(ours, ceiling),
    peer: engineRound(theirs, ceiling),
    others: 0,
    stolen: 0,
  });
  const work = { nPrefill: 100, prefillFlops: 1e9, decodeBytes: 1e7 };

  it("compare engines within each round, so that a slow minute slows both", () => {
    const rows = summarise([round(2, 1, 4e9), round(0.2, 0.1, 4e8), round(4, 2, 8e9)], work, 3);
    for (const { label, ratio, ratioUnit } of rows) {
      if (label !== "  of it private") expect(ratio?.min, label).toBeCloseTo(2);
      if (label !== "  of it private") expect(ratio?.max, label).toBeCloseTo(2);
      expect(ratioUnit, label).toBe(label.includes("memory") || label.includes("private") ? "as much" : "as fast");
    }
    const [load, prefill, decode, medianToken] = rows;
    expect(load?.golgi).toEqual({ median: 50, min: 25, max: 500 });
    expect(prefill?.golgi?.median).toBeCloseTo(200);
    expect(prefill?.golgiShare).toBeCloseTo(0.5);
    expect(prefill?.peerShare).toBeCloseTo(0.25);
    expect(decode?.golgi?.median).toBeCloseTo(100);
    expect(decode?.golgiShare).toBeCloseTo(0.25);
    expect(medianToken?.golgi?.median).toBeCloseTo(200);
  });

  it("leave out what failed", () => {
    const rows = summarise([{ ...round(1, 1, 1e9), peer: { error: "no memory" } }], work, 3);
    expect(rows.map(({ peer, ratio }) => [peer, ratio])).toEqual(rows.map(() => [undefined, undefined]));
    expect(rows[0]?.golgi?.median).toBe(100);
  });

  it("make a table of at most 100 columns", () => {
    const rows = summarise([round(1234, 0.1, 1e9), round(999, 12, 1e12)], work, 512);
    const lines = renderComparison(rows, "llama.cpp (3.22.1)").split("\n");
    expect(lines).toHaveLength(7);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(100);
  });
});

describe("the cost of reading", () => {
  it("is told by pairs, beside that of doing nothing", () => {
    const steps = [10, 20, 40].map((ms) => ({ plain: ms, reads: 1.1 * ms, again: ms }));
    const summary = summariseGlass({ steps });
    expect(summary.cost.median).toBeCloseTo(0.1);
    expect(summary.noise).toEqual({ median: 0, low: 0, high: 0 });
    const text = renderGlass({ points: 252, values: 1000, sizeBytes: 4000, steps }, summary);
    expect(text).toContain("+10.0%");
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });
});

describe("experts", () => {
  it("take options of their own, each with an effect", () => {
    const { parts, format, rows, rounds, threads } = parseMoeOptions(["--rows", "1,20", "--threads", "3"]);
    expect({ parts, format, rows, rounds, threads }).toEqual({
      ...{ parts: ["layer", "model"], format: "q4_0", rows: [1, 20], rounds: 5, threads: 3 },
    });
    expect(parseMoeOptions(["--part", "model", "--decode", "7"])).toMatchObject({ parts: ["model"], nDecode: 7 });
  });

  it.each([
    [["--bogus"], "--bogus"],
    [["--part", "all"], "--part must be layer or model; got all"],
    [["--format", "f32"], "--format must be q4_0, q8_0 or bf16; got f32"],
    [["--rows", "1,"], "--rows must be a whole number from 1 on; got "],
    [["--part", "layer", "--decode", "4"], "--decode changes nothing in layer"],
    [["--part", "model", "--rows", "4"], "--rows changes nothing in model"],
  ])("refuse %j", (args, message) => {
    expect(() => parseMoeOptions(args)).toThrow(UsageError);
    expect(() => parseMoeOptions(args)).toThrow(message);
  });

  it("that no row chose cost the time beyond their share", () => {
    const ms = { routed: 20, all: 1000, plain: 800 };
    const rounds = [{ ms, nDistinct: 8, share: 0.01, ceiling: 1e9 }];
    const result = { title: "A layer", nRows: 1, nExperts: 256, totalBytes: 4e8, rounds };
    expect(renderLayer(result).split("\n")).toEqual([
      "A layer, 1 row a step, 1 round: median least..most",
      "                         ms                      GB/s          of limit",
      "as routed                20.0 20.0..20.0         0.20          20%",
      "with every expert on     1000 1000..1000         0.40          40%",
      "plain products of all    800 800..800            0.50          50%",
      "8.00 of 256 experts have rows: 1.0% of the weights take 2.0% of the time, 2.00 times their share.",
      "As routed, bytes are read 0.40 times as fast as in plain products.",
    ]);
  });

  it("of a model are compared round by round", () => {
    const rounds = [1, 10, 100].map((slow) => ({ sparse: [10 * slow], dense: [50 * slow], ceiling: undefined }));
    const text = renderModels({ title: "A model", bytes: { sparse: 1e6, dense: 4e6 }, rounds });
    expect(text).toContain("Experts make a token 5.00 times as fast, with 25% of the bytes.");
    for (const line of text.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
  });

  it("lie in files that golgi opens, as does a dense model of the same size", async () => {
    const sizeOf = async (name: string, shape: ModelShape): Promise<number> => {
      const model = await open(await ensureModel(folder, name, shape, "q8_0"));
      expect(model.bindings.ignored).toEqual([]);
      const { logits } = await model.run([1, 2, 3]);
      expect(logits.data.every(Number.isFinite)).toBe(true);
      await model.close();
      return (await stat(path.join(folder, `${name}-q8_0.gguf`))).size;
    };
    const [sparse, dense] = [
      await sizeOf("sparse", olmoeShape(TINY_OLMOE)),
      await sizeOf("dense", denseTwinShape(TINY_OLMOE)),
    ];
    // Routers aside, and norms of q and k.
    expect(sparse / dense).toBeGreaterThan(1);
    expect(sparse / dense).toBeLessThan(1.1);
  });

  // Nothing is registered where the native engine is not built.
  if (loadAddon() !== undefined) {
    it("of a layer are counted where some row chose them", async () => {
      const layer = await Layer.open(await ensureModel(folder, "layer", layerShape(TINY_LAYER), "q4_0"), TINY_LAYER, 2);
      const { nExperts, nExpertsPerToken } = TINY_LAYER;
      expect((await layer.step("routed", 1)).nDistinct).toBe(nExpertsPerToken);
      expect((await layer.step("all", 3)).nDistinct).toBe(nExperts);
      expect((await layer.step("plain", 3)).ms).toBeGreaterThan(0);
      await layer.close();
    });
  }
});

describe("the machine's limits", () => {
  it("are rates with their instruction, or unknown where the native engine is not built", () => {
    const ceilings = new Ceilings(1, 1);
    const measured = ceilings.measure("f32");
    expect(measured === undefined).toBe(ceilings.isa === undefined);
    const rows = measured === undefined ? [] : [{ kind: "f32", threads: 1, perSecond: { median: measured } }];
    expect(ceilings.rows).toMatchObject(rows);
    for (const { instruction } of ceilings.rows) expect(instruction).not.toBe("");
  });
});

describe("statistics", () => {
  it("interpolate between neighbours", () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(quantile([0, 10, 20, 30, 40], 0.25)).toBe(10);
    expect(quantile([0, 10], 0.1)).toBeCloseTo(1);
    expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spread([])).toBeUndefined();
  });
});

describe("options", () => {
  it.each([
    [["--bogus"], "--bogus"],
    [["race"], "unknown benchmark race"],
    [["glass", "ceilings"], "one benchmark at a time"],
    [["glass", "--resume"], "--resume changes nothing in glass"],
    [["--model", "gpt3"], "--model must be gpt2, llama-1b or tiny; got gpt3"],
    [["--rounds", "0"], "--rounds must be a whole number from 1 on; got 0"],
  ])("refuse %j", (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError);
    expect(() => parseOptions(args)).toThrow(message);
  });

  it("plan both models, or what was chosen", () => {
    const plan = (...args: string[]) => parseOptions(args)?.plan.map(({ model, format }) => `${model} ${format}`);
    expect(plan()).toEqual(["gpt2 f32", "gpt2 q8_0", "llama-1b q8_0", "llama-1b f16"]);
    expect(plan("--format", "bf16")).toEqual(["gpt2 bf16", "llama-1b bf16"]);
    expect(plan("--quick")).toEqual(["gpt2 q8_0"]);
    expect(plan("--quick", "--model", "llama-1b", "--format", "f16")).toEqual(["llama-1b f16"]);
    expect(plan("glass")).toEqual(["gpt2 f32"]);
    expect(parseOptions(["--help"])).toBeUndefined();
  });
});
