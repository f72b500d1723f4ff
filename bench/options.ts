import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { SHAPES, type ShapeName } from "./shapes.ts";
import { FORMATS, type FormatName } from "./write-model.ts";

export const HELP = `npm run bench                 how fast golgi is: loading, prompts, generation, memory; beside
                              llama.cpp (node-llama-cpp) and beside what this machine can do at all
npm run bench -- glass        what reading costs: every stored value of every layer, token by token
npm run bench -- ceilings     what this machine can do at all, and nothing else
npm run bench -- tokenize     a megabyte of text into tokens, beside the native package tokenizers;
                              it takes --tokenizer <tokenizer.json>, --text <file>, --rounds, --json
npm run bench -- sweep        patching every head at every position, as one sweep and one by one;
                              it takes --model <path>, --backend, --rounds, --json
npm run bench -- moe          what experts that no token chose cost: of a layer of DeepSeek-V3, and of
                              OLMoE beside a dense model of the same size (14 GB of files in q4_0);
                              it takes --part layer or model, --format q4_0, q8_0 or bf16, --rows <n,n>,
                              --decode, --threads, --rounds, --dir, --json, and --tiny to try it itself

  --model <name>      gpt2 or llama-1b (or tiny, to try the benchmark itself); both where not given
  --format <name>     of the weights: f32, bf16, f16, q8_0, q4_0 (GGUF, as llama.cpp reads it), or
                      safetensors-f32, safetensors-bf16 (golgi alone)
  --backend <name>    native, or reference (slow: the prompt is then of 8 tokens, the text of 4)
  --threads <n>       as many as this machine has cores where not given
  --rounds <n>        5; each round runs everything once, golgi and its peer in turn
  --prefill <n>       tokens of the prompt: 512
  --decode <n>        tokens that are generated: 64
  --minutes <n>       begin no further round once this time is nearly over: 7
  --quick             a first impression within a minute: gpt2 in q8_0, 3 rounds, shorter texts
  --no-peer           golgi alone
  --resume            take over finished rounds of an interrupted run (same commit, same options)
  --dir <folder>      where models and finished rounds are kept; default ${path.join(tmpdir(), "golgi-bench")}
                      (up to 5 GB each; delete it when you are done)
  --json              one JSON object with every single measurement
  --help`;

export interface BenchOptions {
  readonly command: "compare" | "glass" | "ceilings";
  readonly plan: readonly { readonly model: ShapeName; readonly format: FormatName }[];
  readonly backend: "native" | "reference";
  readonly threads: number | undefined;
  readonly rounds: number;
  readonly nPrefill: number;
  readonly nDecode: number;
  readonly minutes: number;
  readonly peer: boolean;
  readonly resume: boolean;
  readonly dir: string;
  readonly json: boolean;
}

/** A mistake in how the benchmark was called: its message is all that is printed. */
export class UsageError extends Error {}

/** What runs where nothing is chosen: as people have these models. */
const DEFAULT_FORMATS: Readonly<Record<ShapeName, readonly FormatName[]>> = {
  gpt2: ["f32", "q8_0"],
  "llama-1b": ["q8_0", "f16"],
  tiny: ["f32"],
};

/** Undefined where only help was asked for. */
export function parseOptions(args: readonly string[]): BenchOptions | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  const command = positionals[0] ?? "compare";
  if (command !== "compare" && command !== "glass" && command !== "ceilings") {
    throw new UsageError(`unknown benchmark ${command}; there are compare, glass, ceilings, tokenize, sweep and moe`);
  }
  if (positionals.length > 1) throw new UsageError(`one benchmark at a time; got ${positionals.join(", ")}`);
  refuseUnused(command, values);
  const { quick = false } = values;
  const backend = oneOf("--backend", values.backend ?? "native", ["native", "reference"] as const);
  const isSlow = backend === "reference";
  const rounds = quick ? 3 : isSlow && command === "compare" ? 1 : 5;
  return {
    command,
    plan: planOf(values.model, values.format, command === "glass" || quick || isSlow),
    backend,
    threads: count("--threads", values.threads),
    rounds: count("--rounds", values.rounds) ?? rounds,
    nPrefill: count("--prefill", values.prefill) ?? (isSlow ? 8 : quick ? 128 : 512),
    nDecode: count("--decode", values.decode) ?? (isSlow ? 4 : quick ? 32 : 64),
    minutes: count("--minutes", values.minutes) ?? (quick ? 1 : 7),
    peer: values.peer ?? true,
    resume: values.resume ?? false,
    dir: path.resolve(values.dir ?? path.join(tmpdir(), "golgi-bench")),
    json: values.json ?? false,
  };

  function planOf(model: string | undefined, format: string | undefined, isShort: boolean): BenchOptions["plan"] {
    const chosen = model === undefined ? undefined : oneOf("--model", model, Object.keys(SHAPES) as ShapeName[]);
    const only = format === undefined ? undefined : oneOf("--format", format, Object.keys(FORMATS) as FormatName[]);
    if (command === "glass") return [{ model: chosen ?? "gpt2", format: only ?? "f32" }];
    if (isShort && chosen === undefined) return [{ model: "gpt2", format: only ?? (isSlow ? "f32" : "q8_0") }];
    const models: readonly ShapeName[] = chosen === undefined ? ["gpt2", "llama-1b"] : [chosen];
    return models.flatMap((name) =>
      (only === undefined ? DEFAULT_FORMATS[name] : [only]).map((one) => ({ model: name, format: one })),
    );
  }
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      allowNegative: true,
      options: {
        model: text,
        format: text,
        backend: text,
        threads: text,
        rounds: text,
        prefill: text,
        decode: text,
        minutes: text,
        dir: text,
        quick: flag,
        peer: flag,
        resume: flag,
        json: flag,
        help: flag,
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** An option that would change nothing is a mistake. */
function refuseUnused(command: string, values: Readonly<Record<string, unknown>>): void {
  const unused: Readonly<Record<string, readonly string[]>> = {
    compare: [],
    glass: ["prefill", "minutes", "peer", "resume"],
    ceilings: ["model", "format", "backend", "prefill", "decode", "minutes", "peer", "resume", "dir"],
  };
  const idle = unused[command]?.find((name) => values[name] !== undefined);
  if (idle !== undefined) throw new UsageError(`--${idle} changes nothing in ${command}; leave it out`);
}

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 1_000_000) return value;
  throw new UsageError(`${name} must be a whole number from 1 on; got ${text}`);
}

function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new UsageError(`${name} must be ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}; got ${value}`);
}
