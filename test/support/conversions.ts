/** Conversions whole in memory, for tests. */

import { openFolder } from "../../node/files.ts";
import { locateModel } from "../../node/model-files.ts";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { type GgufCheckpoint, openGguf } from "../../src/checkpoint/gguf.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { type ConversionOptions, type ModelFiles, openConversion } from "../../src/index.ts";
import { concat, MemoryFolder } from "../checkpoint-files.ts";
import { fixture } from "./fixtures.ts";

export type Options = Partial<ConversionOptions>;

/** A conversion with its files' bytes. */
export async function converted(model: ModelFiles, options: Options = {}) {
  const conversion = await openConversion(model, { format: "gguf", name: "tiny", ...options });
  try {
    const files: Record<string, Uint8Array> = {};
    for (const { name, pieces } of conversion.files) files[name] = concat(...(await Array.fromAsync(pieces())));
    return { ...conversion, files };
  } finally {
    await conversion.close();
  }
}

export async function golden(name: string): Promise<ModelFiles> {
  return { folder: await openFolder(fixture(`goldens/${name}`)) };
}

export function ggufFixture(name: string): Promise<ModelFiles> {
  return locateModel(fixture(`gguf/${name}.gguf`));
}

export async function toGguf(model: ModelFiles, options: Options = {}): Promise<ModelFiles> {
  const { files } = await converted(model, options);
  return { folder: new MemoryFolder(files), weightsFile: "model.gguf" };
}

export async function toFolder(model: ModelFiles, options: Options = {}): Promise<ModelFiles> {
  const { files } = await converted(model, { format: "safetensors", ...options });
  return { folder: new MemoryFolder(files) };
}

export function openGgufBytes(bytes: Uint8Array): Promise<GgufCheckpoint> {
  return openGguf(new MemoryFolder({ "model.gguf": bytes }), "model.gguf");
}

export async function ggufOf(model: ModelFiles, options: Options = {}): Promise<GgufCheckpoint> {
  return openGgufBytes((await converted(model, options)).files["model.gguf"]);
}

/** Of the folder's weights. */
export async function weightsOf({ folder }: ModelFiles) {
  const checkpoint = await openSafetensors(folder);
  return contents(checkpoint).finally(() => checkpoint.close());
}

/** Every tensor's type, shape and bytes. */
export async function contents(checkpoint: Checkpoint) {
  const list = await Promise.all(
    Array.from(checkpoint.tensors.values(), async (tensor) => {
      const { name, dtype, shape } = tensor;
      return [name, { dtype, shape, bytes: Buffer.from(await checkpoint.read(tensor)).toString("base64") }] as const;
    }),
  );
  return new Map(list);
}
