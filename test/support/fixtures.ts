/** The models and expected values that tests run on. */

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openFile } from "../../node/files.ts";
import { openSafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

/** Path of something below test/fixtures/. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
}

/** The default model's directory. */
export const stories260K = fileURLToPath(new URL("../../models/stories260K", import.meta.url));

/** Names of the tiny models in test/fixtures/goldens/. */
export const goldenNames: readonly string[] = readdirSync(fixture("goldens"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

/** All tensors of a safetensors file, which are float32 or int32. */
export async function readTensors(path: string): Promise<Map<string, Tensor>> {
  const checkpoint = await openSafetensorsFile(await openFile(path));
  try {
    const tensors = new Map<string, Tensor>();
    for (const stored of checkpoint.tensors.values()) {
      const { buffer } = await checkpoint.read(stored);
      const data = stored.dtype === "i32" ? new Int32Array(buffer) : new Float32Array(buffer);
      tensors.set(stored.name, new Tensor(stored.shape, data));
    }
    return tensors;
  } finally {
    await checkpoint.close();
  }
}

/** One tensor of expected.safetensors in a directory below test/fixtures/ or anywhere. */
export async function readExpected(directory: string): Promise<(name: string) => Tensor> {
  const tensors = await readTensors(`${directory}/expected.safetensors`);
  return (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`${directory} expects no ${name}`);
    return tensor;
  };
}

/** The token ids of a golden. */
export async function goldenTokens(name: string): Promise<number[]> {
  const expected = await readExpected(fixture(`goldens/${name}`));
  return [...expected("tokens").data];
}
