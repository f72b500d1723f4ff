/** Activation and path patching, against runs that are patched one by one. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import type { Backend } from "../src/backends/contract.ts";
import { reference } from "../src/backends/reference/reference.ts";
import { RequestError } from "../src/errors.ts";
import type { Recorded } from "../src/glass/recording.ts";
import type { Model } from "../src/run/model.ts";
import { openModel } from "../src/run/open.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { patch } from "../src/views/patch.ts";
import { pathPatch } from "../src/views/path-patch.ts";
import { fixture, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const CLEAN = "Lily saw a big dog. She was";
const CORRUPTED = "Lily saw a big cat. She was";
const METRIC = { answer: " very", wrong: " so" };

let model: Model;
beforeAll(async () => {
  model = await open(stories260K);
});
afterAll(() => model.close());

describe("patching", () => {
  it("gives for each component and position what a run of its own gives", async () => {
    const { nHeads, nLayers } = model.config;
    const points = ["L*.H*", "blocks.*.residPre", "L2.N7", "blocks.0.mlp.out"];
    const found = await patch(model, { clean: CLEAN, corrupted: CORRUPTED, points, metric: METRIC });
    const nTokens = model.encode(CLEAN).length;
    expect(found.rows).toHaveLength((nHeads * nLayers + nLayers + 2) * nTokens);
    const [yes, no] = [model.tokenizer.idOf(METRIC.answer), model.tokenizer.idOf(METRIC.wrong)] as [number, number];
    const clean = await model.run(CLEAN, { read: ["**.attn.z", "**.residPre", "**.mlp.post", "**.mlp.out"] });
    for (const { address, position, metric, effect } of found.rows.filter((_, i) => i % 37 === 0)) {
      const edits = [{ at: address, positions: position as number, patch: clean }];
      const { logits } = await model.run(CORRUPTED, { edits, logits: "last" });
      expect(Math.abs(metric - (logits.at(0, yes) - logits.at(0, no)))).toBeLessThanOrEqual(TOLERANCE.rows);
      const { clean: best, corrupted: worst } = found;
      expect(effect).toBeCloseTo((metric - worst.metric) / (best.metric - worst.metric), 9);
    }
    const before = found.rows.filter(({ address, position }) => address === "L3.H2" && Number(position) < 4);
    expect(before.map(({ effect }) => Math.abs(effect ?? 1) < 1e-3)).not.toContain(false);
  });

  it("of everything at once is the clean run, to the last bit", async () => {
    const logits: Float32Array[] = [];
    const metric = (row: ArrayLike<number>): number => {
      logits.push(Float32Array.from(row));
      return row[3];
    };
    const options = { clean: CLEAN, corrupted: CORRUPTED, positions: "all", metric } as const;
    const { rows } = await patch(model, { ...options, points: ["embed"] });
    expect(rows.map(({ effect, position }) => [effect, position])).toEqual([[1, "all"]]);
    const [clean, corrupted, patched] = logits;
    expect(patched).toEqual(clean);
    expect(patched).not.toEqual(corrupted);
  });

  it("compiles one program for all patches of a sweep", async () => {
    let nCompiled = 0;
    const counting: Backend = {
      ...reference,
      load: (weights) => {
        const engine = reference.load(weights);
        const compile = engine.compile.bind(engine);
        engine.compile = (tape) => {
          nCompiled++;
          return compile(tape);
        };
        return engine;
      },
    };
    const host = { nowMs: () => performance.now(), pause: async () => {} };
    const counted = await openModel({ folder: await openFolder(stories260K) }, host, [counting]);
    await patch(counted, { clean: CLEAN, corrupted: CORRUPTED, points: ["L*.H*"], metric: METRIC });
    // The clean run, the corrupted one, what all patches share, and the patches.
    expect(nCompiled).toBe(4);
    await counted.close();
  });

  it("tells how far it has come", async () => {
    const told: number[] = [];
    const options = { clean: CLEAN, corrupted: CORRUPTED, points: ["L*.H*"], metric: METRIC };
    await patch(model, {
      ...options,
      onProgress: ({ nDone, nTotal, etaMs }) => {
        expect(etaMs).toBeGreaterThanOrEqual(0);
        told.push(nDone / nTotal);
      },
    });
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(told.at(-1)).toBe(1);
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = patch(model, { ...options, signal: controller.signal, onProgress: () => controller.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
  });

  it("prints in 80 columns, and is plain data", async () => {
    const found = await patch(model, { clean: CLEAN, corrupted: CORRUPTED, points: ["L*.H*"], metric: METRIC });
    expect(Math.max(...`${found}`.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(JSON.parse(JSON.stringify(found))).toEqual({ ...found });
  });

  it.each([
    [{ corrupted: "Lily" }, "both texts must have as many tokens"],
    [{ points: [] }, "there must be something to patch"],
    [{ points: ["L2.H3@4"] }, "an address is given without positions"],
    [{ metric: { answer: " verily" } }, "a text names one whole token"],
    [{ metric: {} }, "must be { answer }"],
    [{ positions: [] }, 'must be "each", "all" or a list'],
    [{ layers: [1] }, "the option must be known"],
  ])("refuses %j", async (wrong, message) => {
    const options = { clean: CLEAN, corrupted: CORRUPTED, points: ["L2"], metric: METRIC, ...wrong };
    const refused = patch(model, options as never);
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow(message);
  });
});

describe("path patching", () => {
  const texts = { clean: CLEAN, corrupted: CORRUPTED, metric: METRIC };

  it("straight to the logits changes the last residual stream by the sender's own change alone", async () => {
    const last = `blocks.${model.config.nLayers - 1}.residPost`;
    const result = "blocks.1.attn.result";
    const [clean, corrupted] = await Promise.all(
      [CLEAN, CORRUPTED].map((text) => model.run(text, { read: [last, result] })),
    );
    const stream = corrupted.get(last);
    const moved = stream.data.map((x, i) => {
      const [t, d] = [Math.floor(i / model.config.dModel), i % model.config.dModel];
      return x + clean.get(result).at(t, 3, d) - corrupted.get(result).at(t, 3, d);
    });
    const recorded: Recorded = {
      points: [last],
      sequences: corrupted.sequences,
      get: () => new Tensor(stream.shape, moved),
      start: () => 0,
      mean: () => stream,
    };
    const { logits } = await model.run(CORRUPTED, { edits: [{ at: last, patch: recorded }], logits: "last" });
    const [yes, no] = [model.tokenizer.idOf(METRIC.answer), model.tokenizer.idOf(METRIC.wrong)] as [number, number];
    const found = await pathPatch(model, { ...texts, from: "L1.H3", to: "logits" });
    expect(Math.abs(found.patched - (logits.at(0, yes) - logits.at(0, no)))).toBeLessThanOrEqual(TOLERANCE.rows);
    expect(found.patched).not.toBe(found.corrupted);
  });

  it("through all of the stream at the bottom is the clean run; to all that the sender makes it is patching", async () => {
    const whole = await pathPatch(model, { ...texts, from: "embed", to: "blocks.0.residPre" });
    expect(whole.effect).toBeCloseTo(1, 5);
    const path = await pathPatch(model, { ...texts, from: "L3.mlp.pre", to: "L3.mlp" });
    const { rows } = await patch(model, { ...texts, points: ["L3.mlp.pre"], positions: "all" });
    expect(Math.abs(path.patched - rows[0].metric)).toBeLessThanOrEqual(TOLERANCE.rows);
    expect(path.effect).not.toBeCloseTo(0, 3);
  });

  it("by way of MLPs carries more than the stream alone", async () => {
    const options = { ...texts, from: "L0.H1", to: "L4.H2.q" };
    const [direct, mlps] = [await pathPatch(model, options), await pathPatch(model, { ...options, through: "mlps" })];
    expect(mlps.patched).not.toBe(direct.patched);
    expect(`${direct}`).toContain("From L0.H1 to blocks.4.attn.q[2], directly: effect");
  });

  it("refuses a path that leads down, and what is no single component", async () => {
    const path = (from: string, to: string) => pathPatch(model, { ...texts, from, to });
    await expect(path("L3.H1", "L2.H1.q")).rejects.toThrow("must be computed after L3.H1");
    await expect(path("L*.H1", "L2.H1.q")).rejects.toThrow("must be the address of one component");
  });
});

describe("path patching in a layer with experts", () => {
  let sparse: Model;
  beforeAll(async () => {
    sparse = await open(fixture("goldens/deepseek-v3"));
  });
  afterAll(() => sparse.close());
  const texts = { clean: [5, 17, 42, 8, 30, 11], corrupted: [5, 17, 42, 8, 30, 12], metric: { answer: 3, wrong: 4 } };

  it.each(["L1.router", "L1.shared", "L1.shared.N2", "blocks.1.experts.post", "blocks.1.experts.sum"])(
    "from %s to all that it makes it is patching",
    async (from) => {
      const path = await pathPatch(sparse, { ...texts, from, to: "blocks.1.residPost" });
      const { rows } = await patch(sparse, { ...texts, points: [from], positions: "all" });
      expect(Math.abs(path.patched - rows[0].metric)).toBeLessThanOrEqual(TOLERANCE.rows);
      expect(Math.abs(path.patched - path.corrupted)).toBeGreaterThan(1e-3);
    },
  );

  it("refuses single experts, which have no value at other tokens", async () => {
    const path = (from: string, to: string) => pathPatch(sparse, { ...texts, from, to });
    const message =
      "must have a value at every token; got L1.E1.N2, which has one where a token went to expert 1 alone";
    await expect(path("L0.H1", "L1.E1.N2")).rejects.toThrow(`pathPatch: to: ${message}`);
    await expect(path("L1.E1.N2", "logits")).rejects.toThrow(`pathPatch: from: ${message}`);
  });
});
