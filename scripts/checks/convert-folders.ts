/**
 * Writes tiny models as folders, from safetensors and from GGUF, each with the logits that golgi computes from the source,
 * for convert_folders.py to check against transformers.
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { openFile } from "../../node/files.ts";
import { convert, open } from "../../node/index.ts";
import { openSafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { encodeSafetensors } from "../../src/checkpoint/write-safetensors.ts";

const fixtures = path.join(import.meta.dirname, "../../test/fixtures");
const { positionals } = parseArgs({ allowPositionals: true });
const [out = "converted"] = positionals;

await mkdir(out);
const goldens = (await readdir(path.join(fixtures, "goldens"), { withFileTypes: true })).filter((e) => e.isDirectory());
for (const { name } of goldens) {
  const source = path.join(fixtures, "goldens", name);
  await write(source, name, path.join(out, name));
  const gguf = path.join(fixtures, "gguf", `${name}.gguf`);
  if ((await readdir(path.dirname(gguf))).includes(path.basename(gguf))) {
    await write(gguf, name, path.join(out, `${name}-from-gguf`));
  }
}

async function write(source: string, golden: string, target: string): Promise<void> {
  await convert(source, target);
  const tokens = await goldenTokens(golden);
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
