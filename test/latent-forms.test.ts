/** Kernels attend to latents in two forms, which they choose by how many rows and keys there are: both must give one result. */
import { afterAll, describe, expect, it } from "vitest";
import { nativeBackend } from "../node/index.ts";
import { kvAppend, latentAttention, selectRows, splitHeads, toCache } from "../src/ops/index.ts";
import { buildTape, cacheLeaf, input, keepState, weight } from "../src/tape/builder.ts";
import { PAGE_SIZE } from "../src/tape/rows.ts";
import type { KvType, Value } from "../src/tape/value.ts";
import { randomFloats, randomFrom } from "./op-support/random.ts";
import { loadEngine, stepInputs } from "./op-support/steps.ts";

interface Sizes {
  readonly nHeads: number;
  readonly nope: number;
  readonly rope: number;
  readonly latent: number;
  readonly vDim: number;
}

/** Different tokens; texts repeat them. */
const N_TOKENS = 97;

/** The greatest difference that the form of the arithmetic may make, absolutely or relatively. */
const TOLERANCE = 1e-4;

class Attending {
  readonly #engine;
  readonly #fill;
  readonly #attend;
  readonly #nPages: number;

  private constructor(engine: Awaited<ReturnType<typeof loadEngine>>, sizes: Sizes, type: KvType, nKeys: number) {
    this.#engine = engine;
    this.#nPages = Math.ceil(nKeys / PAGE_SIZE);
    engine.reserve(this.#nPages);
    this.#fill = engine.compile(buildTape("fill", () => Attending.#append(sizes, type).outputs));
    this.#attend = engine.compile(buildTape("attend", () => Attending.#z(sizes, type)));
  }

  static async open(sizes: Sizes, type: KvType, nKeys: number): Promise<Attending> {
    const { nHeads, nope, rope, latent, vDim } = sizes;
    const shapes = {
      q: [N_TOKENS, nHeads * (nope + rope)],
      kRope: [N_TOKENS, rope],
      c: [N_TOKENS, latent],
      wK: [nHeads * nope, latent],
      wV: [nHeads * vDim, latent],
    };
    const random = randomFrom(1);
    const weights = Object.entries(shapes).map(([name, shape]) => {
      const length = shape.reduce((product, size) => product * size, 1);
      // Keys and values are about as large as latents.
      const scale = name.startsWith("w") ? 1 / Math.sqrt(latent) : 1;
      return { name, shape, data: randomFloats(random, length).map((x) => scale * x) };
    });
    const engine = await loadEngine({ backend: nativeBackend(), precision: "f32", weights });
    return new Attending(engine, sizes, type, nKeys);
  }

  static #append({ rope, latent }: Sizes, type: KvType): { cache: Value; outputs: Record<string, Value> } {
    const given = (name: string, size: number): Value => {
      const x = ofTokens(name, 1, size);
      return type === "f32" ? x : toCache(x, { type });
    };
    const leaf = cacheLeaf("cache", [1, rope, latent], { type });
    const cache = kvAppend(leaf, given("kRope", rope), given("c", latent), input("rows", "rows"));
    keepState("cache", cache);
    return { cache, outputs: {} };
  }

  static #z(sizes: Sizes, type: KvType): Record<string, Value> {
    const { nHeads, nope, rope, latent, vDim } = sizes;
    const { cache } = Attending.#append(sizes, type);
    const q = ofTokens("q", nHeads, nope + rope);
    const [wK, wV] = [weight("wK", [nHeads * nope, latent]), weight("wV", [nHeads * vDim, latent])];
    const scale = 1 / Math.sqrt(nope + rope);
    return { z: latentAttention(q, wK, wV, cache, input("rows", "rows"), { scale, nope, vDim }) };
  }

  /** Keeps the keys [start, start + nRows). */
  async fill(start: number, nRows: number): Promise<void> {
    await this.#engine.run(this.#fill, this.#step(start, nRows));
  }

  /** z of the rows [start, start + nRows), in one step, after the keys before them were filled in. */
  async z(start: number, nRows: number): Promise<readonly number[]> {
    const outputs = await this.#engine.run(this.#attend, this.#step(start, nRows));
    return [...(outputs.get("z")?.data ?? [])];
  }

  /** The same rows, `nEach` of them at a time. */
  async zInSteps(start: number, nRows: number, nEach: number): Promise<readonly number[]> {
    const z: number[][] = [];
    for (let at = start; at < start + nRows; at += nEach) {
      z.push([...(await this.z(at, Math.min(nEach, start + nRows - at)))]);
    }
    return z.flat();
  }

  #step(start: number, nRows: number) {
    const pages = Array.from({ length: this.#nPages }, (_, i) => (i * 7) % this.#nPages);
    return stepInputs({
      sequences: [{ pages, start, nRows, ropeVariant: 0 }],
      ints: { tokens: Array.from({ length: nRows }, (_, i) => ((start + i) * 31 + (start + i) ** 2) % N_TOKENS) },
    });
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}

/** [T, nHeads, headDim], the same for the same token. */
function ofTokens(name: string, nHeads: number, headDim: number): Value {
  const x = selectRows(weight(name, [N_TOKENS, nHeads * headDim]), input("tokens", "int", ["T"]));
  return splitHeads(x, { nHeads, headDim });
}

function expectClose(found: readonly number[], expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length);
  const far = expected.map((e, i) => Math.abs((found[i] ?? Number.NaN) - e) / Math.max(1, Math.abs(e)));
  expect(Math.max(...far.map((x) => (Number.isNaN(x) ? Number.POSITIVE_INFINITY : x)))).toBeLessThanOrEqual(TOLERANCE);
}

// Registered only where there is a C++ compiler; the reference has one form.
if (nativeBackend() !== undefined) {
  describe.each(["f32", "f16"] as const)("latent attention over a cache of %s", (type) => {
    const opened: Attending[] = [];
    const open = async (sizes: Sizes, nKeys: number): Promise<Attending> => {
      const attending = await Attending.open(sizes, type, nKeys);
      opened.push(attending);
      return attending;
    };
    afterAll(async () => {
      for (const attending of opened) await attending.close();
    });

    it("gives a prompt the same z token by token, a few at a time and at once", async () => {
      const attending = await open({ nHeads: 4, nope: 16, rope: 8, latent: 64, vDim: 12 }, 150);
      const whole = await attending.z(0, 150);
      const single = await attending.zInSteps(0, 150, 1);
      expectClose(single, whole);
      // Else this would compare one form with itself.
      expect(single).not.toEqual(whole);
      expectClose(await attending.zInSteps(0, 150, 5), whole);
      expectClose(await attending.zInSteps(0, 150, 40), whole);
    });

    it("gives the last rows of a long text the same z where heads and latents take several rounds", async () => {
      const attending = await open({ nHeads: 3, nope: 224, rope: 32, latent: 1024, vDim: 256 }, 3000);
      await attending.fill(0, 2600);
      const together = await attending.z(2600, 400);
      const single = await attending.zInSteps(2980, 20, 1);
      expectClose(single, together.slice(-single.length));
      expect(single).not.toEqual(together.slice(-single.length));
    });

    it("gives a few rows the same z where what runs of keys add is more than is held at a time", async () => {
      const attending = await open({ nHeads: 3, nope: 224, rope: 32, latent: 1024, vDim: 256 }, 11_100);
      await attending.fill(0, 11_068);
      const together = await attending.z(11_068, 32);
      const single = await attending.zInSteps(11_068, 32, 1);
      expectClose(single, together);
    });
  });
}
