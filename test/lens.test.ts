/** The logit lens and tuned lenses against the model's own logits, and against plain loops over weights. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { RequestError } from "../src/errors.ts";
import { openModel, reference } from "../src/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { type LensStream, lens } from "../src/views/lens.ts";
import { MemoryFolder, utf8 } from "./checkpoint-files.ts";
import { stories260K } from "./support/fixtures.ts";
import { isReference, open } from "./support/open.ts";
import { ATTRIBUTION_CASES, openCase } from "./support/plain-attribution.ts";
import { centred, dot, range, readout, sum, type Weights } from "./support/view-cases.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

const descending = (a: number, b: number): number => b - a;

/** Logits of a residual stream: the final norm with the stream's own statistics, the unembedding, and a cap if there is one. */
function plainLogits(resid: readonly number[], model: Model, weights: Weights): number[] {
  const hasBias = model.bindings.weights.has("lnFinal.bias");
  const seen = hasBias ? centred(resid) : resid;
  const divisor = Math.sqrt(dot(seen, seen) / seen.length + model.config.normEps);
  const scaled = readout(resid, model, weights).map((x) => x / divisor);
  const { finalSoftcap: cap } = model.config as { finalSoftcap?: number };
  if (cap !== undefined) return scaled.map((x) => cap * Math.tanh(x / cap));
  if (!hasBias) return scaled;
  const unembed = weights(model.bindings.weights.has("unembed") ? "unembed" : "embed");
  const bias = weights("lnFinal.bias");
  return scaled.map((x, token) => x + dot(bias, unembed.slice(token * bias.length, (token + 1) * bias.length)));
}

describe.each(ATTRIBUTION_CASES)("on %s", (_, path) => {
  let model: Model;
  let tokens: number[];
  let run: Run;
  let weights: Weights;
  beforeAll(async () => {
    ({ model, tokens, run, weights } = await openCase(path));
  });
  afterAll(() => model.close());

  it("after the last layer gives the model's own logits and distribution, to the last bit", async () => {
    const { nLayers, vocabSize } = model.config;
    const { streams } = await lens(model, tokens, { layers: [nLayers - 1], k: vocabSize });
    expect(streams.map(({ label }) => label)).toEqual([`L${nLayers - 1}`]);
    expect(streams[0].positions.map(({ position }) => position)).toEqual(range(tokens.length));
    for (const { position, predictions } of streams[0].positions) {
      const logits = new Array(vocabSize).fill(Number.NaN);
      const probabilities = new Array(vocabSize).fill(Number.NaN);
      for (const { token, logit, probability } of predictions) {
        logits[token] = logit;
        probabilities[token] = probability;
      }
      expect(logits).toEqual(Array.from(run.logits.row(position).data));
      expect(probabilities).toEqual(Array.from(run.get("probs").row(position).data));
    }
  });

  it("at every height gives what the final norm and the unembedding make of the stream there", async () => {
    const { nLayers, vocabSize } = model.config;
    const { streams } = await lens(model, tokens, { mid: true, positions: [1, 3], k: vocabSize });
    const inBlocks = range(nLayers).flatMap((i) => [`blocks.${i}.residMid`, `blocks.${i}.residPost`]);
    expect(streams.map(({ point }) => point)).toEqual(["blocks.0.residPre", ...inBlocks]);
    for (const { point, positions } of streams) {
      for (const { position, predictions, entropy } of positions) {
        const expected = plainLogits(Array.from(run.get(point).row(position).data), model, weights);
        for (const { token, logit } of predictions) expect(logit).toBeCloseTo(expected[token], 3);
        const exps = expected.map(Math.exp);
        const probabilities = exps.map((x) => x / sum(exps));
        expect(entropy).toBeCloseTo(-sum(probabilities.map((p) => (p === 0 ? 0 : p * Math.log(p)))), 3);
      }
    }
  });

  it("lists the likeliest tokens first, and tells a target's logit, probability and rank", async () => {
    const { vocabSize } = model.config;
    const target = 11;
    const whole = await lens(model, tokens, { k: vocabSize, target });
    const some = await lens(model, tokens, { k: 2, positions: [2, 4] });
    for (const [height, { positions }] of whole.streams.entries()) {
      for (const { predictions, target: told } of positions) {
        const logits = predictions.map(({ logit }) => logit);
        expect(logits).toEqual(logits.toSorted(descending));
        const found = predictions.find(({ token }) => token === target);
        expect(told?.logit).toBe(found?.logit);
        expect(told?.probability).toBeCloseTo(found?.probability as number, 6);
        expect(told?.rank).toBe(1 + logits.filter((logit) => logit > (found?.logit as number)).length);
      }
      // Where kernels add up in another order for fewer rows, equal tokens may change places.
      if (!isReference) continue;
      const shorter = positions.slice(2, 4).map(({ target: _target, ...at }) => {
        return { ...at, predictions: at.predictions.slice(0, 2) };
      });
      expect(some.streams[height].positions).toEqual(shorter);
    }
  });

  it("through translators that change nothing is the logit lens, and through others what they make of the stream", async () => {
    const { nLayers, dModel, vocabSize } = model.config;
    const options = { positions: 2, k: vocabSize } as const;
    const translators = (fill: (i: number) => number): Record<string, Tensor> =>
      Object.fromEntries(
        range(nLayers).flatMap((layer) => [
          [`${layer}.weight`, new Tensor([dModel, dModel], Float32Array.from(range(dModel ** 2), fill))],
          [
            `${layer}.bias`,
            new Tensor(
              [dModel],
              Float32Array.from(range(dModel), (i) => fill(i + layer)),
            ),
          ],
        ]),
      );
    const plain = await lens(model, tokens, options);
    const unchanged = await lens(model, tokens, { ...options, tuned: translators(() => 0) });
    expect(unchanged.streams).toEqual(plain.streams);
    expect(unchanged.isTuned).toBe(true);
    const tuned = translators((i) => Math.sin(i) / 8);
    const { streams } = await lens(model, tokens, { ...options, tuned });
    const folder = mkdtempSync(join(tmpdir(), "golgi-lens-"));
    const file = join(folder, "lens.safetensors");
    const tensors = Object.entries(tuned).map(([name, { shape, data }]) => ({
      name,
      shape,
      data: data as Float32Array,
    }));
    writeFileSync(file, encodeSafetensors(tensors));
    expect((await lens(model, tokens, { ...options, tuned: file })).streams).toEqual(streams);
    await expect(lens(model, tokens, { ...options, tuned: `${file}.not` })).rejects.toThrow("lens.safetensors.not: ");
    rmSync(folder, { recursive: true });
    for (const [height, { point, positions }] of streams.entries()) {
      const resid = Array.from(run.get(point).row(2).data);
      const [weight, bias] = [tuned[`${height}.weight`], tuned[`${height}.bias`]];
      // The stream after the last block has no translator.
      const translated =
        height === nLayers ? resid : resid.map((x, i) => x + dot(weight.row(i).data, resid) + bias.at(i));
      const expected = plainLogits(translated, model, weights);
      for (const { token, logit } of positions[0].predictions) expect(logit).toBeCloseTo(expected[token], 3);
    }
  });
});

describe("a lens", () => {
  const text = "Lily and her mom went to the park. She saw a big";
  let model: Model;
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  const labels = (streams: readonly LensStream[]): string[] => streams.map(({ label }) => label);

  it("looks at the embedding and after every layer, or where it is asked to", async () => {
    expect(labels((await lens(model, text)).streams)).toEqual(["embed", "L0", "L1", "L2", "L3", "L4"]);
    const some = await lens(model, text, { layers: [1, 3], mid: true, positions: -1 });
    expect(labels(some.streams)).toEqual(["L1 mid", "L1", "L3 mid", "L3"]);
    expect(some.streams[0].positions.map(({ position }) => position)).toEqual([16]);
  });

  it("sees what edits do", async () => {
    const plain = await lens(model, text, { positions: -1 });
    const edited = await lens(model, text, { positions: -1, edits: ["L2 *= 0.5"] });
    expect(edited.streams.slice(0, 3)).toEqual(plain.streams.slice(0, 3));
    expect(edited.streams[4]).not.toEqual(plain.streams[4]);
  });

  it("is plain data with one row for each height and position, and prints itself in as many columns as it may", async () => {
    for (const options of [{}, { positions: -1, target: " the" }, { positions: [0, 3] as const }]) {
      const found = await lens(model, text, options);
      const { rows, streams } = JSON.parse(JSON.stringify(found));
      expect(rows).toHaveLength(streams.length * streams[0].positions.length);
      for (const width of [40, 80, 120]) {
        const lines = found.toString({ width }).split("\n");
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
      }
    }
    expect(`${await lens(model, text, { positions: -1, k: 2, target: " b" })}`).toMatchInlineSnapshot(`
      "position 16 " big"

             entropy   " b"  rank  predictions
      embed    0.014   7.79    37  " big" 0.998  " little" 0.001
      L0       0.268  10.23    10  " big" 0.960  " little" 0.013
      L1       2.761  12.55     2  " big" 0.203  " b" 0.119
      L2       2.978  12.94     2  " t" 0.149  " b" 0.106
      L3       2.975  12.15     2  " t" 0.179  " b" 0.118
      L4       2.830  12.72     1  " b" 0.174  "," 0.132"
    `);
    expect(`${await lens(model, [1, 403, 317], { layers: [0, 4] })}`).toMatchInlineSnapshot(`
      "    0 "<s>"  1 " Once"  2 " Lily"
      L0  " Once"  " Once"    " Lily"
      L4  " Once"  " upon"    " and""
    `);
  });

  it.each([
    [{ k: 0 }, "lens: k"],
    [{ layers: [5] }, "lens: layers"],
    [{ layers: [] }, "lens: layers"],
    [{ target: 512 }, "lens: target"],
    [{ target: "xyz" }, "one whole token"],
    [{ position: 3 }, "positions"],
    [{ tuned: {} }, "tuned: 0.weight"],
    [{ tuned: { "0.weight": new Tensor([2, 2], new Float32Array(4)) } }, "must be [64, 64]; got [2, 2]"],
    [{ tuned: { "5.weight": new Tensor([1], new Float32Array(1)) } }, "tuned: 5.weight"],
    [{ tuned: {}, mid: true }, "lens: mid"],
  ])("refuses %j and says why", async (options, words) => {
    const error = await lens(model, text, options as object).catch((reason) => reason);
    expect(error).toBeInstanceOf(RequestError);
    expect(error.message).toContain(words);
  });

  it("shows a token that the model has and its tokenizer has not by its id", async () => {
    const names = ["config.json", "model.safetensors"];
    const files = Object.fromEntries(
      names.map((name) => [name, new Uint8Array(readFileSync(`${stories260K}/${name}`))]),
    );
    const tokenizer = JSON.parse(readFileSync(`${stories260K}/tokenizer.json`, "utf8"));
    delete tokenizer.model.vocab["~"]; // 510
    const folder = new MemoryFolder({ ...files, "tokenizer.json": utf8(JSON.stringify(tokenizer)) });
    const padded = await openModel({ folder }, host, [reference]);
    const { streams } = await lens(padded, text, { k: 512, positions: -1, target: 510 });
    await padded.close();
    for (const { positions } of streams) {
      expect(positions[0].predictions.find(({ token }) => token === 510)?.text).toBe("510");
    }
  });

  it("refuses positions that the text does not have", async () => {
    for (const positions of [17, [3, 18]] as const) {
      await expect(lens(model, text, { positions })).rejects.toThrow("lens: positions");
    }
  });
});
