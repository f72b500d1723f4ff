/**
 * Reads damaged files, for as long as asked:
 *
 *   npm run fuzz -- [--cases 20000] [--minutes m] [--seed n] [--target gguf|safetensors|tokenizer|all] [--out folder]
 *
 * Case i of a run is drawn from seed + i alone. Stops at the first case that a reader neither opens nor refuses, or that takes
 * too long or too much memory; writes its files to the folder, and prints the seed that repeats it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import fc from "fast-check";
import type { Files } from "../test/fuzz/sound.ts";
import { type Target, targets } from "../test/fuzz/targets.ts";

/** Of one case, whose files have less than 200 kB, and of the process. */
const MAX_CASE_MS = 20_000;
const MAX_PEAK_MB = 1024;

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    minutes: { type: "string" },
    seed: { type: "string" },
    target: { type: "string", default: "all" },
    out: { type: "string", default: join(tmpdir(), "golgi-fuzz") },
  },
});

const seed = values.seed === undefined ? Date.now() % 2 ** 31 : readNumber("seed", values.seed);
const minutes = values.minutes === undefined ? Number.POSITIVE_INFINITY : readNumber("minutes", values.minutes);
const nDefaultCases = values.minutes === undefined ? 20_000 : Number.POSITIVE_INFINITY;
const nCases = values.cases === undefined ? nDefaultCases : readNumber("cases", values.cases);
const chosen = targets.filter(({ name }) => values.target === "all" || values.target === name);
if (chosen.length === 0) fail(`--target is all, ${targets.map(({ name }) => name).join(" or ")}; got ${values.target}`);

for (const target of chosen) await fuzz(target);

async function fuzz(target: Target): Promise<void> {
  const nOutcomes = new Map<string, number>();
  const startMs = performance.now();
  const endMs = startMs + (minutes * 60_000) / chosen.length;
  let slowest = { ms: 0, seed };
  let i = 0;
  for (; i < nCases && performance.now() < endMs; i++) {
    const [files] = fc.sample(target.cases, { numRuns: 1, seed: seed + i });
    const caseMs = performance.now();
    const outcome = await target.run(files).catch((error) => report(target, seed + i, files, error));
    const ms = performance.now() - caseMs;
    if (ms > slowest.ms) slowest = { ms, seed: seed + i };
    if (ms > MAX_CASE_MS || peakMb() > MAX_PEAK_MB) {
      report(
        target,
        seed + i,
        files,
        `This case took ${ms.toFixed(0)} ms; memory has peaked at ${peakMb().toFixed(0)} MB.`,
      );
    }
    nOutcomes.set(outcome, (nOutcomes.get(outcome) ?? 0) + 1);
  }
  const perSecond = i / ((performance.now() - startMs) / 1000);
  console.log(`${target.name}: ${i} cases from seed ${seed} on, ${perSecond.toFixed(0)} cases/s`);
  for (const [outcome, n] of [...nOutcomes].sort((a, b) => b[1] - a[1]))
    console.log(`${String(n).padStart(9)} ${outcome}`);
  console.log(
    `  slowest case: ${slowest.ms.toFixed(0)} ms (seed ${slowest.seed}); peak memory: ${peakMb().toFixed(0)} MB`,
  );
}

function peakMb(): number {
  return process.resourceUsage().maxRSS / 1024;
}

function report(target: Target, caseSeed: number, files: Files, error: unknown): never {
  const folder = join(values.out, `${target.name}-${caseSeed}`);
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  console.error(error);
  fail(`Written to ${folder}. To repeat it: npm run fuzz -- --target ${target.name} --seed ${caseSeed} --cases 1`);
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  return number >= 0 && text !== "" ? number : fail(`--${name} is a number; got ${text}`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
