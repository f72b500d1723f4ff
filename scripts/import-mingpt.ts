/**
 * Converts a minGPT model published as JSON (config, and base64 float32 tensors: bbycroft/llm-viz, gpt-nano-sort) to
 * a directory of config.json and model.safetensors, and the intermediate values published with it to
 * expected.safetensors. Usage: node scripts/import-mingpt.ts <model.json> <out-dir> [--partials <partials.json>]
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { encodeSafetensors, type NamedTensor } from "../src/checkpoint/write-safetensors.ts";
import { CheckpointError } from "../src/errors.ts";

const CONFIG_KEYS = ["n_layer", "n_head", "n_embd", "vocab_size", "block_size"];
const DROPOUT_KEYS = ["embd_pdrop", "resid_pdrop", "attn_pdrop"];

type Json = Readonly<Record<string, unknown>>;

/** The config.json of a model: minGPT's own keys. minGPT's `model_type` names a size, so a type takes its place. */
export function convertConfig(model: unknown, path = "model.json"): Record<string, unknown> {
  const { config } = requireObject(model, path);
  const source = requireObject(config, `${path}, config`);
  const { model_type: _sizeName, ...known } = source;
  for (const key of Object.keys(known)) {
    if (![...CONFIG_KEYS, ...DROPOUT_KEYS].includes(key))
      throw refuse(`${path}, config`, "every key must be known", key);
  }
  for (const key of CONFIG_KEYS) {
    const value = known[key];
    if (Number.isSafeInteger(value) && (value as number) > 0) continue;
    throw refuse(`${path}, config.${key}`, "it must be a positive integer", `${JSON.stringify(value)}`);
  }
  return { model_type: "mingpt", ...known };
}

/** All tensors of the file under their own names, except the constant causal masks, which minGPT saves as `attn.bias`. */
export function convertTensors(file: unknown, path = "model.json"): NamedTensor[] {
  return Object.entries(requireObject(file, path))
    .filter(([name]) => name !== "config" && !name.endsWith(".attn.bias"))
    .map(([name, tensor]) => readTensor(name, requireObject(tensor, `${path}, ${name}`), `${path}, ${name}`));
}

function readTensor(name: string, { shape, dtype, data }: Json, path: string): NamedTensor {
  if (dtype !== "torch.float32") throw refuse(path, "dtype must be torch.float32", `${JSON.stringify(dtype)}`);
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw refuse(path, "shape must be a list of sizes", `${JSON.stringify(shape)}`);
  }
  if (typeof data !== "string") throw refuse(path, "data must be base64 text", typeof data);
  const bytes = new Uint8Array(Buffer.from(data, "base64"));
  const sizeBytes = 4 * shape.reduce((product, size) => product * size, 1);
  if (bytes.length === sizeBytes) return { name, shape, data: new Float32Array(bytes.buffer) };
  throw refuse(path, `shape [${shape.join(", ")}] needs ${sizeBytes} bytes`, `${bytes.length}`);
}

function requireObject(value: unknown, path: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw refuse(path, "it must be a JSON object", JSON.stringify(value) ?? "nothing");
}

function refuse(path: string, expected: string, got: string): CheckpointError {
  return new CheckpointError("checkpoint.tensor", {
    path,
    expected,
    got,
    remedy: "The file is damaged or not minGPT's.",
  });
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refuse(path, "the file must be JSON", `"${(cause as Error).message}"`);
  }
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { partials: { type: "string" } },
  });
  if (positionals.length !== 2) {
    throw new Error("Usage: node scripts/import-mingpt.ts <model.json> <out-dir> [--partials <partials.json>]");
  }
  const [modelPath, outDir] = positionals;
  const model = await readJson(modelPath);
  const files = new Map<string, string | Uint8Array>([
    ["config.json", `${JSON.stringify(convertConfig(model, modelPath), null, 2)}\n`],
    ["model.safetensors", encodeSafetensors(convertTensors(model, modelPath), { format: "pt" })],
  ]);
  if (values.partials !== undefined) {
    const partials = convertTensors(await readJson(values.partials), values.partials);
    files.set("expected.safetensors", encodeSafetensors(partials));
  }
  await mkdir(outDir, { recursive: true });
  for (const [name, content] of files) {
    await writeFile(join(outDir, name), content);
    console.log(join(outDir, name));
  }
}

if (import.meta.main) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
