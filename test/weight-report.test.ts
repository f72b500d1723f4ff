/** The weights of components: which numbers belong to a neuron or head, and where they lie. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { type Model, PointError, RequestError, type Tensor, type WeightPart } from "../node/index.ts";
import { openGguf } from "../src/checkpoint/gguf.ts";
import { openSafetensors, openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { type Binding, bindWeights } from "../src/weights/bind.ts";
import { decodeSlice, decodeWeight } from "../src/weights/decode.ts";
import { stored as storedAs } from "../src/weights/schema.ts";
import { concat, MemorySource, safetensors } from "./checkpoint-files.ts";
import { fixture, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";

const models = new Map<string, Model>();
const names = [
  "goldens/llama",
  "goldens/gpt2",
  "goldens/qwen3-bias-tied",
  "goldens/gpt-oss",
  "goldens/deepseek-v2",
  "goldens/deepseek-v3",
  "goldens/deepseek-v3-published",
  "gguf/llama.gguf",
  "gguf/blocks.gguf",
  "fp8",
];
beforeAll(async () => {
  for (const name of names) models.set(name, await open(fixture(name)));
});
afterAll(async () => {
  for (const model of models.values()) await model.close();
});

const modelOf = (name: string): Model => models.get(name) as Model;

/** The parts of a report by the last part of their weights' names. */
async function parts(name: string, address: string): Promise<Record<string, WeightPart>> {
  const report = await modelOf(name).weight(address);
  return Object.fromEntries(report.parts.map((part) => [part.weight.split(".").at(-1), part]));
}

/** Rows and columns of a matrix as a list, by plain loops. */
function cut(matrix: Tensor, rows: number[], columns: number[] = range(0, matrix.shape[1])): number[] {
  return rows.flatMap((row) => columns.map((column) => matrix.at(row, column)));
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe("a neuron", () => {
  it("is a row of gate and up, and a column of down", async () => {
    const tensors = await readTensors(fixture("goldens/llama/model.safetensors"));
    const stored = (name: string) => tensors.get(`model.layers.1.mlp.${name}_proj.weight`) as Tensor;
    const { wGate, wUp, wDown, ...others } = await parts("goldens/llama", "L1.N5");
    expect(others).toEqual({});
    expect([...wGate.values.data]).toEqual(cut(stored("gate"), [5]));
    expect([...wUp.values.data]).toEqual(cut(stored("up"), [5]));
    expect([...wDown.values.data]).toEqual(cut(stored("down"), range(0, stored("down").shape[0]), [5]));
    const { dModel, dFf } = modelOf("goldens/llama").config;
    for (const { values } of [wGate, wUp, wDown]) expect(values.shape).toEqual([dModel]);
    expect(wDown).toMatchObject({ weight: "blocks.1.mlp.wDown", weightShape: [dModel, dFf], columns: [5, 6] });
    expect(wDown.rows).toBeUndefined();
    expect(wDown.stored).toEqual([
      {
        file: "model.safetensors",
        tensor: "model.layers.1.mlp.down_proj.weight",
        format: "f32",
        rows: [0, dModel],
        columns: [5, 6],
        transposed: false,
        isReordered: false,
      },
    ]);
  });

  it("is a column of a matrix that is stored transposed, with its bias", async () => {
    const tensors = await readTensors(fixture("goldens/gpt2/model.safetensors"));
    const stored = (name: string) => tensors.get(`transformer.h.0.mlp.${name}`) as Tensor;
    const { wUp, bUp, wDown, ...others } = await parts("goldens/gpt2", "L0.N3");
    expect(others).toEqual({});
    const up = stored("c_fc.weight");
    expect([...wUp.values.data]).toEqual(cut(up, range(0, up.shape[0]), [3]));
    expect(bUp.values.shape).toEqual([]);
    expect([...bUp.values.data]).toEqual([stored("c_fc.bias").data[3]]);
    expect([...wDown.values.data]).toEqual(cut(stored("c_proj.weight"), [3]));
    expect(wDown.stored).toMatchObject([{ rows: [3, 4], transposed: true }]);
  });

  it("gives what the engine computes: its value from its input, and its part of the output", async () => {
    const model = modelOf("gguf/blocks.gguf");
    const run = await model.run([1, 2, 3], {
      read: ["blocks.1.ln2.out", "blocks.1.mlp.pre", "blocks.1.mlp.preLinear"],
    });
    const { wGate, wUp } = await parts("gguf/blocks.gguf", "L1.N9");
    const x = run.get("blocks.1.ln2.out").row(2).data;
    for (const [part, point] of [
      [wGate, "pre"],
      [wUp, "preLinear"],
    ] as const) {
      const value = run.get(`blocks.1.mlp.${point}`).at(2, 9);
      const dot = [...part.values.data].reduce((sum, w, i) => sum + w * x[i], 0);
      expect(Math.abs(dot - value)).toBeLessThan(1e-4 * Math.abs(value));
    }
  });
});

describe("a head", () => {
  it("is rows of q, k and v, of which several heads may share those of k and v, and columns of o", async () => {
    const tensors = await readTensors(fixture("goldens/llama/model.safetensors"));
    const stored = (name: string) => tensors.get(`model.layers.0.self_attn.${name}_proj.weight`) as Tensor;
    const { nHeads, nKvHeads, headDim, dModel } = modelOf("goldens/llama").config;
    expect(nHeads).toBeGreaterThan(nKvHeads);
    const head = nHeads - 1;
    const rows = (n: number) => range(n * headDim, (n + 1) * headDim);
    const { wQ, wK, wV, wO, ...others } = await parts("goldens/llama", `L0.H${head}`);
    expect(others).toEqual({});
    expect([...wQ.values.data]).toEqual(cut(stored("q"), rows(head)));
    expect([...wK.values.data]).toEqual(cut(stored("k"), rows(nKvHeads - 1)));
    expect([...wV.values.data]).toEqual(cut(stored("v"), rows(nKvHeads - 1)));
    expect([...wO.values.data]).toEqual(cut(stored("o"), range(0, dModel), rows(head)));
    expect(wO.values.shape).toEqual([dModel, headDim]);
  });

  it("is the same in a GGUF file, whose rotary rows lie in another order", async () => {
    for (const address of ["L1.H0", "L1.H1", "L0.attn", "blocks.0.attn.wQ[3]"]) {
      const ours = await modelOf("goldens/llama").weight(address);
      const gguf = await modelOf("gguf/llama.gguf").weight(address);
      expect(gguf.parts.map(({ weight, values }) => ({ weight, values }))).toEqual(
        ours.parts.map(({ weight, values }) => ({ weight, values })),
      );
    }
    const { wQ, wV } = await parts("gguf/llama.gguf", "L1.H0");
    expect([wQ, wV].map(({ stored }) => stored.map(({ isReordered }) => isReordered))).toEqual([[true], [false]]);
  });

  it("has its biases, and of a tensor that holds q, k and v its own third", async () => {
    const tensors = await readTensors(fixture("goldens/gpt2/model.safetensors"));
    const { headDim, dModel } = modelOf("goldens/gpt2").config;
    const weight = tensors.get("transformer.h.0.attn.c_attn.weight") as Tensor;
    const bias = tensors.get("transformer.h.0.attn.c_attn.bias") as Tensor;
    const { wK, bK, bO } = await parts("goldens/gpt2", "L0.H1");
    const columns = range(dModel + headDim, dModel + 2 * headDim);
    const transposed = columns.flatMap((column) => cut(weight, range(0, dModel), [column]));
    expect([...wK.values.data]).toEqual(transposed);
    expect([...bK.values.data]).toEqual(columns.map((i) => bias.data[i]));
    expect(wK.stored.map(({ columns }) => columns)).toEqual([[dModel + headDim, dModel + 2 * headDim]]);
    expect(bO).toBeUndefined();
  });

  it("has its sink where the family has sinks", async () => {
    const tensors = await readTensors(fixture("goldens/gpt-oss/model.safetensors"));
    const { sinks, bO } = await parts("goldens/gpt-oss", "L1.H2");
    expect([...sinks.values.data]).toEqual([tensors.get("model.layers.1.self_attn.sinks")?.data[2]]);
    expect(bO).toBeUndefined();
  });

  it("can be had by its q, k and v alone", async () => {
    expect(Object.keys(await parts("goldens/qwen3-bias-tied", "L0.H1.q"))).toEqual(["wQ", "bQ"]);
    const kv = await parts("goldens/llama", "blocks.0.attn.k[1]");
    expect(Object.keys(kv)).toEqual(["wK"]);
    const { headDim } = modelOf("goldens/llama").config;
    expect(kv.wK.rows).toEqual([headDim, 2 * headDim]);
  });
});

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

describe("whole weights", () => {
  it("are all of a part of a block", async () => {
    expect(Object.keys(await parts("goldens/llama", "L0.mlp"))).toEqual(["wGate", "wUp", "wDown"]);
    expect(Object.keys(await parts("goldens/llama", "L0.attn"))).toEqual(["wQ", "wK", "wV", "wO"]);
    const { parts: block } = await modelOf("goldens/llama").weight("L0");
    const own = [...modelOf("goldens/llama").bindings.weights.keys()].filter((name) => name.startsWith("blocks.0."));
    expect(block.map(({ weight }) => weight)).toEqual(own);
  });

  it("go by golgi's name and by the file's, with or without a row", async () => {
    const expected = (await readTensors(fixture("goldens/llama/model.safetensors"))).get(
      "model.embed_tokens.weight",
    ) as Tensor;
    for (const address of ["embed", "model.embed_tokens.weight"]) {
      const { parts } = await modelOf("goldens/llama").weight(address);
      expect(parts).toHaveLength(1);
      expect([...parts[0].values.data]).toEqual([...expected.data]);
      const { parts: row } = await modelOf("goldens/llama").weight(`${address}[7]`);
      expect([...row[0].values.data]).toEqual(cut(expected, [7]));
      expect(row[0].rows).toEqual([7, 8]);
    }
    const { parts: gguf } = await modelOf("gguf/llama.gguf").weight("token_embd.weight");
    expect([...gguf[0].values.data]).toEqual([...expected.data]);
  });

  it("of a tensor that holds several are each by itself", async () => {
    const { parts: three } = await modelOf("goldens/gpt2").weight("transformer.h.0.attn.c_attn.weight");
    expect(three.map(({ weight }) => weight)).toEqual(["wQ", "wK", "wV"].map((name) => `blocks.0.attn.${name}`));
  });

  it("of all block formats are decoded as the engine decodes them", async () => {
    const checkpoint = await openGguf(await openFolder(fixture("gguf")), "blocks.gguf");
    const model = modelOf("gguf/blocks.gguf");
    for (const [name, binding] of model.bindings.weights) {
      const [{ values, stored }] = (await model.weight(name)).parts;
      expect(values.shape).toEqual(binding.shape);
      expect(values.data).toEqual(await decodeWeight(binding, checkpoint, "f32"));
      expect(stored.map(({ format }) => format)).toEqual([binding.dtype]);
    }
    await checkpoint.close();
  });

  it("of more than a chunk are read piece by piece, and of a row that row alone", async () => {
    const shape = [1500, 1200];
    const numbers = Float16Array.from({ length: 1500 * 1200 }, (_, i) => (i * 7919) % 2039);
    const header = JSON.stringify({ w: { dtype: "F16", shape, data_offsets: [0, numbers.byteLength] } });
    const file = concat(safetensors(header), new Uint8Array(numbers.buffer));
    for (const transposed of [false, true]) {
      const source = new MemorySource("w.safetensors", file);
      const checkpoint = await openSafetensorsFile(source);
      const own = transposed ? shape.toReversed() : shape;
      const weights = new Map([["w", storedAs("w", own, { transposed })]]);
      const binding = bindWeights(weights, checkpoint, { prefix: "", ignored: [] }).weights.get("w") as Binding;
      const at = (row: number, column: number) => numbers[transposed ? column * 1200 + row : row * 1200 + column];
      const [nRows, nColumns] = own;
      const before = source.nBytesRead;
      const row = await decodeSlice(binding, checkpoint, { rows: [1100, 1101], columns: [0, nColumns] });
      expect([...row]).toEqual(range(0, nColumns).map((column) => at(1100, column)));
      expect(source.nBytesRead - before).toBe(transposed ? numbers.byteLength : 2 * 1200);
      const block = await decodeSlice(binding, checkpoint, { rows: [0, nRows], columns: [900, 902] });
      expect([...block]).toEqual(range(0, nRows).flatMap((row) => [at(row, 900), at(row, 901)]));
    }
  });
});

describe("what has no weights", () => {
  it.each<[string, new (...args: never[]) => Error, RegExp]>([
    ["L0.N5@3", PointError, /weights are the same at all positions; got 3\. Leave the positions out\./],
    ["L0.mlp.pre", PointError, /got blocks\.0\.mlp\.pre, which has no weights of its own\. Ask for L0\.N0, L0\.H0/],
    ["blocks.0.ln1.out", PointError, /Ask for L0\.N0, /],
    ["L0.N9999", PointError, /index into blocks\.0\.mlp\.post must be 0 to/],
    [
      "blocks.0.mlp.wDwn",
      PointError,
      /^blocks\.0\.mlp\.wDwn: it must be a neuron, .*\. Did you mean blocks\.0\.mlp\.wDown\?$/,
    ],
    ["embed[999]", RequestError, /^embed\[999\]: embed has rows 0 to \d+; got 999\./],
  ])("%s", async (address, type, message) => {
    const error = (await modelOf("goldens/llama")
      .weight(address)
      .catch((reason) => reason)) as Error;
    expect(error).toBeInstanceOf(type);
    expect(error.message).toMatch(message);
  });

  it("a row of a tensor that holds several weights", async () => {
    const call = modelOf("goldens/gpt2").weight("transformer.h.0.attn.c_attn.weight[0]");
    await expect(call).rejects.toThrow(
      /a row must be one of a single weight; .*Ask for one of them: blocks\.0\.attn\.wQ\[0\]/,
    );
  });
});
