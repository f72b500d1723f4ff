import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { type Model, nativeBackend, openModel } from "../node/index.ts";
import { loadAddon } from "../node/native/addon.ts";
import { matmulIndexed, selectRows } from "../src/ops/index.ts";
import { buildTape, input, weight } from "../src/tape/builder.ts";
import { runSteps } from "./op-support/steps.ts";
import { fixture, goldenNames, goldenTokens } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, sameBits } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

async function openNative(path: string, options: { threads?: number; isa?: string }): Promise<Model> {
  const backend = nativeBackend(options);
  if (backend === undefined) throw new Error("the native engine is not built");
  return openModel({ folder: await openFolder(path) }, host, [backend]);
}

const isas = loadAddon()?.isas() ?? [];

/** Registered only where there is a C++ compiler; the reference needs none of this. */
if (isas.length > 0) {
  describe.each(goldenNames)("%s on the native backend", (name) => {
    let tokens: number[];
    let models: Model[];

    beforeAll(async () => {
      tokens = await goldenTokens(name);
      models = await Promise.all([1, 2, 3].map((threads) => openNative(fixture(`goldens/${name}`), { threads })));
    });
    afterAll(async () => {
      for (const model of models) await model.close();
    });

    it("gives the same bits with 1, 2 and 3 threads, at every point", async () => {
      const [one, ...others] = await Promise.all(models.map((model) => model.run(tokens, { read: ["**"] })));
      for (const other of others) {
        const wrong = one.points.filter((point) => !sameBits(one.get(point), other.get(point)));
        expect(wrong).toEqual([]);
      }
    });

    it("agrees with the reference at every point, on every instruction set that this machine has", async () => {
      const reference = await open(fixture(`goldens/${name}`), { backend: "reference" });
      const expected = await reference.run(tokens, { read: ["**"] });
      for (const isa of isas) {
        const model = await openNative(fixture(`goldens/${name}`), { isa });
        const run = await model.run(tokens, { read: ["**"] });
        const wrong = run.points.filter(
          (point) => !(deviation(run.get(point), expected.get(point)) <= TOLERANCE.official),
        );
        expect(wrong, isa).toEqual([]);
        await model.close();
      }
      await reference.close();
    });
  });

  it("takes a weight in rows of other lengths than its own, in one program", async () => {
    const tape = buildTape("two lengths", () => {
      const w = weight("w", [2, 3, 2]);
      const products = matmulIndexed(input("x", "float", [1, 1, 2]), w, input("experts", "int", [1, 2]));
      return { products, rows: selectRows(w, input("rows", "int", [1])) };
    });
    const data = Float32Array.from({ length: 12 }, (_, i) => i);
    const step = { tape, ints: { experts: [1, 0], rows: [1] }, floats: { x: [1, 10] } };
    const [outputs] = await runSteps([step], {
      backend: nativeBackend(),
      precision: "f32",
      weights: [{ name: "w", shape: [2, 3, 2], data }],
    });
    expect([...outputs.get("products")!.data]).toEqual([76, 98, 120, 10, 32, 54]);
    expect([...outputs.get("rows")!.data]).toEqual([6, 7, 8, 9, 10, 11]);
  });
}
