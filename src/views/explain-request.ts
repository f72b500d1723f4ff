import type { ViewOptions } from "./options.ts";

/** Where something is explained, and how much of it is listed. */
export interface ExplainRequest {
  readonly tokens: readonly number[];
  readonly position: number;
  readonly counts: {
    readonly nTerms: number;
    readonly nWriters: number;
    readonly nNeurons: number;
    readonly nTokens: number;
  };
  readonly run: ViewOptions;
}
