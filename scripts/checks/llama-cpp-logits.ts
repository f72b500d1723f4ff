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

const { positionals } = parseArgs({ allowPositionals: true });
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
  const reference = await open(source, { backend: "reference" });
  const native = await open(source, { backend: "native" });
  try {
    const sequences = randomSequences(reference.config.vocabSize);
    const theirs = await logitsIn(source, "f32", sequences);
    const counts = [await compare(reference, sequences, theirs), await compare(native, sequences, theirs)];
    const blocks = await compare(reference, sequences, await logitsIn(source, "q8_0", sequences));
    const n = N_SEQUENCES * N_TOKENS;
    const f32 = counts.map(({ nSame, largest }) => `${nSame}/${n} within ${largest.toExponential(1)}`);
    console.log(`${model.padEnd(18)} F32: reference ${f32[0]}, native ${f32[1]}; Q8_0 ${blocks.nSame}/${n}`);
    return counts.reduce((sum, { nSame }) => sum + n - nSame, 0);
  } finally {
    await reference.close();
    await native.close();
  }
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

/** What llama.cpp makes of each sequence, from a file that golgi writes. */
async function logitsIn(source: string, type: "f32" | "q8_0", sequences: readonly (readonly number[])[]) {
  const file = `${source}.${type}.gguf`;
  await convert(source, file, { type });
  const model = await llama.loadModel({ modelPath: file });
  try {
    const sequence = await openSequence(model, N_TOKENS);
    const logits: Float32Array[][] = [];
    for (const tokens of sequences) logits.push(await logitsOf(sequence, tokens));
    return logits;
  } finally {
    await model.dispose();
  }
}

/** At how many positions the likeliest token is the same, and the largest difference of two logits. */
async function compare(golgi: Model, sequences: readonly (readonly number[])[], theirs: readonly Float32Array[][]) {
  let [nSame, largest] = [0, 0];
  for (const [i, tokens] of sequences.entries()) {
    const { logits } = await golgi.run(tokens, { logits: "all" });
    for (const [position, other] of theirs[i].entries()) {
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
