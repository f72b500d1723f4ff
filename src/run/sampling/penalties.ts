import type { Candidates } from "./candidates.ts";
import type { SamplingOptions } from "./options.ts";

/** What makes tokens that came before less probable, and the memory of them. */
export class Penalties {
  readonly #repetition: number;
  readonly #frequency: number;
  readonly #presence: number;
  readonly #window: number;
  /** All tokens, the prompt's first. */
  readonly #tokens: number[] = [];
  /** How often each token stands within the window. */
  readonly #seen = new Map<number, number>();
  readonly #generated = new Map<number, number>();

  constructor(options: SamplingOptions, prompt: readonly number[]) {
    this.#repetition = options.repetitionPenalty ?? 1;
    this.#frequency = options.frequencyPenalty ?? 0;
    this.#presence = options.presencePenalty ?? 0;
    this.#window = options.repetitionWindow ?? Number.POSITIVE_INFINITY;
    for (const token of prompt) this.#see(token);
  }

  /** Remembers a generated token. */
  push(token: number): void {
    this.#see(token);
    this.#generated.set(token, (this.#generated.get(token) ?? 0) + 1);
  }

  /** Each token seen once: l > 0 ? l / r : l · r; then each generated one n times: l − n · frequency − presence. */
  apply(candidates: Candidates): void {
    const { logits } = candidates;
    for (const token of this.#repetition === 1 ? [] : this.#seen.keys()) {
      const i = candidates.indexOf(token);
      if (i >= 0) logits[i] = logits[i] > 0 ? logits[i] / this.#repetition : logits[i] * this.#repetition;
    }
    for (const [token, n] of this.#generated) {
      const i = candidates.indexOf(token);
      if (i >= 0) logits[i] -= n * this.#frequency + this.#presence;
    }
  }

  #see(token: number): void {
    this.#tokens.push(token);
    this.#seen.set(token, (this.#seen.get(token) ?? 0) + 1);
    if (this.#tokens.length <= this.#window) return;
    const oldest = this.#tokens[this.#tokens.length - 1 - this.#window];
    const n = this.#seen.get(oldest) ?? 0;
    if (n > 1) this.#seen.set(oldest, n - 1);
    else this.#seen.delete(oldest);
  }
}
