/** Where routers send tokens, against plain loops over points that were read. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RequestError } from "../src/errors.ts";
import { openModel, reference } from "../src/index.ts";
import type { Model } from "../src/run/model.ts";
import type { Run } from "../src/run/result.ts";
import type { Report } from "../src/views/report.ts";
import { type Router, router } from "../src/views/router.ts";
import { routerDiff } from "../src/views/router-diff.ts";
import type { RouterRow } from "../src/views/router-rows.ts";
import { routerWeights } from "../src/views/router-weights.ts";
import { MemoryFolder } from "./checkpoint-files.ts";
import { widest } from "./support/command.ts";
import { fixture, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { beforeNorm, openCase, unembedRow } from "./support/plain-attribution.ts";
import { plainChoice, type RouterRule } from "./support/plain-router.ts";
import { routerRule, SPARSE_GOLDENS } from "./support/sparse-families.ts";
import { sparseStoriesFiles } from "./support/sparse-stories.ts";
import { dot, length, range, sum, type Weights } from "./support/view-cases.ts";

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

function openStories(nExperts: number, nExpertsPerToken: number): Promise<Model> {
  const folder = new MemoryFolder(sparseStoriesFiles({ nExperts, nExpertsPerToken }));
  return openModel({ folder }, host, [reference]);
}

const sparseLayers = ({ config }: Model): number[] =>
  range(config.nLayers).filter((layer) => config.sparse?.layers[layer]);

describe.each(SPARSE_GOLDENS)("on %s", (name) => {
  let model: Model;
  let tokens: number[];
  let run: Run;
  let weights: Weights;
  let found: Report<Router>;
  let rules: Map<number, RouterRule>;
  beforeAll(async () => {
    ({ model, tokens, run, weights } = await openCase(fixture(`goldens/${name}`)));
    found = await router(model, tokens, { position: 5 });
    const ofLayers = sparseLayers(model).map(async (layer) => [layer, await routerRule(name, model, layer)] as const);
    rules = new Map(await Promise.all(ofLayers));
  });
  afterAll(() => model.close());

  const at = (point: string, { layer, position }: RouterRow): number[] =>
    Array.from(run.get(`blocks.${layer}.${point}`).row(position).data);

  it("has a row for each sparse layer and token, with the experts and weights of plain loops over logits", () => {
    expect(found.rows.map(({ layer, position }) => [layer, position])).toEqual(
      sparseLayers(model).flatMap((layer) => tokens.map((_, position) => [layer, position])),
    );
    for (const row of found.rows) {
      const expected = plainChoice(rules.get(row.layer)!, at("router.logits", row));
      expect(row.experts.map(({ expert }) => expert)).toEqual(expected.experts);
      for (const [slot, { weight }] of row.experts.entries()) expect(weight).toBeCloseTo(expected.weights[slot], 5);
    }
  });

  it("margins are the distances in what experts are chosen by, within the kept groups", () => {
    for (const row of found.rows) {
      const scores = at("router.limitedScores", row);
      const chosen = row.experts.map(({ expert }) => expert);
      const others = range(scores.length).filter((expert) => !chosen.includes(expert));
      const last = Math.min(...chosen.map((expert) => scores[expert]));
      const next = Math.max(...others.map((expert) => scores[expert]));
      expect(scores[row.lastChosen]).toBe(last);
      expect(scores[row.firstNotChosen!]).toBe(next);
      expect(row.margin).toBe(last - next);
      const kept = run.points.includes(`blocks.${row.layer}.router.groupMask`) && at("router.groupMask", row);
      expect(row.groups).toEqual(kept ? range(kept.length).filter((group) => kept[group] === 1) : undefined);
    }
  });

  it("entropies are those of scores that add up to 1, or of the softmax of logits", () => {
    const hasScores = run.points.some((point) => point.endsWith("router.scores"));
    for (const row of found.rows) {
      const parts = hasScores ? at("router.scores", row) : at("router.logits", row).map(Math.exp);
      const shares = parts.map((part) => part / sum(parts));
      expect(row.entropy).toBeCloseTo(-sum(shares.map((share) => share * Math.log(share))), 5);
    }
  });

  it("lengths and shares are those of the two parts of a layer's output, and shares add up to 1", () => {
    for (const row of found.rows) {
      const [out, routed] = [at("mlp.out", row), at("experts.sum", row)];
      const isShared = run.points.includes(`blocks.${row.layer}.shared.contribution`);
      expect(row.outLength).toBeCloseTo(length(out), 4);
      expect(row.routedLength).toBeCloseTo(length(routed), 4);
      expect(row.routedShare).toBeCloseTo(dot(routed, out) / dot(out, out), 5);
      const shared = isShared ? at("shared.contribution", row) : undefined;
      if (shared === undefined) expect(row).not.toHaveProperty("sharedShare");
      else expect(row.sharedLength).toBeCloseTo(length(shared), 4);
      expect(row.routedShare! + (row.sharedShare ?? 0)).toBeCloseTo(1, 5);
    }
  });

  it("the load of every expert is what its tokens count up to", () => {
    for (const { layer, load } of found.layers) {
      const indices = Array.from(run.get(`blocks.${layer}.router.indices`).data);
      for (const [i, { expert, nTokens, share }] of load.entries()) {
        expect([expert, nTokens]).toEqual([i, indices.filter((chosen) => chosen === i).length]);
        expect(share).toBe(nTokens / tokens.length);
      }
      expect(load).toHaveLength(found.nExperts);
    }
  });

  it("what experts add to the logit is what they have along the token's direction", () => {
    const { position, layers, label } = found;
    expect(position).toBe(5);
    const logits = run.logits.row(position).data;
    const token = logits.indexOf(Math.max(...logits));
    expect(label).toBe(`logit of "${token}"`);
    expect(found.value).toBeCloseTo(logits[token], 5);
    const divisor = run.get("lnFinal.scale").at(position, 0);
    const direction = beforeNorm(unembedRow(token, model, weights), "lnFinal", model, weights).map((x) => x / divisor);
    for (const { layer, logit } of layers) {
      const part = (point: string): number => dot(run.get(`blocks.${layer}.${point}`).row(position).data, direction);
      expect(logit.routed).toBeCloseTo(part("experts.sum"), 4);
      if (logit.shared !== undefined) expect(logit.shared).toBeCloseTo(part("shared.contribution"), 4);
      const contributions = run.get(`blocks.${layer}.experts.contribution`);
      const indices = Array.from(run.get(`blocks.${layer}.router.indices`).row(position).data);
      expect(logit.experts.map(({ expert }) => expert).sort()).toEqual(indices.toSorted());
      for (const { expert, value } of logit.experts) {
        expect(value).toBeCloseTo(dot(contributions.row(position, indices.indexOf(expert)).data, direction), 4);
      }
    }
  });

  it("an edit of the choice shows: a banned expert is gone, and where one is forced an edit decides", async () => {
    const [layer] = sparseLayers(model);
    const [{ experts }] = found.rows;
    const banned = experts[0].expert;
    const without = await router(model, tokens, { layers: [layer], edits: [`L${layer}.router ban ${banned}`] });
    for (const row of without.rows) {
      expect(row.experts.map(({ expert }) => expert)).not.toContain(banned);
      expect(row.firstNotChosen).not.toBe(banned);
      expect(Number.isFinite(row.entropy)).toBe(true);
    }
    const loads = without.layers[0].load[banned];
    expect(loads).toEqual({ expert: banned, nTokens: 0, share: 0 });
    const all = experts.map(({ expert }) => expert);
    const forced = await router(model, tokens, {
      layers: [layer],
      edits: [`L${layer}.router force [${all.join(", ")}]`],
    });
    for (const row of forced.rows) {
      expect(row.experts.map(({ expert }) => expert).sort()).toEqual(all.toSorted());
      expect(row.margin).toBeNull();
    }
    expect(`${forced}`).toContain("– an edit decides there");
  });

  it("a run does not differ from itself in its choices, and a swap shows as what it does", async () => {
    const same = await routerDiff(model, model, tokens);
    expect(same).toMatchObject({ nChanged: 0, changes: [], nChoices: found.rows.length * found.nExpertsPerToken });
    expect(`${same}`).toContain("all experts are the same");
    const layer = sparseLayers(model).at(-1)!;
    const row = found.rows.find((one) => one.layer === layer && one.position === 0)!;
    const [from, to] = [row.lastChosen, row.firstNotChosen!];
    const edits = [`L${layer}.router swap ${from} -> ${to} @0`];
    const { changes, layers, nChanged } = await routerDiff(model, { model, edits }, tokens);
    expect(changes).toEqual([
      expect.objectContaining({
        layer,
        position: 0,
        left: [from],
        came: [to],
        marginA: row.margin,
        marginB: -row.margin!,
      }),
    ]);
    expect(nChanged).toBe(1);
    expect(layers.at(-1)).toEqual({ layer, nTokensChanged: 1, nChanged: 1 });
  });

  it("is plain data, and prints within the width", async () => {
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
    const one = await router(model, tokens, { layers: [sparseLayers(model)[0]] });
    for (const width of [40, 80]) {
      for (const view of [found, one]) expect(widest(view.toString({ width }))).toBeLessThanOrEqual(width);
    }
  });

  it("a router's weights tell which experts are asked for alike", async () => {
    const [layer] = sparseLayers(model);
    const { rows } = await routerWeights(model, layer);
    const { dModel, sparse } = model.config;
    const wRouter = weights(`blocks.${layer}.router.wRouter`);
    const vectors = range(sparse!.nExperts).map((i) => wRouter.slice(i * dModel, (i + 1) * dModel));
    for (const { expert, norm, nearest, cosine, bias, selectionBias } of rows) {
      expect(norm).toBeCloseTo(length(vectors[expert]), 5);
      const cosines = vectors.map((vector, i) =>
        i === expert ? -2 : dot(vector, vectors[expert]) / (length(vector) * length(vectors[expert])),
      );
      expect(cosine).toBeCloseTo(Math.max(...cosines), 5);
      expect(cosines[nearest!]).toBeCloseTo(Math.max(...cosines), 5);
      for (const [part, value] of Object.entries({ bRouter: bias, selectionBias })) {
        const stored = `blocks.${layer}.router.${part}`;
        const expected = model.bindings.weights.has(stored) ? weights(stored)[expert] : undefined;
        expect(value).toEqual(expected === undefined ? undefined : expect.closeTo(expected, 6));
      }
    }
  });
});

describe("with many experts", () => {
  it.each([64, 256])("of %i the tables name all that were chosen, within 80 columns", async (nExperts) => {
    const model = await openStories(nExperts, 8);
    for (const layers of [undefined, [1]]) {
      const found = await router(model, "Lily saw a big dog", { layers });
      const text = found.toString();
      expect(widest(text)).toBeLessThanOrEqual(80);
      const shown = found.rows.filter(({ position }) => layers !== undefined || position === found.position);
      for (const { experts } of shown) {
        for (const { expert, weight } of experts) expect(text).toContain(`E${expert} ${weight.toFixed(3)}`);
      }
    }
    await model.close();
  });

  it("says so where no other expert of the kept groups is left", async () => {
    const model = await openStories(8, 4);
    const found = await router(model, "Lily saw a big dog");
    for (const row of found.rows) expect(row).toMatchObject({ margin: null, firstNotChosen: null });
    expect(`${found}`).toContain("– no other expert may be chosen there");
    expect(`${found}`).not.toContain("Infinity");
    await model.close();
  });
});

describe("refusals", () => {
  it.each([
    ["a model without experts", stories260K, {}, "all of whose MLPs are dense"],
    ["a dense layer", fixture("goldens/deepseek-v3"), { layers: [0] }, "got 0, whose MLP is dense"],
    ["a layer that is not there", fixture("goldens/deepseek-v3"), { layers: [7] }, "must be an integer from 0 to 1"],
    ["a position beyond the text", fixture("goldens/deepseek-v3"), { position: 3 }, "router: position"],
    ["an unknown option", fixture("goldens/deepseek-v3"), { layer: 1 }, "Did you mean layers?"],
  ])("of %s", async (_, directory, options, message) => {
    const model = await open(directory);
    const refused = router(model, [1, 2, 3], options as object);
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow(message);
    await model.close();
  });

  it("of two models that differ in their experts", async () => {
    const [a, b] = [await openStories(8, 4), await openStories(8, 2)];
    await expect(routerDiff(a, b, "Lily")).rejects.toThrow("routerDiff: nExpertsPerToken");
    await Promise.all([a.close(), b.close()]);
  });
});
