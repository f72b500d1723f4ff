import type { Counterpart } from "./golden-keys.ts";

/** Of families whose layers have experts. */
export const SPARSE_FAMILIES: Readonly<Record<string, Counterpart>> = {};
