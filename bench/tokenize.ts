/** How fast text becomes tokens, beside Hugging Face's native package, both from the same tokenizer.json. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { UsageError } from "./options.ts";
import { ensurePeer } from "./peers.ts";
import { median, spread } from "./stats.ts";

const repository = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Small vocabularies of both kinds. */
const OWN = [repository("test/fixtures/tokenizers/gpt2.json"), repository("models/stories260K/tokenizer.json")];
const N_CHARACTERS = 1_000_000;

/** Milliseconds of one round; `fresh` knows no word yet. */
interface Round {
  readonly fresh: number;
  readonly again: number;
  readonly peer: number | undefined;
}

export async function tokenize(args: readonly string[], note: (text: string) => void): Promise<void> {
  const { tokenizers, text, rounds: nRounds, json } = readOptions(args);
  const peer = ensurePeer("tokenizers", () => note("installing into bench/peers (150 MB) ..."));
  if ("missing" in peer) note(`Without the package tokenizers: ${peer.missing}.`);
  for (const file of tokenizers) {
    const source = readTokenizer(file);
    const native = "version" in peer ? (await importPeer()).fromString(JSON.stringify(source)) : undefined;
    const rounds: Round[] = [];
    for (let i = 0; i < nRounds; i++) rounds.push(await measure(source, native, text));
    console.log(json ? JSON.stringify({ file, nCharacters: text.length, peer, rounds }) : render(file, text, rounds));
  }
}

function readOptions(args: readonly string[]) {
  const value = { type: "string" } as const;
  const { tokenizer, text, rounds = "5", json = false } = parse();
  if (!/^[1-9]\d{0,3}$/.test(rounds)) throw new UsageError(`--rounds must be a whole number from 1 on; got ${rounds}`);
  return {
    tokenizers: tokenizer === undefined ? OWN : [tokenizer],
    text: text === undefined ? madeUpText(N_CHARACTERS) : readFileSync(text, "utf8").slice(0, N_CHARACTERS),
    rounds: Number(rounds),
    json,
  };

  function parse() {
    try {
      const options = { tokenizer: value, text: value, rounds: value, json: { type: "boolean" } } as const;
      return parseArgs({ args: [...args], options }).values;
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  }
}

/** The fixtures hold a tokenizer beside what it is tested with. */
function readTokenizer(file: string): object {
  const json = JSON.parse(readFileSync(file, "utf8"));
  return json.tokenizer ?? json;
}

async function measure(source: object, native: NativeTokenizer | undefined, text: string): Promise<Round> {
  const tokenizer = Tokenizer.fromJson(source, undefined);
  const options = { addSpecialTokens: false, parseSpecialTokens: true };
  const [fresh, ids] = time(() => tokenizer.encode(text, options));
  const [again] = time(() => tokenizer.encode(text, options));
  if (native === undefined) return { fresh, again, peer: undefined };
  const start = performance.now();
  const theirs = (await native.encode(text, null, { addSpecialTokens: false })).getIds();
  const peer = performance.now() - start;
  const differs = theirs.findIndex((id, i) => id !== ids[i]);
  if (differs >= 0 || theirs.length !== ids.length) throw new Error(`the two differ from token ${differs} on`);
  return { fresh, again, peer };
}

function time<T>(work: () => T): [ms: number, result: T] {
  const start = performance.now();
  const result = work();
  return [performance.now() - start, result];
}

function render(file: string, text: string, rounds: readonly Round[]): string {
  const row = (label: string, samples: readonly number[]): string => {
    const { median: ms, min, max } = spread(samples) ?? { median: Number.NaN, min: Number.NaN, max: Number.NaN };
    const speed = `${(text.length / ms / 1000).toFixed(1)} million characters a second`;
    return `${label.padEnd(34)}${ms.toFixed(0)} ms (${min.toFixed(0)}..${max.toFixed(0)}), ${speed}`;
  };
  const ratios = rounds.flatMap(({ fresh, peer }) => (peer === undefined ? [] : [fresh / peer]));
  return [
    `${file}, ${text.length} characters, ${rounds.length} rounds`,
    row("golgi, the first text", pick("fresh")),
    row("golgi, words known", pick("again")),
    ...(ratios.length === 0
      ? []
      : [
          row("tokenizers (native)", pick("peer")),
          `first text to native: ${median(ratios).toFixed(2)} times its time`,
        ]),
    "",
  ].join("\n");

  function pick(name: keyof Round): number[] {
    return rounds.map((round) => round[name]).filter((ms) => ms !== undefined);
  }
}

/** English-like: words of syllables, the rare ones long, in sentences and paragraphs; the same in every run. */
function madeUpText(nCharacters: number): string {
  let state = 1;
  const random = (n: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const syllables = ["th", "e", "an", "in", "er", "re", "on", "to", "st", "ing", "al", "men", "qua", "ow", "ble", "ct"];
  const words = Array.from({ length: 20_000 }, (_, rank) =>
    Array.from({ length: 1 + Math.floor(Math.log2(rank + 1) / 3) }, () => syllables[random(syllables.length)]).join(""),
  );
  const parts: string[] = [];
  for (let length = 0; length < nCharacters; length += parts.at(-1)?.length ?? 0) {
    // Zipf's law: the logarithm of the rank is even.
    const word = words[Math.floor(words.length ** (random(1000) / 1000)) - 1];
    const end = random(12);
    parts.push(word + (end === 0 ? ".\n" : end === 1 ? ", " : end === 2 ? ` ${random(3000)} ` : " "));
  }
  return parts.join("").slice(0, nCharacters);
}

/** As much of the package's interface as is used; its types are there only where it is installed. */
interface NativeTokenizer {
  encode(text: string, pair: null, options: object): Promise<{ getIds(): number[] }>;
}

async function importPeer(): Promise<{ fromString(json: string): NativeTokenizer }> {
  const module = new URL("./peers/node_modules/tokenizers/index.js", import.meta.url);
  return (await import(module.href)).default.Tokenizer;
}
