/** Opens converted models in llama.cpp, and compares its tokens with golgi's: see README.md. */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { ensurePeer } from "../../bench/peers.ts";
import { convert, type Model, open } from "../../node/index.ts";

const N_TOKENS = 32;
/** Logits of two tokens this close may change places with the order in which sums are added up. */
const MARGIN = 0.01;

const SUBJECTS = ["Once upon a time", "Lily and her mom", "The little dog", "One day, Tom", "A big red ball"];
const VERBS = [" went to", " saw a", " was very", " wanted to play with"];
const PROMPTS = SUBJECTS.flatMap((subject) => VERBS.map((verb) => subject + verb));

interface Peer {
  readonly LlamaLogLevel: { readonly error: string };
  getLlama(options: object): Promise<{
    loadModel(options: { modelPath: string }): Promise<PeerModel>;
    dispose(): Promise<void>;
  }>;
}

interface PeerModel {
  tokenize(text: string): number[];
  readonly tokens: { readonly bos: number | null };
  dispose(): Promise<void>;
  createContext(options: object): Promise<{ getSequence(): PeerSequence }>;
}

interface PeerSequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: number[], options: { temperature: number; yieldEogToken: boolean }): AsyncIterable<number>;
}

const peer = ensurePeer("node-llama-cpp");
if ("missing" in peer) throw new Error(peer.missing);
const library = new URL("../../bench/peers/node_modules/node-llama-cpp/dist/index.js", import.meta.url);
const { getLlama, LlamaLogLevel } = (await import(library.href)) as Peer;
const settings = { gpu: false, build: "never", skipDownload: true, progressLogs: false, maxThreads: 1 };
const llama = await getLlama({ ...settings, logLevel: LlamaLogLevel.error });

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
  const context = await model.createContext({
    contextSize: Math.min(256, golgi.config.contextLength),
    threads: 1,
    flashAttention: false,
    // Its default rounds keys and values to f16.
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const sequence = context.getSequence();
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

/** The golden GPT-2 with a tokenizer of letters, since llama.cpp takes no text without one. */
async function tinyGpt2(): Promise<string> {
  const target = path.join(folder, "gpt2");
  await cp(path.join(root, "test/fixtures/goldens/gpt2"), target, { recursive: true });
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789Ġ,.!?-;'";
  const tokens = [...letters, "ab"];
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: ["a b"] },
  };
  await writeFile(path.join(target, "tokenizer.json"), JSON.stringify(tokenizer));
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
