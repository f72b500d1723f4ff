import type { Counterpart } from "./golden-keys.ts";

/** Of DeepSeek-V2 and V3. */
export const LATENT_FAMILIES: Readonly<Record<string, Counterpart>> = {};
