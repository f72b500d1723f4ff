/**
 * Writes tiny models as folders, from safetensors and from GGUF, each with the logits that golgi computes from the source,
 * for convert_folders.py to check against transformers.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { openFile } from "../../node/files.ts";
import { convert, open } from "../../node/index.ts";
import { openSafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { encodeSafetensors } from "../../src/checkpoint/write-safetensors.ts";
import { RANDOM_MODELS, randomModel } from "../../test/support/random-models.ts";

const fixtures = path.join(import.meta.dirname, "../../test/fixtures");
const { positionals } = parseArgs({ allowPositionals: true });
const [out = "converted"] = positionals;

await mkdir(out);
const goldens = (await readdir(path.join(fixtures, "goldens"), { withFileTypes: true })).filter((e) => e.isDirectory());
for (const { name } of goldens) {
  const source = path.join(fixtures, "goldens", name);
  const tokens = await goldenTokens(name);
  await write(source, tokens, path.join(out, name));
  const gguf = path.join(fixtures, "gguf", `${name}.gguf`);
  if ((await readdir(path.dirname(gguf))).includes(path.basename(gguf))) {
    await write(gguf, tokens, path.join(out, `${name}-from-gguf`));
  }
}

const scratch = await mkdtemp(path.join(tmpdir(), "golgi-check-"));
try {
  for (const name of Object.keys(RANDOM_MODELS)) await writeThroughGguf(name);
} finally {
  await rm(scratch, { recursive: true });
}

/** A random model of an architecture as the folder that its GGUF file becomes. */
async function writeThroughGguf(name: string): Promise<void> {
  const [source, gguf] = [path.join(scratch, name), path.join(scratch, `${name}.gguf`)];
  await mkdir(source);
  for (const [file, bytes] of Object.entries(randomModel(RANDOM_MODELS[name]))) {
    await writeFile(path.join(source, file), bytes);
  }
  await convert(source, gguf);
  const tokens = Array.from({ length: 32 }, (_, i) => (37 * i + 5) % 96);
  await write(source, tokens, path.join(out, `random-${name}-through-gguf`), gguf);
}

/** The folder that `from` becomes, with the logits of `source`. */
async function write(source: string, tokens: readonly number[], target: string, from = source): Promise<void> {
  await convert(from, target);
  const model = await open(source, { backend: "reference" });
  try {
    const { logits } = await model.run(tokens, { logits: "all" });
    const tensors = [
      { name: "logits", shape: logits.shape, data: Float32Array.from(logits.data) },
      { name: "tokens", shape: [tokens.length], data: Float32Array.from(tokens) },
    ];
    await writeFile(path.join(target, "golgi.expected"), encodeSafetensors(tensors));
  } finally {
    await model.close();
  }
}

async function goldenTokens(name: string): Promise<number[]> {
  const file = await openFile(path.join(fixtures, "goldens", name, "expected.safetensors"));
  const checkpoint = await openSafetensorsFile(file);
  const stored = checkpoint.tensors.get("tokens");
  if (stored === undefined) throw new Error(`${name}: expected.safetensors has no tokens`);
  const bytes = await checkpoint.read(stored).finally(() => checkpoint.close());
  return [...new Int32Array(bytes.buffer)];
}
