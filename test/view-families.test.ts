/** Every view runs on every family, or says why it cannot. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RequestError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import { attention } from "../src/views/attention.ts";
import { attribution } from "../src/views/attribution.ts";
import { diff } from "../src/views/diff.ts";
import { explain } from "../src/views/explain.ts";
import { lens } from "../src/views/lens.ts";
import { look } from "../src/views/look.ts";
import { patch } from "../src/views/patch.ts";
import { pathPatch } from "../src/views/path-patch.ts";
import { residual } from "../src/views/residual.ts";
import { router } from "../src/views/router.ts";
import { routerDiff } from "../src/views/router-diff.ts";
import { widest } from "./support/command.ts";
import { open } from "./support/open.ts";
import { ATTRIBUTION_CASES, tokensOf } from "./support/plain-attribution.ts";

interface Case {
  readonly model: Model;
  readonly tokens: readonly number[];
  /** The last layer, which has experts where any layer has. */
  readonly last: number;
  /** A neuron of it that has a value at the last token. */
  readonly neuron: string;
}

const edits = ["L0.H0 = 0"];
const metric = { answer: 3, wrong: 5 };

const VIEWS: Readonly<Record<string, (one: Case) => Promise<object>>> = {
  lens: ({ model, tokens }) => lens(model, tokens, { mid: true, target: 3 }),
  residual: ({ model, tokens }) => residual(model, tokens),
  attention: ({ model, tokens }) => attention(model, tokens, { layers: [0] }),
  "attribution by layer": ({ model, tokens }) => attribution(model, tokens, { detail: "layer" }),
  "attribution by head": ({ model, tokens }) => attribution(model, tokens, { detail: "head" }),
  "attribution by neuron": ({ model, tokens }) => attribution(model, tokens, { detail: "neuron" }),
  "explain a logit": ({ model, tokens }) => explain(model, "logits[3]", tokens),
  "explain a head": ({ model, tokens, last }) => explain(model, `L${last}.H1`, tokens),
  "explain a neuron": ({ model, tokens, neuron }) => explain(model, neuron, tokens),
  "look at a head": ({ model, tokens, last }) => look(model, `L${last}.H1`, { on: tokens }),
  "look at a neuron": ({ model, tokens, neuron }) => look(model, neuron, { on: tokens }),
  "look at a layer": ({ model, tokens, last }) => look(model, `L${last}`, { on: tokens }),
  patch: ({ model, tokens }) => {
    return patch(model, {
      clean: tokens,
      corrupted: tokens.toReversed(),
      points: ["L*.mlp"],
      positions: "all",
      metric,
    });
  },
  "path patch": ({ model, tokens, last }) => {
    const texts = { clean: tokens, corrupted: tokens.toReversed() };
    return pathPatch(model, { ...texts, from: "L0.H0", to: `L${last}.H1.q`, metric });
  },
  diff: ({ model, tokens }) => diff(model, { model, edits }, tokens),
  router: ({ model, tokens }) => router(model, tokens),
  "router diff": ({ model, tokens }) => routerDiff(model, { model, edits }, tokens),
};

/** What cannot be, and the reason. */
const REFUSED: Readonly<Record<string, (one: Case) => RegExp | undefined>> = {
  router: ({ model }) => (model.config.sparse === undefined ? /all of whose MLPs are dense/ : undefined),
  "router diff": ({ model }) => (model.config.sparse === undefined ? /all of whose MLPs are dense/ : undefined),
};

describe.each(ATTRIBUTION_CASES)("on %s", (_, path) => {
  let one: Case;
  beforeAll(async () => {
    const model = await open(path);
    const tokens = (await tokensOf(path, model)).slice(0, 8);
    const last = model.config.nLayers - 1;
    one = { model, tokens, last, neuron: await neuronOf(model, tokens, last) };
  });
  afterAll(() => one.model.close());

  async function neuronOf(model: Model, tokens: readonly number[], layer: number): Promise<string> {
    if (!model.config.sparse?.layers[layer]) return `L${layer}.N1`;
    const indices = `blocks.${layer}.router.indices`;
    const run = await model.run(tokens, { read: [indices] });
    return `L${layer}.E${run.get(indices).at(-1, 0)}.N1`;
  }

  it.each(Object.keys(VIEWS))("%s", async (view) => {
    const reason = REFUSED[view]?.(one);
    if (reason !== undefined) {
      const refused = VIEWS[view](one);
      await expect(refused).rejects.toThrow(RequestError);
      await expect(refused).rejects.toThrow(reason);
      return;
    }
    const found = await VIEWS[view](one);
    expect(JSON.stringify(found)).toMatch(/^{.*}$/);
    expect(widest(`${found}`)).toBeLessThanOrEqual(80);
  });
});
