/** What experts that no token chose cost: in one layer, and in a whole model beside a dense one of the same size. */
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { blockOf } from "../src/tensor/format.ts";
import { Ceilings } from "./ceilings.ts";
import type { MeasuredEngine } from "./engines/engine.ts";
import { openGolgi } from "./engines/golgi.ts";
import { describeMachine } from "./machine.ts";
import { Layer, type LayerKind } from "./moe-layer.ts";
import {
  type LayerResult,
  type LayerRound,
  type ModelsResult,
  type ModelsRound,
  renderLayer,
  renderModels,
} from "./moe-report.ts";
import {
  DEEPSEEK_V3_LAYER,
  denseTwinShape,
  type LayerSizes,
  layerShape,
  OLMOE,
  olmoeShape,
  TINY_LAYER,
  TINY_OLMOE,
} from "./moe-shapes.ts";
import { UsageError } from "./options.ts";
import { renderCeilings, renderMachine } from "./report.ts";
import type { ModelShape } from "./shapes.ts";
import { mean } from "./stats.ts";
import { ensureModel, FORMATS } from "./write-model.ts";

const MOE_FORMATS = ["q4_0", "q8_0", "bf16"] as const;
type MoeFormat = (typeof MOE_FORMATS)[number];

export interface MoeOptions {
  readonly parts: readonly ("layer" | "model")[];
  readonly format: MoeFormat;
  readonly isTiny: boolean;
  /** As many as this machine has cores where undefined. */
  readonly threads: number | undefined;
  readonly rounds: number;
  /** Numbers of rows of a layer's steps. */
  readonly rows: readonly number[];
  readonly nDecode: number;
  readonly dir: string;
  readonly json: boolean;
}

interface Bench {
  readonly options: MoeOptions;
  readonly ceilings: Ceilings;
  /** The path of a model of the chosen format. */
  ensure(name: string, shape: ModelShape): Promise<string>;
}

export async function moe(args: readonly string[], note: (text: string) => void): Promise<void> {
  const options = parseMoeOptions(args);
  const ceilings = new Ceilings(options.threads, availableParallelism());
  const machine = describeMachine(ceilings.isa);
  const print = (text: string): void => {
    if (!options.json) console.log(text);
  };
  const ensure = (name: string, shape: ModelShape): Promise<string> =>
    ensureModel(options.dir, options.isTiny ? `tiny-${name}` : name, shape, options.format, (file, sizeBytes) => {
      note(`writing ${file} (${(sizeBytes / 1e6).toFixed(0)} MB) ...`);
    });
  const bench = { options, ceilings, ensure };
  print(`${renderMachine(machine, ceilings.threads)}\n`);
  const layers: LayerResult[] = [];
  for (const nRows of options.parts.includes("layer") ? options.rows : []) {
    layers.push(await measureLayer(bench, nRows));
    print(`${renderLayer(layers.at(-1) as LayerResult)}\n`);
  }
  const models = options.parts.includes("model") ? await measureModels(bench) : undefined;
  if (models !== undefined) print(`${renderModels(models)}\n`);
  print(renderCeilings(ceilings.rows));
  if (options.json) console.log(JSON.stringify({ machine, options, ceilings: ceilings.rows, layers, models }));
}

/** @throws UsageError for what the benchmark does not take. */
export function parseMoeOptions(args: readonly string[]): MoeOptions {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const numbers = { threads: text, rounds: text, rows: text, decode: text };
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { part: text, format: text, ...numbers, dir: text, tiny: flag, json: flag },
    });
    const { part, threads, rounds = "5", rows = "1,64", decode = "32" } = values;
    const parts = part === undefined ? (["layer", "model"] as const) : [oneOf("--part", part, ["layer", "model"])];
    const idle = parts.length > 1 ? undefined : parts[0] === "layer" ? "decode" : "rows";
    if (idle !== undefined && values[idle] !== undefined) throw new Error(`--${idle} changes nothing in ${part}`);
    return {
      parts,
      format: oneOf("--format", values.format ?? "q4_0", MOE_FORMATS),
      isTiny: values.tiny ?? false,
      threads: threads === undefined ? undefined : count("--threads", threads),
      rounds: count("--rounds", rounds),
      rows: rows.split(",").map((n) => count("--rows", n)),
      nDecode: count("--decode", decode),
      dir: path.resolve(values.dir ?? path.join(tmpdir(), "golgi-bench")),
      json: values.json ?? false,
    };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new Error(`${name} must be ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}; got ${value}`);
}

function count(name: string, text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new Error(`${name} must be a whole number from 1 on; got ${text}`);
}

async function measureLayer({ options, ceilings, ensure }: Bench, nRows: number): Promise<LayerResult> {
  const { format, isTiny } = options;
  const sizes = isTiny ? TINY_LAYER : DEEPSEEK_V3_LAYER;
  const shape = layerShape(sizes);
  const layer = await Layer.open(await ensure("deepseek-v3-layer", shape), sizes, ceilings.threads);
  try {
    // From then on every weight is in memory.
    for (const kind of ["plain", "all", "routed"] as const) await layer.step(kind, 1);
    const rounds: LayerRound[] = [];
    for (let i = 0; i < options.rounds; i++) rounds.push(await layerRound(layer, sizes, nRows, ceilings, i));
    const { dModel, nExperts, dExpert, dShared } = sizes;
    const totalBytes = bytesOf(3 * dModel * (nExperts * dExpert + dShared), format);
    return { title: `${shape.title}, ${format}`, nRows, nExperts, totalBytes, rounds };
  } finally {
    await layer.close();
  }
}

async function layerRound(
  layer: Layer,
  { nExperts, dExpert, dShared }: LayerSizes,
  nRows: number,
  ceilings: Ceilings,
  index: number,
): Promise<LayerRound> {
  const ms = { routed: 0, all: 0, plain: 0 };
  let nDistinct = 0;
  // A routed step is over in moments; each of several has rows, and with them experts, of its own.
  const nSteps = { routed: Math.max(2, Math.ceil(16 / nRows)), all: 1, plain: 1 };
  const kinds: readonly LayerKind[] = index % 2 === 0 ? ["routed", "all", "plain"] : ["plain", "all", "routed"];
  const { ceiling } = await ceilings.beside("read", async () => {
    for (const kind of kinds) {
      const steps = [];
      for (let i = 0; i < nSteps[kind]; i++) steps.push(await layer.step(kind, nRows));
      ms[kind] = mean(steps.map((step) => step.ms));
      if (kind === "routed") nDistinct = mean(steps.map((step) => step.nDistinct));
    }
  });
  return { ms, nDistinct, share: (nDistinct * dExpert + dShared) / (nExperts * dExpert + dShared), ceiling };
}

async function measureModels({ options, ceilings, ensure }: Bench): Promise<ModelsResult> {
  const sizes = options.isTiny ? TINY_OLMOE : OLMOE;
  const shape = olmoeShape(sizes);
  const { vocabSize } = sizes;
  const contextLength = options.nDecode + 8;
  const opened: MeasuredEngine[] = [];
  const open = async (name: string, of: ModelShape): Promise<[engine: MeasuredEngine, bytes: number]> => {
    const modelPath = await ensure(name, of);
    const engine = await openGolgi({ engine: "golgi", modelPath, vocabSize, threads: ceilings.threads, contextLength });
    opened.push(engine);
    const [first] = (await engine.load()).perToken ?? [];
    return [engine, bytesOf(first?.weightElements ?? Number.NaN, options.format)];
  };
  try {
    const [sparse, sparseBytes] = await open("olmoe", shape);
    const [dense, denseBytes] = await open("olmoe-dense", denseTwinShape(sizes));
    const rounds: ModelsRound[] = [];
    for (let i = 0; i < options.rounds; i++)
      rounds.push(await modelsRound({ sparse, dense }, options.nDecode, ceilings, i));
    return { title: `${shape.title}, ${options.format}`, bytes: { sparse: sparseBytes, dense: denseBytes }, rounds };
  } finally {
    for (const engine of opened) await engine.close();
  }
}

async function modelsRound(
  engines: Readonly<Record<"sparse" | "dense", MeasuredEngine>>,
  nDecode: number,
  ceilings: Ceilings,
  index: number,
): Promise<ModelsRound> {
  const times: Record<"sparse" | "dense", number[]> = { sparse: [], dense: [] };
  const { ceiling } = await ceilings.beside("read", async () => {
    for (const kind of index % 2 === 0 ? (["sparse", "dense"] as const) : (["dense", "sparse"] as const)) {
      times[kind] = await engines[kind].decode([1, 2, 3], nDecode);
    }
  });
  return { ...times, ceiling };
}

/** Vectors aside, everything has the format's size. */
function bytesOf(nElements: number, format: MoeFormat): number {
  const block = blockOf(FORMATS[format].type);
  return (nElements * block.sizeBytes) / block.nElements;
}
