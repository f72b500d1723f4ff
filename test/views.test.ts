/** What the views compute on the tape, against plain loops over points and weights that were read. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import type { StoredTensor } from "../src/checkpoint/checkpoint.ts";
import { openSafetensors } from "../src/checkpoint/safetensors.ts";
import { CheckpointError, RequestError } from "../src/errors.ts";
import type { Model } from "../src/run/model.ts";
import { numel } from "../src/tensor/shape.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { type AttentionEdge, strongestEdges } from "../src/views/edges.ts";
import { describeConfig, describeModel } from "../src/views/info.ts";
import { lengths } from "../src/views/lengths.ts";
import { lensView } from "../src/views/lens-view.ts";
import { type FiringNeuron, firingNeurons, promotedTokens } from "../src/views/neurons.ts";
import { trace } from "../src/views/trace.ts";
import { together } from "../src/views/view.ts";
import { decodeWeight } from "../src/weights/decode.ts";
import { fixture, goldenNames, goldenTokens, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";

const STORY = "Lily and her mom went to the park. She saw a big box";

/** RMSNorm and grouped heads; a window; LayerNorm and biases. */
const cases: readonly [string, string][] = [
  ["stories260K", stories260K],
  ["mistral-window", fixture("goldens/mistral-window")],
  ["gpt2", fixture("goldens/gpt2")],
];

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe.each(cases)("on %s", (name, directory) => {
  let model: Model;
  let tokens: readonly number[];

  beforeAll(async () => {
    model = await open(directory);
    tokens = model.hasTokenizer ? model.tokenizer.encode(STORY) : await goldenTokens(name);
  });
  afterAll(() => model.close());

  it("lengths are the norms of the vectors that a read gives", async () => {
    const points = ["blocks.0.residPre", "blocks.1.attn.contribution", "blocks.1.mlp.contribution"];
    const view = lengths(points, "all");
    const run = await model.runDerived(tokens, view, { read: points });
    const expected = points.map((point) =>
      range(tokens.length).map((row) => Math.fround(Math.sqrt(sum(run.get(point).row(row).data, (x) => x * x)))),
    );
    expect(view.present(run)).toEqual(expected);
  });

  it.each([1, 5, "all"] as const)("%s firing neurons are those that a sort by size gives", async (asked) => {
    const { nLayers, dFf } = model.config;
    const n = asked === "all" ? dFf : asked;
    for (const position of [0, tokens.length - 1]) {
      const view = firingNeurons(model, range(nLayers), position, n);
      const run = await model.runDerived(tokens, view, { read: ["blocks.*.mlp.post"] });
      const expected = range(nLayers).map((layer) => {
        const values = Array.from(run.get(`blocks.${layer}.mlp.post`).row(position).data);
        const all = values.map((value, neuron): FiringNeuron => ({ layer, neuron, value }));
        return all.toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, n);
      });
      expect(view.present(run)).toEqual(expected.map((list) => [list]));
    }
  });

  it.each([1, 3, 20, 300])("the %i strongest edges are those that a search through the pattern finds", async (n) => {
    const { nLayers } = model.config;
    const view = strongestEdges(range(nLayers), n);
    const run = await model.runDerived(tokens, view, { read: ["blocks.*.attn.pattern"] });
    for (const [layer, edges] of view.present(run).entries()) {
      const expected = allEdges(run.get(`blocks.${layer}.attn.pattern`), layer).slice(0, n);
      expect(edges.map(({ weight }) => weight)).toEqual(expected.map(({ weight }) => weight));
      // Among equally strong ones any choice will do.
      const weakest = expected.at(-1)?.weight ?? 0;
      const above = (list: readonly AttentionEdge[]) => new Set(list.filter(({ weight }) => weight > weakest));
      expect(above(edges)).toEqual(above(expected));
      const pattern = run.get(`blocks.${layer}.attn.pattern`);
      for (const { head, from, to, weight } of edges) expect(weight).toBe(pattern.at(head, from, to));
    }
  });

  it("promoted tokens are those whose logits a neuron's own output weights raise most, given its sign", async () => {
    const { nLayers, dFf, dModel, vocabSize } = model.config;
    const { unembed, gain, wDown, isCentred } = await readoutWeights(directory, model);
    const neurons = range(24).map((i): FiringNeuron => {
      return { layer: (i * 7) % nLayers, neuron: (i * 11) % dFf, value: i % 3 === 0 ? -0.5 : 2 };
    });
    const promoted = (neuron: FiringNeuron, centre: boolean): number[] => {
      const column = range(dModel).map((d) => wDown[neuron.layer][d * dFf + neuron.neuron]);
      const mean = centre ? sum(column) / dModel : 0;
      const logits = range(vocabSize).map((token) =>
        sum(column.map((x, d) => (x - mean) * gain[d] * unembed[token * dModel + d])),
      );
      const sign = Math.sign(neuron.value);
      return range(vocabSize).toSorted((a, b) => sign * (logits[b] - logits[a]));
    };
    const expected = neurons.map((neuron) => promoted(neuron, isCentred).slice(0, 4));
    expect(await promotedTokens(model, neurons, 4)).toEqual(expected);
    // Only so does the comparison tell a LayerNorm from an RMSNorm.
    const otherwise = neurons.map((neuron) => promoted(neuron, !isCentred).slice(0, 4));
    expect(otherwise).not.toEqual(expected);
  });

  it("views that share a run give what each gives alone", async () => {
    const { nLayers } = model.config;
    const views = [
      lensView(["blocks.0.residPost"], -1, { k: 2 }),
      lengths(["embed"], 1),
      strongestEdges(range(nLayers), 2),
    ] as const;
    const run = await model.runDerived(tokens, together(views), { logits: "none" });
    for (const view of views) expect(view.present(run)).toEqual(view.present(await model.runDerived(tokens, view)));
  });

  it("the same view twice with other numbers is another program", async () => {
    const { nLayers } = model.config;
    for (const n of [1, 2]) {
      const [neurons, edges] = [firingNeurons(model, range(nLayers), -1, n), strongestEdges(range(nLayers), n)];
      const run = await model.runDerived(tokens, together([neurons, edges]));
      for (const list of [...neurons.present(run).flat(), ...edges.present(run)]) expect(list).toHaveLength(n);
    }
  });
});

function sum(values: Iterable<number>, of: (x: number) => number = (x) => x): number {
  let total = 0;
  for (const value of values) total += of(value);
  return total;
}

/** Every visible pair but those to the token itself and to the first one, strongest first. */
function allEdges(pattern: Tensor, layer: number): AttentionEdge[] {
  const [nHeads, nRows] = pattern.shape;
  const edges = range(nHeads).flatMap((head) =>
    range(nRows).flatMap((from) =>
      range(from)
        .slice(1)
        .map((to) => ({ layer, head, from, to, weight: pattern.at(head, from, to) })),
    ),
  );
  // Invisible keys have no weight at all.
  return edges.filter(({ weight }) => weight > 0).toSorted((a, b) => b.weight - a.weight);
}

/** What stands between a neuron and the logits, as the checkpoint has it. */
async function readoutWeights(directory: string, model: Model) {
  const checkpoint = await openSafetensors(await openFolder(directory));
  const { weights } = model.bindings;
  const decode = (name: string) => {
    const binding = weights.get(name);
    if (binding === undefined) throw new Error(`no weight ${name}`);
    return decodeWeight(binding, checkpoint, "f64");
  };
  const read = {
    unembed: await decode(weights.has("unembed") ? "unembed" : "embed"),
    gain: await decode("lnFinal.gain"),
    wDown: await Promise.all(range(model.config.nLayers).map((layer) => decode(`blocks.${layer}.mlp.wDown`))),
    isCentred: weights.has("lnFinal.bias"),
  };
  await checkpoint.close();
  return read;
}

describe("a trace", () => {
  let model: Model;
  beforeAll(async () => {
    model = await open(stories260K);
  });
  afterAll(() => model.close());

  it.each([undefined, 0, 20])("agrees with what a run of the whole text gives, at position %s", async (asked) => {
    const pieces: string[] = [];
    const onText = (text: string) => pieces.push(text);
    const options = { maxTokens: 12, position: asked, nPredictions: 4, nNeurons: 5, nEdges: 6, onText };
    const found = await trace(model, STORY, options);
    const { nLayers } = model.config;

    expect(found.prompt).toBe(STORY);
    expect(pieces.join("")).toBe(found.text);
    const ids = found.tokens.map(({ token }) => token);
    expect(model.tokenizer.decode(ids)).toBe(STORY + found.text);
    expect(found.tokens.map(({ text }) => text)).toEqual(ids.map((id) => model.tokenizer.text(id)));
    expect(ids.slice(0, found.nPromptTokens)).toEqual(model.tokenizer.encode(STORY));
    expect(ids).toHaveLength(found.nPromptTokens + 12);
    expect(found.position).toBe(asked ?? found.nPromptTokens - 1);
    expect(found.layers.map(({ layer }) => layer)).toEqual(range(nLayers));

    const { position } = found;
    const read = [
      "embed",
      "blocks.*.residPost",
      "blocks.*.*.contribution",
      "blocks.*.mlp.post",
      "blocks.*.attn.pattern",
    ];
    const run = await model.run(ids, { read });
    const length = (point: string) => Math.fround(Math.hypot(...run.get(point).row(position).data));
    expect(found.embed.length).toBe(length("embed"));
    for (const { layer, lengths, neurons, edges, predictions } of found.layers) {
      const block = `blocks.${layer}`;
      expect(lengths.residual).toBeCloseTo(length(`${block}.residPost`), 5);
      expect(lengths.attention).toBeCloseTo(length(`${block}.attn.contribution`), 5);
      expect(lengths.mlp).toBeCloseTo(length(`${block}.mlp.contribution`), 5);
      expect(neurons).toHaveLength(5);
      for (const { neuron, value, promotes } of neurons) {
        expect(value).toBe(run.get(`${block}.mlp.post`).at(position, neuron));
        const [tokens] = await promotedTokens(model, [{ layer, neuron, value }], 3);
        expect(promotes).toEqual(tokens.map((token) => ({ token, text: model.tokenizer.text(token) })));
      }
      expect(edges).toHaveLength(6);
      for (const { head, from, to, weight, fromText, toText } of edges) {
        expect(weight).toBe(run.get(`${block}.attn.pattern`).at(head, from, to));
        expect([fromText, toText]).toEqual([found.tokens[from].text, found.tokens[to].text]);
      }
      expect(predictions).toHaveLength(4);
    }
    const logits = run.logits.row(position).data;
    expect(found.layers[nLayers - 1].predictions[0].token).toBe(logits.indexOf(Math.max(...logits)));
  });

  it("looks at the token that chose the first generated one, unless asked otherwise", async () => {
    const { layers, tokens, nPromptTokens } = await trace(model, STORY, { maxTokens: 1 });
    expect(layers[layers.length - 1].predictions[0].token).toBe(tokens[nPromptTokens].token);
  });

  it("is plain data", async () => {
    const found = await trace(model, "Hi", { maxTokens: 2 });
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
  });

  it("has no edges in a text of one token and the next, and gives no more than there is", async () => {
    const { layers } = await trace(model, "", { maxTokens: 1, nPredictions: 1000, nNeurons: 1000 });
    for (const { edges, neurons, predictions } of layers) {
      expect([edges.length, neurons.length, predictions.length]).toEqual([0, 172, 512]);
    }
  });

  it.each([-1, 5, 1.5])("refuses position %s of a text of five tokens", async (position) => {
    const refused = trace(model, "Hi", { maxTokens: 2, position });
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow(`position: the text has positions 0 to 4; got ${position}.`);
  });

  it("stops when it is aborted", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const aborted = trace(model, STORY, { onText: () => controller.abort(reason), signal: controller.signal });
    await expect(aborted).rejects.toBe(reason);
  });

  it("needs a tokenizer", async () => {
    const without = await open(fixture("goldens/gpt2"));
    await expect(trace(without, "Hi")).rejects.toThrow(CheckpointError);
    await expect(trace(without, "Hi")).rejects.toThrow("text needs a tokenizer.json");
    await without.close();
  });
});

describe("a model's numbers", () => {
  const llama31 = {
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: 4096,
    intermediate_size: 14_336,
    max_position_embeddings: 131_072,
    num_attention_heads: 32,
    num_hidden_layers: 32,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 500_000,
    tie_word_embeddings: false,
    vocab_size: 128_256,
  };
  const qwen3 = {
    model_type: "qwen3",
    head_dim: 128,
    hidden_act: "silu",
    hidden_size: 1024,
    intermediate_size: 3072,
    max_position_embeddings: 40_960,
    num_attention_heads: 16,
    num_hidden_layers: 28,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    tie_word_embeddings: true,
    vocab_size: 151_936,
  };
  const gpt2 = {
    model_type: "gpt2",
    activation_function: "gelu_new",
    layer_norm_epsilon: 1e-5,
    n_embd: 768,
    n_head: 12,
    n_layer: 12,
    n_positions: 1024,
    vocab_size: 50_257,
  };

  it.each([
    ["GPT-2", gpt2, 124_439_808],
    ["Qwen3 0.6B", qwen3, 596_049_920],
    ["Llama 3.1 8B", llama31, 8_030_261_248],
  ])("count the parameters that %s is known to have", (_, config, nParameters) => {
    expect(describeConfig(config, "config.json").counts.parameters).toBe(nParameters);
  });

  it("follow from the shapes: the cache, and what a token reads and computes", () => {
    const { cacheBytesPerToken, perToken } = describeConfig(llama31, "config.json");
    const [nLayers, nHeads, nKvHeads, headDim] = [32, 32, 8, 128];
    expect(cacheBytesPerToken.bits32).toBe(2 * nLayers * nKvHeads * headDim * 4);
    const [first, last] = perToken;
    expect([first.nCached, last.nCached]).toEqual([0, 131_071]);
    // All weights once, but of the embedding one row only.
    const nRead = 8_030_261_248 - 128_256 * 4096 + 4096;
    expect([first.weightElements, last.weightElements]).toEqual([nRead, nRead]);
    expect(first.flops / (2 * nRead)).toBeCloseTo(1, 2);
    // Each cached token costs a product with its key and one with its value in every head.
    const growth = (last.flops - first.flops) / 131_071;
    const products = 4 * nLayers * nHeads * headDim;
    expect(growth).toBeGreaterThanOrEqual(products);
    expect(growth).toBeLessThan(1.05 * products);
  });

  it.each(goldenNames)(
    "are the same from the files and from the config alone, and count every tensor of %s",
    async (name) => {
      const directory = fixture(`goldens/${name}`);
      const model = await open(directory);
      const checkpoint = await openSafetensors(await openFolder(directory));
      const unused = new Set(model.bindings.ignored.map(({ tensor }) => tensor));
      const used = [...checkpoint.tensors.values()].filter((tensor) => !unused.has(tensor.name));
      const { counts, weightBytes, formatBytes } = describeModel(model);
      // Bytes of MXFP4 hold two numbers, or the scale of 32.
      const held = ({ name, shape, dtype }: StoredTensor) =>
        (dtype !== "u8" ? 1 : name.endsWith("_blocks") ? 2 : 0) * numel(shape);
      expect(counts.parameters).toBe(sum(used.map(held)));
      expect(weightBytes.bits16).toBe(2 * counts.parameters);
      const byFormat = Map.groupBy(used, ({ dtype }) => (dtype === "u8" ? "mxfp4_split" : dtype));
      expect(formatBytes).toEqual(
        Object.fromEntries(Array.from(byFormat, ([dtype, of]) => [dtype, sum(of.map((t) => t.sizeBytes))])),
      );
      const { default: config } = await import(`${directory}/config.json`, { with: { type: "json" } });
      expect(describeConfig(config, "config.json").counts).toEqual(counts);
      await checkpoint.close();
      await model.close();
    },
  );
});
