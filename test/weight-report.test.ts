/** The weights of components: which numbers belong to a neuron or head, and where they lie. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { type Model, PointError, RequestError, type Tensor } from "../node/index.ts";
import { openGguf } from "../src/checkpoint/gguf.ts";
import { openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { type Binding, bindWeights } from "../src/weights/bind.ts";
import { decodeSlice, decodeWeight } from "../src/weights/decode.ts";
import { stored as storedAs } from "../src/weights/schema.ts";
import { concat, MemorySource, safetensors } from "./checkpoint-files.ts";
import { fixture, readTensors } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { cut, partsOf, range } from "./support/weight-parts.ts";

const models = new Map<string, Model>();
const names = [
  "goldens/llama",
  "goldens/gpt2",
  "goldens/qwen3-bias-tied",
  "goldens/gpt-oss",
  "gguf/llama.gguf",
  "gguf/blocks.gguf",
];
beforeAll(async () => {
  for (const name of names) models.set(name, await open(fixture(name)));
});
afterAll(async () => {
  for (const model of models.values()) await model.close();
});

const modelOf = (name: string): Model => models.get(name) as Model;

const parts = (name: string, address: string) => partsOf(modelOf(name), address);

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
