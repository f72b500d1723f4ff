/** Models whose experts lie in many tensors or have scales apart, with one tensor damaged: refused with its name and what to do. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../src/errors.ts";
import { type Model, openModel, reference } from "../src/index.ts";
import { concat, MemoryFolder, safetensors, utf8 } from "./checkpoint-files.ts";
import { putTogether, recast, type TensorPart, takeApart } from "./fuzz/safetensors-parts.ts";
import { fixture } from "./support/fixtures.ts";

const host = { nowMs: () => performance.now(), pause: async () => undefined };

function openWith(name: string, file: Uint8Array): Promise<Model> {
  const folder = new MemoryFolder({
    "config.json": readFileSync(fixture(`${name}/config.json`)),
    "model.safetensors": file,
  });
  return openModel({ folder }, host, [reference]);
}

const tensorsOf = (name: string): TensorPart[] => takeApart(readFileSync(fixture(`${name}/model.safetensors`)));

type Damage = (tensor: TensorPart, all: readonly TensorPart[]) => readonly TensorPart[];

/** The model with other tensors in the place of one. */
function damaged(name: string, tensor: string, damage: Damage): Promise<Model> {
  const all = tensorsOf(name);
  const at = all.findIndex((each) => each.name === tensor);
  return openWith(name, putTogether(all.toSpliced(at, 1, ...damage(all[at] as TensorPart, all))));
}

async function expectRefused(opening: Promise<Model>, message: RegExp): Promise<void> {
  const error = await opening.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CheckpointError);
  expect((error as CheckpointError).message).toMatch(message);
  // What to do comes after what was found.
  expect((error as CheckpointError).message).toMatch(/; got [^\n]*\. [A-Z][^\n]*[.?]$/);
}

const dropped: Damage = () => [];
const longer: Damage = (tensor) => [recast(tensor, { shape: tensor.shape.with(0, (tensor.shape[0] as number) + 1) })];
const as =
  (dtype: TensorPart["dtype"]): Damage =>
  (tensor) => [recast(tensor, { dtype })];

it("without damage they open", async () => {
  for (const name of ["fp8", "goldens/gpt-oss-mxfp4", "goldens/mixtral-window-tied", "goldens/mixtral-packed"]) {
    const model = await openWith(name, putTogether(tensorsOf(name)));
    await model.close();
  }
});

describe("weights in fp8", () => {
  const dense = "model.layers.0.self_attn.o_proj.weight";
  const expert = "model.layers.1.mlp.experts.2.up_proj.weight";
  const scale = (tensor: string): string => `${tensor}_scale_inv`;

  it.each<[string, string, Damage, RegExp]>([
    ["no scales", dense, dropped, /o_proj\.weight: f8_e4m3 needs f32 \[2, 1\] in .*o_proj\.weight_scale_inv.*; got no/],
    ["no scales of one expert", expert, dropped, /experts\.2\.up_proj\.weight: f8_e4m3 needs .*; got no tensor/],
    ["more scales than blocks", dense, longer, /o_proj\.weight: f8_e4m3 needs f32 \[2, 1\].*; got f32 \[3, 1\]\./],
    ["scales turned round", dense, (t) => [recast(t, { shape: [1, 2] })], /needs f32 \[2, 1\].*; got f32 \[1, 2\]/],
    ["scales in one row", expert, (t) => [recast(t, { shape: [2] })], /experts\.2\.up_proj\.weight: .*; got f32 \[2\]/],
    ["scales of half the size", expert, as("f16"), /experts\.2\.up_proj\.weight: .*; got f16 \[1, 2\]/],
    ["scales that are fp8 too", expert, as("f8_e4m3"), /experts\.2\.up_proj\.weight: .*; got f8_e4m3 \[1, 2\]/],
    [
      "scales by another name",
      expert,
      (t) => [{ ...t, name: t.name.replace("_scale_inv", "_scale") }],
      /experts\.2\.up_proj\.weight: f8_e4m3 needs .* in .*up_proj\.weight_scale_inv/,
    ],
  ])("are refused with %s", async (_, tensor, damage, message) => {
    await expectRefused(damaged("fp8", scale(tensor), damage), message);
  });

  it("are refused with scales that nothing needs", async () => {
    await expectRefused(damaged("fp8", expert, as("bf16")), /experts\.2\.up_proj\.weight: all tensors .*; got bf16/);
    await expectRefused(damaged("fp8", dense, as("bf16")), /o_proj\.weight_scale_inv: every tensor .* must be used/);
  });

  it("are refused with scales that lie among other bytes", async () => {
    const file = putTogether(tensorsOf("fp8"));
    const headerSizeBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerSizeBytes)));
    const [begin, end] = header[scale(expert)].data_offsets;
    header[scale(expert)].data_offsets = [begin - 4, end - 4];
    const moved = concat(safetensors(utf8(JSON.stringify(header))), file.subarray(8 + headerSizeBytes));
    const error = await openWith("fp8", moved).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as CheckpointError).message).toMatch(/experts\.2\.up_proj\.weight/);
  });
});

describe("experts in MXFP4", () => {
  const blocks = "model.layers.1.mlp.experts.gate_up_proj_blocks";
  const scales = "model.layers.1.mlp.experts.gate_up_proj_scales";

  it.each<[string, string, Damage, RegExp]>([
    ["no scales", scales, dropped, /gate_up_proj_scales: the checkpoint must hold this tensor/],
    ["no blocks", blocks, dropped, /gate_up_proj_blocks: the checkpoint must hold this tensor/],
    ["scales of one expert more", scales, longer, /gate_up_proj_blocks: blocks of MXFP4 .*; got u8 .* and u8 \[4, /],
    ["scales that are numbers", scales, as("f32"), /gate_up_proj_blocks: blocks of MXFP4 .*; got u8 .* and f32 /],
    ["blocks that are numbers", blocks, as("bf16"), /gate_up_proj_blocks: blocks of MXFP4 .*; got bf16 .* and u8 /],
    [
      "blocks of 8 bytes",
      blocks,
      (t) => [recast(t, { shape: t.shape.with(-1, 8) })],
      /gate_up_proj_blocks: blocks of MXFP4 are u8 \[\.\.\., 16\].*; got u8 \[3, 64, 1, 8\]/,
    ],
    [
      "the experts as numbers too",
      blocks,
      (t) => [t, { ...recast(t, { shape: [3, 32, 64], dtype: "bf16" }), name: t.name.replace("_blocks", "") }],
      /gate_up_proj_(blocks|scales): every tensor of the checkpoint must be used/,
    ],
  ])("are refused with %s", async (_, tensor, damage, message) => {
    await expectRefused(damaged("goldens/gpt-oss-mxfp4", tensor, damage), message);
  });

  it("are refused with one expert fewer", async () => {
    const all = tensorsOf("goldens/gpt-oss-mxfp4").map((tensor) =>
      tensor.name === blocks || tensor.name === scales ? recast(tensor, { shape: tensor.shape.with(0, 2) }) : tensor,
    );
    await expectRefused(openWith("goldens/gpt-oss-mxfp4", putTogether(all)), /gate_up_proj_blocks: .* as matrix 2/);
  });
});

describe("experts in tensors of their own", () => {
  const name = "goldens/mixtral-window-tied";
  const one = "model.layers.1.block_sparse_moe.experts.3.w3.weight";

  it.each<[string, Damage, RegExp]>([
    [
      "one missing",
      dropped,
      /experts\.3\.w3\.weight: the checkpoint must hold this tensor, it is blocks\.1\.experts\.wUp/,
    ],
    ["one longer", longer, /experts\.3\.w3\.weight: blocks\.1\.experts\.wUp .* needs .*; got \[/],
    [
      "one turned round",
      (t) => [recast(t, { shape: t.shape.toReversed() })],
      /experts\.3\.w3\.weight: .* needs .*; got/,
    ],
    ["one as a vector", (t) => [recast(t, { shape: [t.bytes.length / 4] })], /experts\.3\.w3\.weight: .*; got \[/],
    [
      "one of another type",
      as("bf16"),
      /experts\.3\.w3\.weight: all tensors that make up blocks\.1\.experts\.wUp .*; got bf16/,
    ],
    ["one of bytes", as("u8"), /experts\.3\.w3\.weight: .*; got u8/],
    [
      "one too many",
      (t) => [t, { ...t, name: t.name.replace(".3.", ".5.") }],
      /experts\.5\.w3\.weight: every tensor of the checkpoint must be used/,
    ],
    [
      "all of them packed too",
      (t, all) => {
        const [dExpert, dModel] = t.shape as [number, number];
        const nExperts = all.filter(({ name: other }) => /layers\.1\..*\.w3\.weight$/.test(other)).length;
        const packed = recast(t, { shape: [nExperts, 2 * dExpert, dModel] });
        return [t, { ...packed, name: "model.layers.1.mlp.experts.gate_up_proj" }];
      },
      /layers\.1\.mlp\.experts\.gate_up_proj: every tensor of the checkpoint must be used/,
    ],
  ])("are refused with %s", async (_, damage, message) => {
    await expectRefused(damaged(name, one, damage), message);
  });
});

describe("experts in one tensor", () => {
  const packed = "model.layers.1.mlp.experts.gate_up_proj";

  it.each<[string, Damage, RegExp]>([
    ["none", dropped, /layers\.1\..*experts.*: the checkpoint must hold this tensor, it is blocks\.1\.experts\.wGate/],
    ["one more", longer, /gate_up_proj: every row of a tensor must belong to a weight; got .* left over/],
    [
      "one fewer",
      (t) => [recast(t, { shape: t.shape.with(0, (t.shape[0] as number) - 1) })],
      /gate_up_proj: blocks\.1\.experts\.wGate .* as matrix \d+/,
    ],
    [
      "their matrices turned round",
      (t) => [recast(t, { shape: [t.shape[0]!, t.shape[2]!, t.shape[1]!] })],
      /gate_up_proj: /,
    ],
    ["one flat list", (t) => [recast(t, { shape: [t.bytes.length / 4] })], /gate_up_proj: .*; got \[/],
    ["bytes", as("u8"), /gate_up_proj: .*; got u8/],
  ])("are refused with %s", async (_, damage, message) => {
    await expectRefused(damaged("goldens/mixtral-packed", packed, damage), message);
  });
});
