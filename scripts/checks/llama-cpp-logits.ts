/** Opens a converted model of every family in llama.cpp, and compares its logits with golgi's: see README.md. */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { convert, type Model, open } from "../../node/index.ts";
import type { Json } from "../../src/config/reader.ts";
import { randomFrom } from "../../test/op-support/random.ts";
import { RANDOM_MODELS, randomModel } from "../../test/support/random-models.ts";
import { logitsOf, openSequence, startLlama, writeLetters } from "./llama-cpp.ts";

const N_SEQUENCES = 20;
const N_TOKENS = 32;

/** llama.cpp knows a DeepSeek whose queries have no latent by its 27 layers. */
const LITE = { q_lora_rank: null, num_hidden_layers: 27 };
const RANDOM: Readonly<Record<string, Json>> = {
  ...RANDOM_MODELS,
  "deepseek-v2-lite": { ...RANDOM_MODELS["deepseek-v2"], ...LITE },
  "deepseek-v3-lite": { ...RANDOM_MODELS["deepseek-v3"], ...LITE },
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { backend: { type: "string", multiple: true, default: ["reference", "native"] } },
});
const models = positionals.length > 0 ? positionals : Object.keys(RANDOM);
const folder = await mkdtemp(path.join(tmpdir(), "golgi-check-"));
const llama = await startLlama();
let nDifferent = 0;
try {
  for (const [i, model] of models.entries()) nDifferent += await check(model, path.join(folder, `${i}`));
} finally {
  await llama.dispose();
  await rm(folder, { recursive: true });
}
process.exitCode = nDifferent === 0 ? 0 : 1;

/** Prints and gives at how many positions of the F32 file the likeliest token is another. */
async function check(model: string, place: string): Promise<number> {
  // A file's name is in its metadata, and llama.cpp wants some tokens of a model named after Phi-3.
  const source = path.join(place, "model");
  await write(model, source);
  const [f32, q8] = [await logitsIn(source, "f32"), await logitsIn(source, "q8_0")];
  let nDifferent = 0;
  for (const backend of values.backend) {
    const golgi = await open(source, { backend });
    const [exact, rounded] = [await compare(golgi, f32), await compare(golgi, q8)];
    await golgi.close();
    const [n, largest] = [N_SEQUENCES * N_TOKENS, exact.largest.toExponential(1)];
    const inBlocks = `Q8_0 ${rounded.nSame}`;
    console.log(`${model.padEnd(18)} ${backend.padEnd(9)} F32 ${exact.nSame} of ${n} within ${largest}, ${inBlocks}`);
    nDifferent += n - exact.nSame;
  }
  return nDifferent;
}

/** A random model of a family, or a copy of a folder, with a tokenizer. */
async function write(model: string, target: string): Promise<void> {
  const json = RANDOM[model];
  if (json === undefined) {
    await cp(model, target, { recursive: true });
  } else {
    await mkdir(target, { recursive: true });
    for (const [name, bytes] of Object.entries(randomModel(json))) await writeFile(path.join(target, name), bytes);
  }
  await writeLetters(target);
}

function randomSequences(vocabSize: number): number[][] {
  const random = randomFrom(7);
  return Array.from({ length: N_SEQUENCES }, () =>
    Array.from({ length: N_TOKENS }, () => Math.floor(vocabSize * random())),
  );
}

interface Observed {
  readonly tokens: readonly number[];
  /** [T][vocabSize] */
  readonly logits: readonly Float32Array[];
}

/** What llama.cpp makes of random sequences, from a file that golgi writes. */
async function logitsIn(source: string, type: "f32" | "q8_0"): Promise<Observed[]> {
  const file = `${source}.${type}.gguf`;
  await convert(source, file, { type });
  const model = await llama.loadModel({ modelPath: file });
  try {
    // A context that is full moves on.
    const sequence = await openSequence(model, 2 * N_TOKENS);
    const observed: Observed[] = [];
    const [{ length: vocabSize }] = await logitsOf(sequence, [0]);
    for (const tokens of randomSequences(vocabSize))
      observed.push({ tokens, logits: await logitsOf(sequence, tokens) });
    return observed;
  } finally {
    await model.dispose();
  }
}

/** At how many positions the likeliest token is the same, and the largest difference of two logits. */
async function compare(golgi: Model, observed: readonly Observed[]) {
  let [nSame, largest] = [0, 0];
  for (const { tokens, logits: theirs } of observed) {
    const { logits } = await golgi.run(tokens, { logits: "all" });
    for (const [position, other] of theirs.entries()) {
      const { data } = logits.row(position);
      if (likeliest(data) === likeliest(other)) nSame++;
      for (const [token, logit] of other.entries()) largest = Math.max(largest, Math.abs(logit - data[token]));
    }
  }
  return { nSame, largest };
}

function likeliest(logits: ArrayLike<number>): number {
  let best = 0;
  for (let token = 1; token < logits.length; token++) if (logits[token] > logits[best]) best = token;
  return best;
}
