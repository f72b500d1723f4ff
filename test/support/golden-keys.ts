/**
 * Which point stands for each value that transformers' modules take or give (scripts/fixtures/README.md). `{i}` is a
 * layer.
 */

import type { Run } from "../../src/run/result.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { type Counterpart, inBlock } from "./counterpart.ts";
import { DENSE_FAMILIES, renamed } from "./golden-keys-dense.ts";
import { LATENT_FAMILIES } from "./golden-keys-latent.ts";
import { SPARSE_FAMILIES } from "./golden-keys-sparse.ts";
import { headBesideHead, headsFirst, inSlotsOf, sideBySide } from "./tensors.ts";

/** What an attention layer's and an MLP's last projection give, in families that add just that to the residual stream. */
const attnOut: Counterpart = { points: ["blocks.{i}.attn.out", "blocks.{i}.attn.contribution"] };
const mlpOut: Counterpart = { points: ["blocks.{i}.mlp.out", "blocks.{i}.mlp.contribution"] };

const ANY_FAMILY: Readonly<Record<string, Counterpart>> = {
  logits: { points: ["logits"] },
  "attn.{i}": inBlock("attn.pattern"),
  "rotQ.{i}": { ...inBlock("attn.rotQ"), arrange: "headsFirst" },
  "rotK.{i}": { ...inBlock("attn.rotK"), arrange: "headsFirst" },
};

/** Llama, Mistral and Qwen. */
const LLAMA: Readonly<Record<string, Counterpart>> = {
  "out:model.embed_tokens": { points: ["embed"] },
  "out:model.layers.{i}.input_layernorm": inBlock("ln1.out"),
  "out:model.layers.{i}.self_attn.q_proj": inBlock("attn.q"),
  "out:model.layers.{i}.self_attn.k_proj": inBlock("attn.k"),
  "out:model.layers.{i}.self_attn.v_proj": inBlock("attn.v"),
  "out:model.layers.{i}.self_attn.q_norm": inBlock("attn.qNorm.out"),
  "out:model.layers.{i}.self_attn.k_norm": inBlock("attn.kNorm.out"),
  "in:model.layers.{i}.self_attn.o_proj": inBlock("attn.z"),
  "out:model.layers.{i}.self_attn.o_proj": attnOut,
  "in:model.layers.{i}.post_attention_layernorm": inBlock("residMid"),
  "out:model.layers.{i}.post_attention_layernorm": inBlock("ln2.out"),
  "in:model.layers.{i}.mlp": inBlock("ln2.out"),
  "out:model.layers.{i}.mlp.gate_proj": inBlock("mlp.pre"),
  "out:model.layers.{i}.mlp.up_proj": inBlock("mlp.preLinear"),
  "in:model.layers.{i}.mlp.down_proj": inBlock("mlp.post"),
  "out:model.layers.{i}.mlp.down_proj": mlpOut,
  "out:model.layers.{i}.mlp": mlpOut,
  "out:model.layers.{i}": inBlock("residPost"),
  "out:model.norm": { points: ["lnFinal.out"] },
};

const GPT2: Readonly<Record<string, Counterpart>> = {
  "out:transformer.wte": { points: ["embed"] },
  "out:transformer.wpe": { points: ["posEmbed"] },
  "out:transformer.h.{i}.ln_1": inBlock("ln1.out"),
  "out:transformer.h.{i}.attn.c_attn": { ...inBlock("attn.q", "attn.k", "attn.v"), arrange: "sideBySide" },
  "in:transformer.h.{i}.attn.c_proj": inBlock("attn.z"),
  "out:transformer.h.{i}.attn.c_proj": attnOut,
  "in:transformer.h.{i}.ln_2": inBlock("residMid"),
  "out:transformer.h.{i}.ln_2": inBlock("ln2.out"),
  "in:transformer.h.{i}.mlp": inBlock("ln2.out"),
  "out:transformer.h.{i}.mlp.c_fc": inBlock("mlp.pre"),
  "out:transformer.h.{i}.mlp.act": inBlock("mlp.post"),
  "in:transformer.h.{i}.mlp.c_proj": inBlock("mlp.post"),
  "out:transformer.h.{i}.mlp.c_proj": mlpOut,
  "out:transformer.h.{i}.mlp": mlpOut,
  "out:transformer.h.{i}": inBlock("residPost"),
  "out:transformer.ln_f": { points: ["lnFinal.out"] },
};

const COUNTERPARTS: Readonly<Record<string, Counterpart>> = {
  ...ANY_FAMILY,
  ...LLAMA,
  ...GPT2,
  ...DENSE_FAMILIES,
  ...SPARSE_FAMILIES,
  ...LATENT_FAMILIES,
};

/** Keys that have no point, with the reason. */
const IGNORED: readonly (readonly [key: RegExp, reason: string])[] = [
  [/^tokens$/, "the input"],
  [/^loss$/, "for training"],
  [/^grad:/, "for training"],
  [
    /^out:.*\.mlp\.(act|activation)_fn$/,
    "the gate after its activation, of which mlp.post is the product with mlp.preLinear",
  ],
  [/^out:.*\.shared_experts?\.act_fn$/, "as that of an MLP, of which shared.post is the product"],
  [
    /^out:.*\.experts\.act_fn$/,
    "as that of an MLP, of which experts.post is the product; token by token of each expert",
  ],
  [/^out:.*\.q_a_proj$/, "the queries' latent before its norm, which is compared after it"],
  [/^out:.*\.kv_a_proj_with_mqa$/, "the latent before its norm, which is compared after it, and kRope before it turns"],
];

/** Names, with `{i}`, of the points that the keys of one golden are compared with. */
export function comparedPoints(keys: readonly string[]): string[] {
  const find = finder(keys);
  return keys.flatMap((key) => {
    if (isIgnored(key)) return [];
    return key.startsWith("hidden.") ? HIDDEN : find(key).points;
  });
}

export interface Compared {
  readonly key: string;
  readonly points: readonly string[];
  /** What golgi has for it, laid out as it is expected. */
  readonly actual: Tensor;
  readonly expected: Tensor;
}

/** Everything expected beside what golgi computed for it. Throws for a key that is neither compared nor ignored. */
export function compare(run: Run, nLayers: number, expected: ReadonlyMap<string, Tensor>): Compared[] {
  const find = finder([...expected.keys()]);
  return [...expected].flatMap(([key, tensor]) => {
    if (isIgnored(key)) return [];
    const { points, arrange, slotsOf, apply } = counterpart(key, nLayers, run, find);
    const tensors = points.map((point) => {
      const value = run.get(point);
      if (slotsOf === undefined) return value;
      return inSlotsOf(expected.get(slotsOf) as Tensor, run.get(`blocks.${layerOf(key)}.router.indices`), value);
    });
    const arranged = arrange === undefined ? tensors : ARRANGED[arrange](tensors);
    const wanted = apply === undefined ? tensor : new Tensor(tensor.shape, Float64Array.from(tensor.data, apply));
    return arranged.map((actual) => ({ key, points, actual, expected: wanted }));
  });
}

/** Values of several points as the class lays out what it has for them. */
const ARRANGED: Readonly<Record<NonNullable<Counterpart["arrange"]>, (tensors: readonly Tensor[]) => Tensor[]>> = {
  headsFirst: (tensors) => tensors.map(headsFirst),
  sideBySide: (tensors) => [sideBySide(tensors)],
  headBesideHead: (tensors) => [headBesideHead(tensors)],
};

function isIgnored(key: string): boolean {
  return IGNORED.some(([pattern]) => pattern.test(key));
}

function counterpart(key: string, nLayers: number, run: Run, find: (key: string) => Counterpart): Counterpart {
  const layer = layerOf(key);
  if (key === `hidden.${layer}`) return { points: hidden(Number(layer), nLayers, run) };
  const { points, slotsOf, ...rest } = find(key);
  const atLayer = (name: string): string => name.replace("{i}", `${layer}`);
  return { ...rest, points: points.map(atLayer), slotsOf: slotsOf && atLayer(slotsOf) };
}

/** What the keys of one golden stand for. */
function finder(keys: readonly string[]): (key: string) => Counterpart {
  const counterparts = new Map(Object.entries({ ...COUNTERPARTS, ...renamed(keys) }));
  return (key) => {
    const known = counterparts.get(key.replace(`.${layerOf(key)}`, ".{i}"));
    if (known === undefined) throw new Error(`${key}: expected by the golden, but no point is named for it`);
    return known;
  };
}

function layerOf(key: string): string | undefined {
  return /\.(\d+)(?:\.|$)/.exec(key)?.[1];
}

const HIDDEN = ["embed", "blocks.{i}.residPre", "blocks.{i}.residPost", "lnFinal.out"];

/** The residual stream before a layer; transformers gives the last one after the final norm. */
function hidden(layer: number, nLayers: number, run: Run): string[] {
  if (layer === nLayers) return ["lnFinal.out"];
  const residPre = `blocks.${layer}.residPre`;
  if (layer > 0) return [`blocks.${layer - 1}.residPost`, residPre];
  return run.points.includes("posEmbed") ? [residPre] : ["embed", residPre];
}
