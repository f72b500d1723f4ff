/** What must hold of every case: files open and are whole, or are refused for a reason of their own. */

import assert from "node:assert/strict";
import type { Checkpoint, StoredTensor } from "../../src/checkpoint/checkpoint.ts";
import { CheckpointError, ConfigError } from "../../src/errors.ts";
import { reference } from "../../src/index.ts";
import { openModel } from "../../src/run/open.ts";
import { blockOf, decodeRows, isPlainFormat } from "../../src/tensor/format.ts";
import { numel } from "../../src/tensor/shape.ts";
import { MemoryFolder } from "../checkpoint-files.ts";

/** A folder's files by name. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** "opened", or the code of the error that refused the files; any other class of error is passed on. */
export type Outcome = string;

/** What becomes of files; where they are refused, or let go, none may stay open. */
export async function outcomeOf(files: Files, use: (folder: MemoryFolder) => Promise<unknown>): Promise<Outcome> {
  const folder = new MemoryFolder(files);
  let outcome = "opened";
  try {
    await use(folder);
  } catch (error) {
    if (!(error instanceof CheckpointError || error instanceof ConfigError)) throw error;
    assert.match(error.message, /^[^\n]+: [^\n]+[.?]$/, "an error's message is one line about a path");
    assert.ok(error.message.length < 4000, "an error's message has an end");
    outcome = error.code;
  }
  const nOpen = folder.opened.filter(({ nCloses }) => nCloses === 0).length;
  assert.equal(nOpen, 0, "no file is left open");
  return outcome;
}

/** Reads every tensor in full, by its shape: whole, by rows, and as numbers. */
export async function readAll(checkpoint: Checkpoint): Promise<void> {
  try {
    // Opening has promised all that is read from here on: a refusal is a defect.
    for (const tensor of checkpoint.tensors.values()) {
      await readTensor(checkpoint, tensor).catch((cause) => {
        throw new Error(`tensor ${JSON.stringify(tensor.name)} of an opened file`, { cause });
      });
    }
  } finally {
    await checkpoint.close();
  }
}

async function readTensor(checkpoint: Checkpoint, tensor: StoredTensor): Promise<void> {
  const { dtype, shape } = tensor;
  const { nElements, sizeBytes } = blockOf(dtype);
  const bytes = await checkpoint.read(tensor);
  assert.equal(bytes.length, (numel(shape) / nElements) * sizeBytes);
  if (shape.length > 0) assert.deepEqual(await checkpoint.readRows(tensor, 0, shape[0]), bytes);
  if (shape.length > 0 && shape[0] > 1) {
    const row = await checkpoint.readRows(tensor, shape[0] - 1, 1);
    assert.deepEqual(row, bytes.slice(bytes.length - row.length));
  }
  if (isPlainFormat(dtype)) decodeRows(dtype, bytes, new Float32Array(numel(shape)), 0);
}

const host = { nowMs: () => performance.now(), pause: async () => undefined };

/** Opens a folder as a model, and runs a token where it opens. */
export async function runModel(folder: MemoryFolder, weightsFile?: string): Promise<void> {
  const model = await openModel({ folder, weightsFile }, host, [reference]);
  try {
    await model.run([0], { logits: "all" }).catch((cause) => {
      throw new Error("a step of an opened model", { cause });
    });
  } finally {
    await model.close();
  }
}
