import type { Op } from "../tape/op.ts";
import * as ops from "./index.ts";

/** The definitions of all ops, in alphabetical order of their names. */
export const OPS: readonly Op[] = Object.values(ops)
  .map(({ op }) => op)
  .sort((a, b) => (a.name < b.name ? -1 : 1));
