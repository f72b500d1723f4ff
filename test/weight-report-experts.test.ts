/** The weights of experts, and of the heads of latent attention. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import type { Model, Tensor } from "../node/index.ts";
import { openSafetensors } from "../src/checkpoint/safetensors.ts";
import type { Binding } from "../src/weights/bind.ts";
import { decodeWeight } from "../src/weights/decode.ts";
import { fixture, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { cut, partsOf, range } from "./support/weight-parts.ts";

const models = new Map<string, Model>();
const names = [
  "fp8",
  ...["gpt-oss", "deepseek-v2", "deepseek-v3", "deepseek-v3-published"].map((name) => `goldens/${name}`),
];
beforeAll(async () => {
  for (const name of names) models.set(name, await open(fixture(name)));
});
afterAll(async () => {
  for (const model of models.values()) await model.close();
});

const modelOf = (name: string): Model => models.get(name) as Model;
const parts = (name: string, address: string) => partsOf(modelOf(name), address);

describe("a head of latent attention", () => {
  const sizes = (name: string) => {
    const { nHeads, vHeadDim = 0, headDim } = modelOf(name).config;
    const [, rank] = (modelOf(name).bindings.weights.get("blocks.0.attn.wK") as Binding).shape;
    return { nHeads, vDim: vHeadDim, qkDim: headDim, rank };
  };

  it.each(["goldens/deepseek-v2", "goldens/deepseek-v3"])("has rows of sizes of their own in %s", async (name) => {
    const tensors = await readTensors(fixture(`${name}/model.safetensors`));
    const stored = (part: string) => tensors.get(`model.layers.1.self_attn.${part}.weight`) as Tensor;
    const { nHeads, vDim, qkDim, rank } = sizes(name);
    const both = stored("kv_b_proj");
    const nope = both.shape[0] / nHeads - vDim;
    expect(new Set([nope, vDim, qkDim]).size).toBe(3);
    const head = nHeads - 1;
    const first = head * (nope + vDim);
    const { wQ, wK, wV, wO, ...others } = await parts(name, `L1.H${head}`);
    expect(others).toEqual({});
    const queries = stored(tensors.has("model.layers.1.self_attn.q_proj.weight") ? "q_proj" : "q_b_proj");
    expect([...wQ.values.data]).toEqual(cut(queries, range(head * qkDim, (head + 1) * qkDim)));
    expect([...wK.values.data]).toEqual(cut(both, range(first, first + nope)));
    expect([...wV.values.data]).toEqual(cut(both, range(first + nope, first + nope + vDim)));
    const out = stored("o_proj");
    expect([...wO.values.data]).toEqual(cut(out, range(0, out.shape[0]), range(head * vDim, (head + 1) * vDim)));
    expect([wK, wV].map(({ values }) => values.shape)).toEqual([
      [nope, rank],
      [vDim, rank],
    ]);
    expect(wK.stored).toMatchObject([{ rows: [first, first + nope] }]);
    expect((await parts(name, `L1.H${head}.k`)).wK).toEqual(wK);
  });

  it("gives what the engine computes: values and outputs from the latent", async () => {
    const model = modelOf("goldens/deepseek-v3");
    const run = await model.run([1, 2, 3], {
      read: ["L1.attn.kvLatent", "L1.attn.k", "L1.attn.v"],
    });
    const { wK, wV } = await parts("goldens/deepseek-v3", "L1.H2");
    const latent = run.get("L1.attn.kvLatent").row(2).data;
    for (const [{ values }, point] of [
      [wK, "k"],
      [wV, "v"],
    ] as const) {
      for (const row of range(0, values.shape[0])) {
        const dot = [...latent].reduce((sum, x, i) => sum + x * values.at(row, i), 0);
        expect(run.get(`L1.attn.${point}`).at(2, 2, row)).toBeCloseTo(dot, 4);
      }
    }
  });

  it("has latents that all heads share, with their norms", async () => {
    expect(Object.keys(await parts("goldens/deepseek-v3", "L0.attn.kvLatent"))).toEqual(["wKvLatent", "gain"]);
    expect(Object.keys(await parts("goldens/deepseek-v3", "L0.attn.kRope"))).toEqual(["wKRope"]);
    expect(Object.keys(await parts("goldens/deepseek-v3", "L0.attn.qLatent"))).toEqual(["wQLatent", "gain"]);
    const ofBias = async (point: string) =>
      Object.keys(await parts("goldens/deepseek-v3-published", `L0.attn.${point}`));
    expect((await ofBias("kvLatent")).toSorted()).toEqual(["bKvLatent", "gain", "wKvLatent"]);
    expect((await ofBias("kRope")).toSorted()).toEqual(["bKRope", "wKRope"]);
  });
});

describe("an expert", () => {
  const at = async (name: string) => {
    const checkpoint = await openSafetensors(await openFolder(fixture("fp8")));
    const binding = modelOf("fp8").bindings.weights.get(name) as Binding;
    const numbers = await decodeWeight(binding, checkpoint, "f32");
    await checkpoint.close();
    const [, nRows, nColumns] = binding.shape;
    return (expert: number, row: number, column: number) => numbers[(expert * nRows + row) * nColumns + column];
  };

  it("is its matrix of each stack, in the tensors of its own", async () => {
    const { wGate, wUp, wDown, ...others } = await parts("fp8", "L1.E2");
    expect(others).toEqual({});
    const { dModel, sparse } = modelOf("fp8").config;
    const { dExpert = 0, nExperts = 0 } = sparse ?? {};
    const down = await at("blocks.1.experts.wDown");
    expect(wDown).toMatchObject({ weightShape: [nExperts, dModel, dExpert], expert: 2, rows: undefined });
    expect(wDown.values.shape).toEqual([dModel, dExpert]);
    expect([...wDown.values.data]).toEqual(
      range(0, dModel).flatMap((row) => range(0, dExpert).map((column) => down(2, row, column))),
    );
    for (const { stored } of [wGate, wUp]) {
      expect(stored).toMatchObject([{ format: "f8_e4m3", rows: [0, dExpert], columns: [0, dModel] }]);
      expect(stored[0]?.tensor).toMatch(/^model\.layers\.1\.mlp\.experts\.2\.(gate|up)_proj\.weight$/);
    }
    const { parts: own } = await modelOf("fp8").weight("model.layers.1.mlp.experts.2.down_proj.weight");
    expect(own).toEqual([wDown]);
    expect((await modelOf("fp8").weight("blocks.1.experts.wDown[2]")).parts).toEqual([wDown]);
    const [row] = (await modelOf("fp8").weight("model.layers.1.mlp.experts.2.down_proj.weight[3]")).parts;
    expect([...row.values.data]).toEqual(range(0, dExpert).map((column) => down(2, 3, column)));
  });

  it("has neurons, each a row of gate and up and a column of down", async () => {
    const { wGate, wUp, wDown, ...others } = await parts("fp8", "L1.E3.N5");
    expect(others).toEqual({});
    const { dModel } = modelOf("fp8").config;
    const [gate, up, down] = await Promise.all(["wGate", "wUp", "wDown"].map((kind) => at(`blocks.1.experts.${kind}`)));
    expect([...wGate.values.data]).toEqual(range(0, dModel).map((column) => gate(3, 5, column)));
    expect([...wUp.values.data]).toEqual(range(0, dModel).map((column) => up(3, 5, column)));
    expect([...wDown.values.data]).toEqual(range(0, dModel).map((row) => down(3, row, 5)));
    expect([wGate, wDown]).toMatchObject([
      { expert: 3, rows: [5, 6], columns: undefined },
      { expert: 3, rows: undefined, columns: [5, 6] },
    ]);
  });

  it.each([
    ["fp8", 1, ["wRouter", "selectionBias"]],
    ["goldens/gpt-oss", 2, ["wRouter", "bRouter"]],
  ])("of %s has a weight, which comes from its row of the router", async (name, layer, kinds) => {
    const found = await parts(name, `L${layer}.E3.weight`);
    expect(Object.keys(found)).toEqual(kinds);
    const whole = await parts(name, `L${layer}.router`);
    for (const kind of kinds) {
      const { rows, values } = found[kind];
      expect(rows).toEqual([3, 4]);
      const [nExperts, ...row] = whole[kind].values.shape;
      expect(values.shape).toEqual(row);
      const length = whole[kind].values.data.length / nExperts;
      expect([...values.data]).toEqual([...whole[kind].values.data.subarray(3 * length, 4 * length)]);
    }
  });

  it("of gpt-oss has the biases of its neurons, whose gate and up take turns in the file", async () => {
    const tensors = await readTensors(fixture("goldens/gpt-oss/model.safetensors"));
    const stored = (name: string) => tensors.get(`model.layers.1.mlp.experts.${name}`) as Tensor;
    const { dModel } = modelOf("goldens/gpt-oss").config;
    const { wGate, bGate, wUp, bUp, wDown, ...others } = await parts("goldens/gpt-oss", "L1.E2.N5");
    expect(others).toEqual({});
    for (const [weight, bias, column] of [
      [wGate, bGate, 10],
      [wUp, bUp, 11],
    ] as const) {
      expect([...weight.values.data]).toEqual(range(0, dModel).map((i) => stored("gate_up_proj").at(2, i, column)));
      expect([...bias.values.data]).toEqual([stored("gate_up_proj_bias").at(2, column)]);
    }
    expect([...wDown.values.data]).toEqual(range(0, dModel).map((i) => stored("down_proj").at(2, 5, i)));
    expect(Object.keys(await parts("goldens/gpt-oss", "L1.E2")).toSorted()).toEqual([
      "bDown",
      "bGate",
      "bUp",
      "wDown",
      "wGate",
      "wUp",
    ]);
  });

  it("that every token goes to has its neurons as an MLP has", async () => {
    expect(Object.keys(await parts("fp8", "L1.shared.N3"))).toEqual(["wGate", "wUp", "wDown"]);
    expect(Object.keys(await parts("fp8", "L1.router"))).toEqual(["wRouter", "selectionBias"]);
    const { parts: whole } = await modelOf("fp8").weight("L1.mlp");
    const groups = whole.map(({ weight }) => weight.split(".")[2]);
    expect([...new Set(groups)].toSorted()).toEqual(["experts", "router", "shared"]);
  });

  it.each(["L1.E4", "L1.E0.N99", "blocks.1.experts.wUp[4]"])("is refused where there is none: %s", async (address) => {
    await expect(modelOf("fp8").weight(address)).rejects.toThrow(/0 to \d+/);
  });
});
