/** What an address shows: a layer's data are those of a trace and of reads, and every kind of address has its view. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  head,
  type Layer,
  layer,
  look,
  type Model,
  neuron,
  open,
  type PointList,
  RequestError,
  trace,
} from "../node/index.ts";
import { stories260K } from "./support/fixtures.ts";

const text = "Lily saw a big dog";
const edits = ["L1.N7 = 2", "L0.H3 *= 0.5"];

let model: Model;
let tokens: readonly number[];
beforeAll(async () => {
  // Native kernels round otherwise for one row than for many.
  model = await open(stories260K, { backend: "reference" });
  tokens = model.encode(text);
});
afterAll(() => model.close());

describe.each([
  ["as the model is", []],
  ["with edits on", edits],
])("a layer, %s", (_, edits) => {
  it.each([0, 2, 4])("L%i has at a position what the trace of that position has", async (index) => {
    const position = 3;
    const found = await layer(model, index, text, { position, k: 4, edits });
    const options = { maxTokens: 1, nPredictions: 4, nNeurons: 4, nEdges: 4, edits, position };
    const traced = await trace(model, text, options);
    const { predictions, lengths, neurons } = traced.layers[index];
    const { attention, mlp, residual } = found.rows[position];
    expect(found).toMatchObject({ layer: index, position, after: predictions, neurons });
    expect(found.before).toEqual((index === 0 ? traced.embed : traced.layers[index - 1]).predictions);
    expect({ attention, mlp, residual }).toEqual(lengths);
  });

  it("has at each token the lengths of what a read gives", async () => {
    const { rows, edges } = await layer(model, 2, text, { edits });
    const points = ["attn.contribution", "mlp.contribution", "residPost", "attn.pattern"].map((n) => `blocks.2.${n}`);
    const run = await model.run(tokens, { read: points, edits });
    for (const [position, { attention, mlp, residual }] of rows.entries()) {
      const expected = points.slice(0, 3).map((point) => Math.hypot(...run.get(point).row(position).data));
      for (const [i, length] of [attention, mlp, residual].entries()) expect(length).toBeCloseTo(expected[i], 4);
    }
    for (const { head, from, to, weight } of edges) expect(weight).toBe(run.get(points[3]).at(head, from, to));
  });
});

describe("an address", () => {
  it("of a neuron or a head shows what its own view shows", async () => {
    expect(await look(model, "blocks.2.mlp.post[107]", { on: text })).toEqual(
      await neuron(model, "L2.N107", { on: text }),
    );
    expect(await look(model, "L2.H3")).toEqual(await head(model, "L2.H3"));
  });

  it.each(["L2@3", "L2.mlp@3", "L2.attn@3", "blocks.2.residPost@3"])(
    "%s is its layer at that token",
    async (address) => {
      const found = (await look(model, address, { on: text })) as Layer;
      expect(found).toEqual(await layer(model, 2, text, { position: 3 }));
    },
  );

  it.each([
    ["L2", /^blocks\.2\./],
    ["blocks.*.attn.q", /^blocks\.\d\.attn\.q$/],
    ["logits", /^logits$/],
  ])("%s without a text lists the points of that name", async (address, pattern) => {
    const { rows } = (await look(model, address)) as PointList;
    const names = model.points().flatMap(({ name }) => (pattern.test(name) ? [name] : []));
    expect(rows.map(({ name }) => name)).toEqual(names);
  });

  it.each([
    ["L2.mlp.pre", { on: text }],
    ["L2@1:3", { on: text }],
    ["L*", { on: text }],
    ["L2", { edits }],
    ["L2@3", {}],
    ["L2", { on: text, position: 1 }],
  ])("%s with %j is refused where an option would have no effect", async (address, options) => {
    await expect(look(model, address, options)).rejects.toThrow(RequestError);
  });

  it.each([40, 80])("prints within %i columns", async (width) => {
    for (const address of ["L2", "L2@1"]) {
      const options = address.includes("@") ? { on: text } : {};
      const lines = (await look(model, address, options)).toString({ width }).split("\n");
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
    }
  });
});
