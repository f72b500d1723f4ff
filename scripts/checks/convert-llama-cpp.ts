/** Opens converted models in llama.cpp, and compares its tokens with golgi's: see README.md. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { convert, type Model, open } from "../../node/index.ts";
import { openSequence, startLlama, writeLetters } from "./llama-cpp.ts";

const N_TOKENS = 32;
/** Logits of two tokens this close may change places with the order in which sums are added up. */
const MARGIN = 0.01;

const SUBJECTS = ["Once upon a time", "Lily and her mom", "The little dog", "One day, Tom", "A big red ball"];
const VERBS = [" went to", " saw a", " was very", " wanted to play with"];
const PROMPTS = SUBJECTS.flatMap((subject) => VERBS.map((verb) => subject + verb));

const llama = await startLlama();
const { positionals } = parseArgs({ allowPositionals: true });
const root = path.join(import.meta.dirname, "../..");
const models = positionals.length > 0 ? positionals : [path.join(root, "models/stories260K")];
const folder = await mkdtemp(path.join(tmpdir(), "golgi-check-"));
let nDifferent = 0;
try {
  for (const model of models) nDifferent += await check(model, PROMPTS);
  // Letters are its tokens, and its context has 40.
  const letters = PROMPTS.map((prompt) => prompt.slice(-8));
  nDifferent += await check(await tinyGpt2(), letters);
} finally {
  await llama.dispose();
  await rm(folder, { recursive: true });
}
process.exitCode = nDifferent === 0 ? 0 : 1;

/** Prints and gives how many of the prompts go on differently. */
async function check(source: string, prompts: readonly string[]): Promise<number> {
  const file = path.join(folder, `${path.basename(source)}.gguf`);
  await convert(source, file, { type: "f32" });
  const golgi = await open(source, { backend: "reference" });
  const model = await llama.loadModel({ modelPath: file });
  const sequence = await openSequence(model, Math.min(256, golgi.config.contextLength));
  const counts = { same: 0, tied: 0, tokenised: 0, different: 0 };
  for (const prompt of prompts) {
    const text = model.tokenize(prompt);
    const tokens = [...(model.tokens.bos === null ? [] : [model.tokens.bos]), ...text];
    if (`${tokens}` === `${golgi.tokenizer.encode(prompt)}`) counts.tokenised++;
    await sequence.clearHistory();
    const theirs: number[] = [];
    for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
      theirs.push(token);
      if (theirs.length === N_TOKENS) break;
    }
    counts[await compare(golgi, tokens, theirs)]++;
  }
  await golgi.close();
  await model.dispose();
  console.log(`${path.basename(source)}: ${prompts.length} prompts,`, counts);
  return counts.different + (prompts.length - counts.tokenised);
}

/** The golden GPT-2 with a tokenizer. */
async function tinyGpt2(): Promise<string> {
  const target = path.join(folder, "gpt2");
  await cp(path.join(root, "test/fixtures/goldens/gpt2"), target, { recursive: true });
  await writeLetters(target);
  return target;
}

/** Whether golgi goes on with the same tokens, or leaves them where two are as likely. */
async function compare(model: Model, prompt: readonly number[], theirs: readonly number[]) {
  const { logits } = await model.run([...prompt, ...theirs.slice(0, -1)], { logits: "all" });
  for (const [i, token] of theirs.entries()) {
    const row = logits.row(prompt.length - 1 + i).data;
    const largest = Math.max(...row);
    if (row[token] === largest) continue;
    return largest - row[token] < MARGIN ? "tied" : "different";
  }
  return "same";
}
