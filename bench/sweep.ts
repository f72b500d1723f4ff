/** What patching every head at every position costs as one sweep, beside a run of its own for each. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Model, open, type PatchMetric, patch } from "../node/index.ts";
import { UsageError } from "./options.ts";
import { median } from "./stats.ts";

const DEFAULT_MODEL = fileURLToPath(new URL("../models/stories260K", import.meta.url));
const N_TOKENS = 20;

/** Milliseconds of one round. */
interface Round {
  readonly sweep: number;
  readonly each: number;
}

export async function sweep(args: readonly string[]): Promise<void> {
  const { model: path, rounds: nRounds, json, backend } = readOptions(args);
  const model = await open(path, { backend });
  try {
    const clean = Array.from({ length: N_TOKENS }, (_, i) => (17 + 31 * i) % model.config.vocabSize);
    const corrupted = clean.with(Math.floor(N_TOKENS / 4), (clean[5] + 1) % model.config.vocabSize);
    // The first round is for compiling and warming up.
    const rounds: Round[] = [];
    for (let i = 0; i <= nRounds; i++) rounds.push(await measure(model, clean, corrupted));
    rounds.shift();
    const nPatches = model.config.nLayers * model.config.nHeads * N_TOKENS;
    console.log(json ? JSON.stringify({ path, backend: model.backend, nPatches, rounds }) : render(nPatches, rounds));
  } finally {
    await model.close();
  }
}

function readOptions(args: readonly string[]) {
  const value = { type: "string" } as const;
  try {
    const options = { model: value, rounds: value, backend: value, json: { type: "boolean" } } as const;
    const {
      model = DEFAULT_MODEL,
      rounds = "9",
      backend,
      json = false,
    } = parseArgs({ args: [...args], options }).values;
    if (!/^[1-9]\d{0,3}$/.test(rounds)) throw new Error(`--rounds must be a whole number from 1 on; got ${rounds}`);
    return { model, rounds: Number(rounds), backend, json };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

async function measure(model: Model, clean: readonly number[], corrupted: readonly number[]): Promise<Round> {
  const metric: PatchMetric = { answer: 1, wrong: 2 };
  const begun = performance.now();
  const { rows } = await patch(model, { clean, corrupted, points: ["L*.H*"], metric });
  const between = performance.now();
  const recorded = await model.run(clean, { read: ["blocks.*.attn.z"], logits: "last" });
  for (const { address, position, metric } of rows) {
    const edits = [{ at: address, positions: position as number, patch: recorded }];
    const { logits } = await model.run(corrupted, { logits: "last", edits });
    const difference = Math.abs(logits.at(0, 1) - logits.at(0, 2) - metric);
    if (!(difference < 1e-3)) throw new Error(`${address}@${position} differs by ${difference}`);
  }
  return { sweep: between - begun, each: performance.now() - between };
}

function render(nPatches: number, rounds: readonly Round[]): string {
  const [sweep, each] = [median(rounds.map((r) => r.sweep)), median(rounds.map((r) => r.each))];
  const ratios = rounds.map((r) => r.each / r.sweep).toSorted((a, b) => a - b);
  return [
    `${nPatches} patches of a text of ${N_TOKENS} tokens, median of ${rounds.length} rounds`,
    `one sweep          ${sweep.toFixed(1)} ms`,
    `a run for each     ${each.toFixed(1)} ms`,
    `the sweep is ${median(ratios).toFixed(2)} times as fast (${ratios[0].toFixed(2)} to ${(ratios.at(-1) ?? 0).toFixed(2)})`,
  ].join("\n");
}
