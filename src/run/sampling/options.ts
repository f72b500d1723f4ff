import { RequestError, suggest } from "../../errors.ts";

export const STAGES = ["penalties", "temperature", "topK", "topP", "minP", "typicalP"] as const;

/** A step from the model's logits to the distribution that a token is drawn from. */
export type SamplingStage = (typeof STAGES)[number];

/** The orders of transformers (`_get_logits_processor`) and of llama.cpp (`common_params_sampling::samplers`). */
export const ORDERS = {
  huggingface: ["penalties", "temperature", "topK", "topP", "minP", "typicalP"],
  "llama.cpp": ["penalties", "topK", "typicalP", "topP", "minP", "temperature"],
} as const satisfies Record<string, readonly SamplingStage[]>;

/** How a token is chosen from logits. What is left out does nothing; without any option the most probable is taken. */
export interface SamplingOptions {
  /** 0, the default, takes the most probable token (ties to the lowest id); above 0 a token is drawn from logits / T. */
  readonly temperature?: number;
  /** Keeps this many of the most probable tokens; of equally probable ones those of the lowest ids. */
  readonly topK?: number;
  /** Keeps the fewest of the most probable tokens that together reach this probability (arXiv:1904.09751). */
  readonly topP?: number;
  /** Keeps tokens whose probability is at least this share of the most probable token's (arXiv:2407.01082). */
  readonly minP?: number;
  /** As topP, but beginning with tokens whose −log p is nearest to the entropy (arXiv:2202.00666). */
  readonly typicalP?: number;
  /** Logits of tokens that came before, in the prompt too, are divided by it, negative ones multiplied (arXiv:1909.05858). */
  readonly repetitionPenalty?: number;
  /** How many of the last tokens `repetitionPenalty` looks at; all where undefined, 64 by default in llama.cpp. */
  readonly repetitionWindow?: number;
  /**
   * Subtracted from a token's logit once for each time that it was generated. The prompt does not count, as in
   * OpenAI's API and unlike llama.cpp. Below 0 it favours repetition.
   */
  readonly frequencyPenalty?: number;
  /** Subtracted once from the logit of each token that was generated; counted as `frequencyPenalty`. */
  readonly presencePenalty?: number;
  /** By token id, what is added to a logit before anything else; −Infinity bans the token. */
  readonly logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number>;
  /** A preset, "huggingface" unless given, or each stage whose option is given, in the order in which they apply. */
  readonly order?: keyof typeof ORDERS | readonly SamplingStage[];
  /** An unsigned 32-bit integer that makes drawing repeatable; each token takes one number of its generator. */
  readonly seed?: number;
  /** How many of the most probable tokens to list with each choice, under the model itself at temperature 1. */
  readonly logprobs?: number;
}

interface NumberOption {
  readonly expected: string;
  readonly isValid: (x: number) => boolean;
  /** The value at which the option does nothing. */
  readonly neutral?: number;
  readonly remedy?: string;
}

const POSITIVE_INTEGER = { expected: "a positive integer", isValid: (x: number) => Number.isInteger(x) && x > 0 };
const FINITE = { expected: "a finite number", isValid: Number.isFinite, neutral: 0 };
const SHARE = { expected: "above 0 and at most 1", isValid: (x: number) => x > 0 && x <= 1, neutral: 1 };

const NUMBERS = {
  temperature: { expected: "a number from 0 up", isValid: (x) => x >= 0 && Number.isFinite(x) },
  topK: { ...POSITIVE_INTEGER, remedy: "Leave it out to keep every token." },
  topP: SHARE,
  minP: { expected: "from 0 to 1", isValid: (x) => x >= 0 && x <= 1, neutral: 0 },
  typicalP: SHARE,
  repetitionPenalty: { expected: "a number above 0", isValid: (x) => x > 0 && Number.isFinite(x), neutral: 1 },
  repetitionWindow: POSITIVE_INTEGER,
  frequencyPenalty: FINITE,
  presencePenalty: FINITE,
  seed: { expected: "an integer from 0 to 2^32 − 1", isValid: (x) => Number.isInteger(x) && x >= 0 && x < 2 ** 32 },
  logprobs: POSITIVE_INTEGER,
} as const satisfies Record<string, NumberOption>;

type NumberName = keyof typeof NUMBERS;

/** Names of all sampling options. */
export const SAMPLING_OPTIONS: readonly string[] = [...Object.keys(NUMBERS), "logitBias", "order"];

const OPTIONS_OF = {
  penalties: ["repetitionPenalty", "frequencyPenalty", "presencePenalty"],
  temperature: ["temperature"],
  topK: ["topK"],
  topP: ["topP"],
  minP: ["minP"],
  typicalP: ["typicalP"],
} as const satisfies Record<SamplingStage, readonly NumberName[]>;

/** Refuses options that are out of range, or that could have no effect. */
export function checkSampling(options: SamplingOptions): void {
  for (const name of Object.keys(NUMBERS) as NumberName[]) {
    const { expected, isValid, remedy }: NumberOption = NUMBERS[name];
    const value: unknown = options[name];
    if (value === undefined || (typeof value === "number" && isValid(value))) continue;
    throw optionError(name, `must be ${expected}`, `${value}`, remedy);
  }
  if (options.repetitionWindow !== undefined && options.repetitionPenalty === undefined) {
    throw optionError("repetitionWindow", "needs a repetitionPenalty", "none");
  }
  if (!isDrawn(options)) {
    const idle = (["topK", "topP", "minP", "typicalP"] as const).find((name) => changesAnything(options, name));
    const remedy = `Give a temperature, or leave out ${idle}.`;
    if (idle !== undefined) throw optionError(idle, "needs a temperature above 0, where tokens are drawn", "0", remedy);
  }
  checkOrder(options);
  biases(options);
}

/** The stages that change anything, in the order in which they apply. */
export function activeStages(options: SamplingOptions): SamplingStage[] {
  const { order = "huggingface" } = options;
  const stages: readonly SamplingStage[] = typeof order === "string" ? ORDERS[order] : order;
  return stages.filter((stage) =>
    stage === "temperature" ? isDrawn(options) : OPTIONS_OF[stage].some((name) => changesAnything(options, name)),
  );
}

/** Whether tokens are drawn rather than taken. */
export function isDrawn({ temperature = 0 }: SamplingOptions): boolean {
  return temperature > 0;
}

/** Token ids and what is added to their logits. */
export function biases({ logitBias = {} }: SamplingOptions): [token: number, bias: number][] {
  const expected = "must map token ids to numbers or −Infinity";
  if (typeof logitBias !== "object" || logitBias === null || Array.isArray(logitBias)) {
    throw optionError("logitBias", expected, JSON.stringify(logitBias));
  }
  const entries: [unknown, unknown][] = logitBias instanceof Map ? [...logitBias] : Object.entries(logitBias);
  return entries.map(([key, bias]) => {
    const token = typeof key === "string" && /^\d+$/.test(key) ? Number(key) : key;
    if (isTokenId(token) && typeof bias === "number" && bias < Number.POSITIVE_INFINITY) return [token, bias];
    throw optionError("logitBias", expected, `${key}: ${bias}`);
  });
}

export function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}

/** Refuses tokens that no choice could ever be, since the model does not have them. */
export function checkVocabulary(path: string, tokens: Iterable<number>, vocabSize: number): void {
  for (const token of tokens) {
    if (token < vocabSize) continue;
    throw optionError(path, `token ids are integers from 0 to ${vocabSize - 1}`, `${token}`);
  }
}

export function optionError(path: string, expected: string, got: string, remedy?: string): RequestError {
  return new RequestError("request.option", { path, expected, got, remedy });
}

function changesAnything(options: SamplingOptions, name: NumberName): boolean {
  const { neutral }: NumberOption = NUMBERS[name];
  return options[name] !== undefined && options[name] !== neutral;
}

function checkOrder(options: SamplingOptions): void {
  const { order } = options;
  if (order === undefined || (typeof order === "string" && Object.hasOwn(ORDERS, order))) return;
  if (!Array.isArray(order)) {
    const presets = Object.keys(ORDERS);
    const remedy = typeof order === "string" ? suggest(order, presets) : undefined;
    throw optionError("order", `must be ${presets.join(", ")} or a list of stages`, JSON.stringify(order), remedy);
  }
  for (const [i, stage] of order.entries()) {
    if (!STAGES.includes(stage)) {
      throw optionError("order", "must list known stages", JSON.stringify(stage), suggest(`${stage}`, STAGES));
    }
    if (order.indexOf(stage) < i) throw optionError("order", "must list each stage once", `${stage} twice`);
    if (!isGiven(options, stage)) {
      throw optionError("order", "must list only stages whose option is given", `${stage} without ${needs(stage)}`);
    }
  }
  const missing = STAGES.find((stage) => isGiven(options, stage) && !order.includes(stage));
  if (missing === undefined) return;
  throw optionError(
    "order",
    "must list each stage whose option is given",
    `${JSON.stringify(order)}`,
    `Add ${missing}.`,
  );
}

function isGiven(options: SamplingOptions, stage: SamplingStage): boolean {
  return stage === "temperature" ? isDrawn(options) : OPTIONS_OF[stage].some((name) => options[name] !== undefined);
}

function needs(stage: SamplingStage): string {
  return stage === "temperature" ? "a temperature above 0" : OPTIONS_OF[stage].join(" or ");
}
