/** The backend under test: the whole suite runs on the reference, and what holds for every backend on each. */

import { type Model, type OpenOptions, open as openAny } from "../../node/index.ts";

export const backendName = process.env.GOLGI_BACKEND ?? "reference";

/** The specification itself, where sums do not depend on how rows are cut into steps. */
export const isReference = backendName === "reference";

/** Opens on the backend under test; float64 is the reference's alone. */
export function open(path: string, options: OpenOptions = {}): Promise<Model> {
  const backend = options.precision === "f64" ? "reference" : backendName;
  return openAny(path, { backend, ...options });
}
