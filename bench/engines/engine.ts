/** What is measured of an engine. Each runs in a process of its own (worker.ts), so that its memory can be told. */
export interface EngineSettings {
  readonly engine: EngineName;
  /** A file or folder that `ensureModel` wrote. */
  readonly modelPath: string;
  readonly vocabSize: number;
  readonly threads: number;
  /** Most tokens of one sequence. */
  readonly contextLength: number;
}

export type EngineName = "golgi" | "golgi reference" | "llama.cpp";

export interface MeasuredEngine {
  /** Opens the model and gives the logits of a prompt of one token; what comes before is not part of loading. */
  load(): Promise<LoadResult>;
  /** Runs a prompt and gives its last token's logits. In milliseconds. */
  prefill(tokens: readonly number[]): Promise<number>;
  /** Continues a prompt greedily; the milliseconds of each token but the first, which belongs to the prompt. */
  decode(prompt: readonly number[], nTokens: number): Promise<number[]>;
  /** Milliseconds of the same steps with and without reads; golgi alone has it. */
  glass?(request: GlassRequest): Promise<GlassResult>;
  close(): Promise<void>;
}

export interface LoadResult {
  readonly loadMs: number;
  /** Where the engine knows: the work of one token at each end of the context. */
  readonly perToken?: readonly { readonly nCached: number; readonly flops: number; readonly weightElements: number }[];
}

export interface GlassRequest {
  /** Tokens already there before the first measured step. */
  readonly nCached: number;
  /** Positions to measure at, each three times: plain, with reads, plain once more. */
  readonly nSteps: number;
}

export interface GlassResult {
  readonly points: number;
  /** Values that one step hands out, and their bytes. */
  readonly values: number;
  readonly sizeBytes: number;
  readonly steps: readonly GlassStep[];
}

/** One position, in milliseconds; `again` repeats `plain` and tells what this machine can resolve. */
export interface GlassStep {
  readonly plain: number;
  readonly reads: number;
  readonly again: number;
}

/** Spread over the vocabulary, the same in every run. */
export function promptTokens(nTokens: number, vocabSize: number): number[] {
  return Array.from({ length: nTokens }, (_, i) => (i * 7919 + 13) % vocabSize);
}
