import type { Counterpart } from "./golden-keys.ts";

/** Of Gemma, Phi-3 and OLMo 2. */
export const DENSE_FAMILIES: Readonly<Record<string, Counterpart>> = {};
