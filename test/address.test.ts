/** Addresses of components. */

import { describe, expect, it } from "vitest";
import { PointError } from "../src/errors.ts";
import { parseAddress } from "../src/points/address.ts";
import { catalogOf } from "./support/catalog.ts";
import { fixture } from "./support/fixtures.ts";
import { open } from "./support/open.ts";

const llama = catalogOf("llama");
const gpt2 = catalogOf("gpt2");
const qwen3 = catalogOf("qwen3");
const mixtral = catalogOf("mixtral");
const deepSeekV3 = catalogOf("deepSeekV3");

/** `point[index]` for each component that an address names. */
const named = (address: string, catalog = llama): string[] =>
  parseAddress(address, catalog).addresses.map(({ entry, index }) => `${entry.name}[${index.join(",")}]`);

describe("an address", () => {
  it.each([
    ["L5", "blocks.5.residPost[]"],
    ["L5.N19", "blocks.5.mlp.post[19]"],
    ["L5.H3", "blocks.5.attn.z[3]"],
    ["L5.H3[1]", "blocks.5.attn.z[3,1]"],
    ["L5.H3.q", "blocks.5.attn.q[3]"],
    ["L5.H3.rotQ[1]", "blocks.5.attn.rotQ[3,1]"],
    ["L5.H3.z", "blocks.5.attn.z[3]"],
    ["L5.H3.result", "blocks.5.attn.result[3]"],
    ["L5.H3.scores", "blocks.5.attn.scores[3]"],
    ["L5.H3.pattern[7]", "blocks.5.attn.pattern[3,7]"],
    ["L5.mlp", "blocks.5.mlp.out[]"],
    ["L5.attn", "blocks.5.attn.out[]"],
    ["L5.attn.contribution", "blocks.5.attn.contribution[]"],
    ["L5.residMid", "blocks.5.residMid[]"],
    ["L5.ln1.scale[0]", "blocks.5.ln1.scale[0]"],
    ["L5.mlp.pre", "blocks.5.mlp.pre[]"],
    ["embed", "embed[]"],
    ["lnFinal.out", "lnFinal.out[]"],
    ["logits[262]", "logits[262]"],
    ["blocks.5.attn.k[1]", "blocks.5.attn.k[1]"],
    ["blocks.5.attn.k[1, 1]", "blocks.5.attn.k[1,1]"],
    ["mlp_act.5[11]", "blocks.5.mlp.post[11]"],
    ["attn_probs.5[3,7]", "blocks.5.attn.pattern[3,7]"],
    ["layers_output[5]", "blocks.5.residPost[]"],
    ["layers_output[5][2]", "blocks.5.residPost[2]"],
  ])("%s names %s", (address, component) => {
    expect(named(address)).toEqual([component]);
  });

  it.each([
    ["L5.E3", "blocks.5.experts.3.contribution[]"],
    ["L5.E3.N7", "blocks.5.experts.3.post[7]"],
    ["L5.E3.pre", "blocks.5.experts.3.pre[]"],
    ["L5.E3.preLinear[7]", "blocks.5.experts.3.preLinear[7]"],
    ["L5.E3.out", "blocks.5.experts.3.out[]"],
    ["L5.E3.weight", "blocks.5.experts.3.weight[]"],
    ["blocks.5.experts.3", "blocks.5.experts.3.contribution[]"],
    ["blocks.5.experts.3.post[7]", "blocks.5.experts.3.post[7]"],
    ["blocks.5.mlp.experts.3.hook_post[7]", "blocks.5.experts.3.post[7]"],
    ["blocks.5.experts.post[1,7]", "blocks.5.experts.post[1,7]"],
    ["L5.router", "blocks.5.router.weights[]"],
    ["blocks.5.router", "blocks.5.router.weights[]"],
    ["L5.router.scores[3]", "blocks.5.router.scores[3]"],
    ["L5.shared", "blocks.5.shared.contribution[]"],
    ["L5.shared.N3", "blocks.5.shared.post[3]"],
  ])("%s names %s of a sparse layer", (address, component) => {
    expect(named(address, deepSeekV3)).toEqual([component]);
  });

  it("reaches one expert of each sparse layer by a glob", () => {
    expect(named("L*.E3", deepSeekV3)).toEqual([3, 4, 5].map((i) => `blocks.${i}.experts.3.contribution[]`));
    expect(named("L*.E3.N7", deepSeekV3)).toEqual([3, 4, 5].map((i) => `blocks.${i}.experts.3.post[7]`));
    expect(named("blocks.5.experts.3.*", deepSeekV3)).toHaveLength(6);
    expect(named("blocks.*.mlp.experts.3.hook_gate", mixtral)).toEqual(named("blocks.*.experts.3.pre", mixtral));
  });

  it.each([
    ["blocks.5.experts.3.post[7]", "L5.E3.N7"],
    ["L5.E3.contribution", "L5.E3"],
    ["L5.E3.contribution[2]", "blocks.5.experts.3.contribution[2]"],
    ["L5.E3.weight", "blocks.5.experts.3.weight"],
    ["L5.shared.post[3]", "L5.shared.N3"],
  ])("%s is spelled %s", (address, text) => {
    const [parsed] = parseAddress(address, deepSeekV3).addresses;
    expect(parsed?.text).toBe(text);
    expect(parseAddress(text, deepSeekV3).addresses).toEqual([parsed]);
  });

  it.each([
    ["L5.E16", "point.address", "L5.E16: layer 5 has experts 0 to 15; got expert 16. Name one of them."],
    ["L*.E16", "point.address", "has experts 0 to 15; got expert 16"],
    ["L5.E3.N10", "point.address", "the index into blocks.5.experts.3.post must be 0 to 9; got 10"],
    ["L5.E3.N1[2]", "point.address", "has one index beside its rows"],
    ["L5.E3.weight[0]", "point.address", "blocks.5.experts.3.weight has no index beside its rows"],
    ["L5.E3.pst", "point.address", 'at character 6, a part of the expert must follow; got "pst". Did you mean post?'],
    ["L5.E3.", "point.address", "An expert has pre, preLinear, post, out, contribution, weight."],
    [
      "L0.E3",
      "point.absent",
      "L0.E3: the layer must have the point; got layer 0, whose MLP is dense. The nearest layer that has it is 3.",
    ],
    ["L1.router", "point.absent", "got layer 1, whose MLP is dense. The nearest layer that has it is 3."],
    ["L2.shared.N3", "point.absent", "got layer 2, whose MLP is dense. The nearest layer that has it is 3."],
    ["ffn_moe_topk-1", "point.absent", "got layer 1, whose MLP is dense. The nearest layer that has it is 3."],
    ["blocks.1.mlp.experts.3.hook_post", "point.absent", "got layer 1, whose MLP is dense."],
    ["L4.N3", "point.absent", "got layer 4, whose MLP is made of experts. The nearest layer that has it is 2."],
    ["L6.E3", "point.unknown", "the model has layers 0 to 5; got layer 6"],
    ["blocks.*.experts.*.post", "point.unknown", "there must be a point of that name"],
  ])("%j is refused in a sparse model with the reason", (address, code, message) => {
    const refusal = expect.objectContaining({ code, message: expect.stringContaining(message) });
    expect(() => parseAddress(address, deepSeekV3)).toThrow(refusal);
  });

  it.each([
    ["L5.mlp.post[3]", "L5.N3"],
    ["blocks.5.attn.hook_z[3]", "L5.H3"],
    ["L5.H3.q", "blocks.5.attn.q[3]"],
    ["L5.H3.pattern[7]", "blocks.5.attn.pattern[3,7]"],
    ["resid_post.5", "blocks.5.residPost"],
  ])("%s is spelled %s", (address, text) => {
    const [parsed] = parseAddress(address, llama).addresses;
    expect(parsed?.text).toBe(text);
    expect(parseAddress(text, llama).addresses).toEqual([parsed]);
  });

  it("reaches one component of each layer by a glob", () => {
    expect(named("L*.H3")).toEqual([0, 1, 2, 3, 4, 5].map((i) => `blocks.${i}.attn.z[3]`));
    expect(named("blocks.*.mlp.out")).toHaveLength(6);
    expect(named("layers_output[*]")).toEqual(named("L*"));
  });

  it("takes a glob for golgi's own names where it fits any, so that it adds none by another tool's", () => {
    expect(named("blocks.2.*")).toEqual(["residPre", "residMid", "residPost"].map((p) => `blocks.2.${p}[]`));
    expect(named("blocks.2.mlp.*")).not.toContain("blocks.2.ln2.out[]");
    expect(named("blocks.*.hook_resid_post")).toEqual(named("L*"));
  });

  it("has the keys of each head where heads do not share them", () => {
    expect(named("L5.H3.k", qwen3)).toEqual(["blocks.5.attn.k[3]"]);
    expect(named("L5.H3.rotK", qwen3)).toEqual(["blocks.5.attn.rotK[3]"]);
    expect(named("L5.H3.v", gpt2)).toEqual(["blocks.5.attn.v[3]"]);
  });

  it.each([
    ["L5.H3", undefined],
    ["L5.H3@7", 7],
    ["L5@-1", -1],
    ["L5@2:5", [2, 5]],
    ["L5@-3:-1", [-3, -1]],
    ["L5.N3@prompt", "prompt"],
    ["L5.N3@generated", "generated"],
    ["logits[2]@all", "all"],
  ])("%s has positions %j", (address, positions) => {
    expect(parseAddress(address, llama).positions).toEqual(positions);
  });

  it.each([
    ["L5.N20", "point.address", "L5.N20: the index into blocks.5.mlp.post must be 0 to 19; got 20."],
    ["L5.H4", "point.address", "must be 0 to 3; got 4"],
    [
      "L5.H3.k",
      "point.address",
      "4 query heads share the 2 heads of blocks.5.attn.k; got query head 3. It reads blocks.5.attn.k[1].",
    ],
    ["L5.H9.k", "point.address", "must be 0 to 1; got 9"],
    ["L5.N3[2]", "point.address", "blocks.5.mlp.post has one index beside its rows; got [3, 2]."],
    ["L5.H1[2,3]", "point.address", "has 2 indices beside its rows; got [1, 2, 3]."],
    ["logits[300]", "point.address", "must be 0 to 299; got 300"],
    ["L6.H3", "point.unknown", "L6.H3: the model has layers 0 to 5; got layer 6."],
    ["mlp_act.6", "point.unknown", "the model has layers 0 to 5; got layer 6."],
    ["L5.resdMid", "point.unknown", "Did you mean blocks.5.residMid?"],
    ["blocks.5.mlp.pst", "point.unknown", "Did you mean blocks.5.mlp.post?"],
    [
      "L5.H3.patern",
      "point.address",
      'at character 6, a part of the head must follow; got "patern". Did you mean pattern?',
    ],
    [
      "L5.N12x",
      "point.address",
      'at character 3, a neuron is written N7, with its number; got "N12x". Did you mean N12?',
    ],
    ["L5.H", "point.address", "a head is written H3, with its number"],
    ["L5.", "point.address", "at character 3, a component follows the dot; got the end."],
    ["L.H3", "point.address", 'a layer is written L and its number; got "L.H3". Did you mean L5.H3?'],
    ["l5.h3", "point.address", "Did you mean L5.h3?"],
    ["L5.N3[x]", "point.address", 'at character 6, an index is a whole number from 0; got "x". Write [3] or [3,7].'],
    ["L5.z[-1]", "point.address", 'an index is a whole number from 0; got "-1".'],
    ["L5.z[3", "point.address", 'at character 4, the bracket must close; got "[3".'],
    ["L5.H3 @7", "point.address", "at character 5, the address must end"],
    ["L5@", "point.address", "positions must follow the @"],
    ["L5@promt", "point.address", 'at character 3, positions must follow the @; got "promt". Did you mean @prompt?'],
    ["L5@5:2", "point.address", 'a range must not be empty; got "5:2".'],
    ["", "point.address", '"": at character 0, an address must stand; got the end.'],
    ["L5.E17", "point.absent", "L5.E17: this model does not have the point; got no experts: every MLP is dense."],
    ["L5.E17.N200", "point.absent", "no experts"],
    ["L5.router", "point.absent", "no experts"],
    ["L5.shared.N3", "point.absent", "no experts"],
    ["ffn_moe_topk-5", "point.absent", "no experts"],
    ["posEmbed", "point.absent", "got positions enter through the rotary embedding"],
    ["transformer.wpe", "point.absent", "got positions enter through the rotary embedding"],
    ["blocks.5.attn.hook_q_normed", "point.absent", "got an architecture without it"],
    ["q_norm_in.5", "point.absent", "got an architecture without it"],
  ])("%j is refused with the reason", (address, code, message) => {
    const refusal = expect.objectContaining({ code, message: expect.stringContaining(message) });
    expect(() => parseAddress(address, llama)).toThrow(PointError);
    expect(() => parseAddress(address, llama)).toThrow(refusal);
  });

  it("says where in the text a mistake is", () => {
    const at = (text: string) => expect.objectContaining({ position: text.length });
    expect(() => parseAddress("L5.H3.patern", llama)).toThrow(at("L5.H3."));
    expect(() => parseAddress("mlp_act.5[6,x]", llama)).toThrow(at("mlp_act.5[6,"));
    expect(() => parseAddress("L5@2:x", llama)).toThrow(at("L5@"));
  });
});

describe("a read of a component", () => {
  it("reads the point that it is a piece of", async () => {
    const model = await open(fixture("goldens/llama"));
    const run = await model.run([1, 2, 3], { read: ["L1.N3", "L1.H2@1", "L1@all"], logits: "none" });
    expect(run.points.toSorted()).toEqual(["blocks.1.attn.z", "blocks.1.mlp.post", "blocks.1.residPost"]);
    expect(run.fired).toEqual({ "blocks.1.attn.z": 1, "blocks.1.mlp.post": 3, "blocks.1.residPost": 3 });
    await model.close();
  });
});
