/** Experts and their neurons, against plain loops over points and weights; and what addresses of them show. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RequestError } from "../src/errors.ts";
import { openModel, reference } from "../src/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import { type Expert, expert } from "../src/views/expert.ts";
import { bySize } from "../src/views/extremes.ts";
import { type Layer, layer } from "../src/views/layer.ts";
import { look } from "../src/views/look.ts";
import { neuron } from "../src/views/neuron.ts";
import { type FiringNeuron, firingNeurons, neuronName, promotedTokens } from "../src/views/neurons.ts";
import { type Router, router } from "../src/views/router.ts";
import { routerWeights } from "../src/views/router-weights.ts";
import { trace } from "../src/views/trace.ts";
import { traceText } from "../src/views/trace-text.ts";
import { MemoryFolder } from "./checkpoint-files.ts";
import { widest } from "./support/command.ts";
import { fixture } from "./support/fixtures.ts";
import { openCase } from "./support/plain-attribution.ts";
import { SPARSE_GOLDENS } from "./support/sparse-families.ts";
import { sparseStoriesFiles } from "./support/sparse-stories.ts";
import { dot, length, range, readout, sum, type Weights } from "./support/view-cases.ts";

describe.each(SPARSE_GOLDENS)("on %s", (name) => {
  let model: Model;
  let tokens: number[];
  let run: Run;
  let weights: Weights;
  let sparse: number;
  beforeAll(async () => {
    ({ model, tokens, run, weights } = await openCase(fixture(`goldens/${name}`)));
    sparse = model.config.sparse!.layers.indexOf(true);
  });
  afterAll(() => model.close());

  /** Every neuron of a layer that has a value at a position. */
  function neuronsAt(at: number, position: number): FiringNeuron[] {
    const row = (point: string, ...indices: number[]) => {
      const name = `blocks.${at}.${point}`;
      return run.points.includes(name) ? Array.from(run.get(name).row(position, ...indices).data) : [];
    };
    const of = (values: number[], expert?: number | "shared"): FiringNeuron[] =>
      values.map((value, neuron) => ({ layer: at, neuron, ...(expert !== undefined && { expert }), value }));
    const chosen = row("router.indices");
    return [
      ...of(row("mlp.post")),
      ...chosen.flatMap((expert, slot) => of(row("experts.post", slot), expert)),
      ...of(row("shared.post"), "shared"),
    ];
  }

  it.each([1, 4, 1000])("the %i largest neurons are among the chosen experts and the shared one", async (n) => {
    const layers = range(model.config.nLayers);
    for (const position of [0, -1] as const) {
      const view = firingNeurons(model, layers, position, n);
      const found = view.present(await model.runDerived(tokens, view));
      const at = position < 0 ? tokens.length - 1 : position;
      expect(found).toEqual(layers.map((one) => [neuronsAt(one, at).sort(bySize).slice(0, n)]));
    }
    const view = firingNeurons(model, layers, "all", 2);
    const everywhere = view.present(await model.runDerived(tokens, view));
    expect(everywhere).toEqual(
      layers.map((one) => tokens.map((_, position) => neuronsAt(one, position).sort(bySize).slice(0, 2))),
    );
  });

  it("a neuron of an expert promotes the tokens that its column of the expert's output weights raises", async () => {
    const { dModel } = model.config;
    const some = neuronsAt(sparse, 3).filter((_, i) => i % 5 === 0);
    const promoted = await promotedTokens(model, some, 4);
    for (const [i, { neuron, expert, value }] of some.entries()) {
      const group = expert === "shared" ? "shared" : "experts";
      const wDown = weights(`blocks.${sparse}.${group}.wDown`);
      const [first, n] =
        expert === "shared" ? [0, model.config.sparse!.dShared] : [expert!, model.config.sparse!.dExpert];
      const column = range(dModel).map((d) => wDown[(first * dModel + d) * n + neuron] * Math.sign(value));
      const logits = readout(column, model, weights);
      expect(promoted[i]).toEqual(
        range(logits.length)
          .toSorted((a, b) => logits[b] - logits[a])
          .slice(0, 4),
      );
    }
  });

  it("an expert has the weights, and the uses on a text, of plain loops", async () => {
    const { dModel, sparse: sizes } = model.config;
    const { nExperts, dExpert } = sizes!;
    const indices = run.get(`blocks.${sparse}.router.indices`);
    const index = indices.at(2, 0);
    const found = await expert(model, `L${sparse}.E${index}`, { on: tokens, k: 3 });
    const own = (part: string) =>
      weights(`blocks.${sparse}.experts.${part}`).slice(index * dExpert * dModel, (index + 1) * dExpert * dModel);
    for (const { weight, norm } of found.weights) expect(norm).toBeCloseTo(length(own(weight.split(".").at(-1)!)), 4);
    const columns = range(dExpert).map((n) => length(range(dModel).map((d) => own("wDown")[d * dExpert + n])));
    expect(found.neurons.map(({ writes }) => writes)).toEqual(
      columns
        .toSorted((a, b) => b - a)
        .slice(0, 3)
        .map((writes) => expect.closeTo(writes, 5)),
    );
    for (const { neuron, writes, reads } of found.neurons) {
      expect(writes).toBeCloseTo(columns[neuron], 5);
      const row = (part: string): number => length(own(part).slice(neuron * dModel, (neuron + 1) * dModel));
      expect(reads).toEqual(["wGate", "wUp"].map((part) => expect.closeTo(row(part), 5)));
    }
    const rows = range(nExperts).map((i) =>
      weights(`blocks.${sparse}.router.wRouter`).slice(i * dModel, (i + 1) * dModel),
    );
    const cosines = rows.map((row) => dot(row, rows[index]) / (length(row) * length(rows[index])));
    const nearest = range(nExperts)
      .filter((i) => i !== index)
      .sort((a, b) => cosines[b] - cosines[a]);
    expect(found.similar).toEqual(
      nearest.slice(0, 3).map((other) => ({ expert: other, cosine: expect.closeTo(cosines[other], 5) })),
    );
    const part = `blocks.${sparse}.experts.${index}`;
    const selected = await model.run(tokens, { read: [`${part}.post`, `${part}.contribution`, `${part}.weight`] });
    const positions = selected.positions(`${part}.post`);
    expect(found.uses.map(({ position }) => position)).toEqual(positions);
    for (const [i, { weight, length: added, token }] of found.uses.entries()) {
      expect(token).toBe(tokens[positions[i]]);
      expect(weight).toBe(selected.get(`${part}.weight`).data[i]);
      expect(added).toBeCloseTo(length(selected.get(`${part}.contribution`).row(i).data), 4);
    }
    const post = selected.get(`${part}.post`);
    const largest = range(dExpert)
      .map(
        (neuron) => positions.map((position, i) => ({ neuron, position, value: post.at(i, neuron) })).sort(bySize)[0],
      )
      .sort(bySize);
    expect(found.firing.map(({ neuron, position, value }) => ({ neuron, position, value }))).toEqual(
      largest.slice(0, 3),
    );
  });

  it("at a token that went elsewhere it says where", async () => {
    const indices = run.get(`blocks.${sparse}.router.indices`);
    const chosenAt = (position: number): number[] => Array.from(indices.row(position).data);
    const index = chosenAt(0)[0];
    const elsewhere = range(tokens.length).find((position) => !chosenAt(position).includes(index))!;
    const found = (await look(model, `L${sparse}.E${index}@${elsewhere}`, { on: tokens })) as Expert;
    expect(found.at).toMatchObject({ position: elsewhere, isChosen: false });
    expect(found.at!.chosen.map(({ expert }) => expert)).toEqual(chosenAt(elsewhere));
    expect(found.firing).toEqual([]);
    expect(found.toString()).toContain(`token ${elsewhere} did not, but to\nE${chosenAt(elsewhere)[0]} `);
    const there = await expert(model, `L${sparse}.E${index}`, { on: tokens, position: 0 });
    expect(there.at).toMatchObject({ position: 0, isChosen: true });
    expect(new Set(there.firing.map(({ position }) => position))).toEqual(new Set([0]));
  });

  it("a shared expert is one that every token goes to, by its gate where it has one", async () => {
    const address = `L${sparse}.shared`;
    if (model.config.sparse!.dShared === 0) {
      await expect(look(model, address)).rejects.toThrow(`L${sparse}.shared`);
      return;
    }
    const found = (await look(model, address, { on: tokens })) as Expert;
    expect(found).toMatchObject({ address, expert: null, similar: [] });
    const gate = `blocks.${sparse}.shared.gate`;
    for (const { position, weight, length: added } of found.uses) {
      expect(weight).toBe(run.points.includes(gate) ? run.get(gate).at(position, 0) : 1);
      expect(added).toBeCloseTo(length(run.get(`blocks.${sparse}.shared.contribution`).row(position).data), 4);
    }
    expect(found.uses).toHaveLength(tokens.length);
    expect(found.firing[0].address).toBe(`L${sparse}.shared.N${found.firing[0].neuron}`);
  });

  it("addresses of experts, their neurons and routers show what their views show", async () => {
    const index = run.get(`blocks.${sparse}.router.indices`).at(2, 0);
    const on = tokens;
    expect(await look(model, `L${sparse}.E${index}`)).toEqual(await expert(model, `L${sparse}.E${index}`));
    const address = `L${sparse}.E${index}.N2`;
    expect(await look(model, address, { on })).toEqual(await neuron(model, address, { on }));
    expect(await look(model, `L${sparse}.router`)).toEqual(await routerWeights(model, sparse));
    const onText = (await look(model, `L${sparse}.router@2`, { on })) as Router;
    expect(onText).toEqual(await router(model, on, { layers: [sparse], position: 2 }));
    const found = (await look(model, `L${sparse}@2`, { on })) as Layer;
    expect(found).toEqual(await layer(model, sparse, on, { position: 2 }));
    expect(found.experts).toEqual(onText.rows[2].experts);
    for (const { neuron, expert: own, value } of found.neurons) {
      expect(neuronsAt(sparse, 2)).toContainEqual({ layer: sparse, neuron, expert: own, value });
    }
    for (const width of [40, 80]) {
      for (const shown of [`L${sparse}.E${index}`, `L${sparse}.router`, `L${sparse}`]) {
        expect(widest((await look(model, shown, { on })).toString({ width }))).toBeLessThanOrEqual(width);
      }
    }
  });

  it("what is no expert, and what has no effect, is refused", async () => {
    for (const [address, options] of [
      [`L${sparse}.E0`, { position: 1 }],
      [`L${sparse}.E0`, { edits: [`L${sparse}.E0 = 0`] }],
      [`L${sparse}.E0`, { on: tokens, position: 99 }],
      [`L${sparse}.E0`, { k: 0 }],
      [`L${sparse}.E0.N1`, {}],
      [`L${sparse}`, {}],
    ] as const) {
      await expect(expert(model, address, options)).rejects.toThrow(RequestError);
    }
    await expect(look(model, `L${sparse}.E0@1`)).rejects.toThrow(RequestError);
    await expect(look(model, `L${sparse}.router@1:3`, { on: tokens })).rejects.toThrow(RequestError);
    await expect(look(model, `L${sparse}.E999`)).rejects.toThrow("experts 0 to");
  });
});

describe("a trace of a model with experts", () => {
  const prompt = "Lily saw a big";
  let model: Model;
  beforeAll(async () => {
    const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };
    const folder = new MemoryFolder(sparseStoriesFiles({ nExperts: 16, nExpertsPerToken: 4 }));
    model = await openModel({ folder }, host, [reference]);
  });
  afterAll(() => model.close());

  it("has in sparse layers the experts of the position, and the largest neurons of these", async () => {
    const found = await trace(model, prompt, { maxTokens: 3, position: 2, nNeurons: 6 });
    const ids = found.tokens.map(({ token }) => token);
    const run = await model.run(ids, { read: ["blocks.*.router.*", "blocks.*.*.post"] });
    expect(found.layers.map(({ experts }) => experts?.length)).toEqual([undefined, 4, 4]);
    for (const { layer, experts, neurons } of found.layers) {
      expect(neurons).toHaveLength(6);
      for (const [slot, { expert, weight }] of (experts ?? []).entries()) {
        expect(expert).toBe(run.get(`blocks.${layer}.router.indices`).at(2, slot));
        expect(weight).toBe(run.get(`blocks.${layer}.router.weights`).at(2, slot));
      }
      for (const { neuron, expert, value, promotes } of neurons) {
        const address = `L${layer}.${neuronName({ neuron, expert })}`;
        const slot = (experts ?? []).findIndex((one) => one.expert === expert);
        const point = `blocks.${layer}.${expert === undefined ? "mlp" : expert === "shared" ? "shared" : "experts"}.post`;
        expect(model.address(address).addresses).toHaveLength(1);
        expect(value).toBe(slot < 0 ? run.get(point).at(2, neuron) : run.get(point).at(2, slot, neuron));
        const [tokens] = await promotedTokens(model, [{ layer, neuron, expert, value }], 3);
        expect(promotes.map(({ token }) => token)).toEqual(tokens);
      }
    }
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
  });

  it("of a whole text says at each position what the trace of that position says", async () => {
    const options = { maxTokens: 3, nNeurons: 5 };
    const whole = await traceText(model, prompt, options);
    for (const position of range(whole.tokens.length)) {
      const one = await trace(model, prompt, { ...options, position });
      expect(one.layers.map(({ neurons }) => neurons)).toEqual(whole.neurons.map((rows) => rows[position]));
      expect(one.layers.map(({ experts }) => experts ?? null)).toEqual(
        whole.experts.map((rows) => rows?.[position] ?? null),
      );
    }
    expect(sum(whole.experts.map((rows) => rows?.length ?? 0))).toBe(2 * whole.tokens.length);
  });
});
