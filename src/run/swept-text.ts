import type { AlignedEdits, EditSlots } from "../glass/edit.ts";
import { NO_SLOTS } from "../glass/edit.ts";
import type { Read } from "../glass/plan.ts";
import type { Append, Executor } from "./executor.ts";
import type { Sequence } from "./kv-pages.ts";
import type { LogitRows } from "./options.ts";
import type { Run } from "./result.ts";
import type { Scheduler } from "./scheduler.ts";

/** What a sweep asks of each of its runs. */
export interface SweepRequest {
  readonly logits: LogitRows;
  readonly reads: readonly Read[];
  readonly signal: AbortSignal | undefined;
}

/** One way to edit the text. */
export interface Variant {
  readonly edits: AlignedEdits;
  /** First position that it edits; what comes before is shared. */
  readonly start: number;
}

/** A text whose beginnings are cached, to be continued under one variant or another. */
export class SweptText {
  readonly #tokens: readonly number[];
  readonly #slots: EditSlots;
  readonly #request: SweepRequest;
  readonly #scheduler: Scheduler;
  readonly #base: Sequence;

  constructor(
    tokens: readonly number[],
    slots: EditSlots,
    request: SweepRequest,
    { executor, scheduler }: { readonly executor: Executor; readonly scheduler: Scheduler },
  ) {
    this.#tokens = tokens;
    this.#slots = slots;
    this.#request = request;
    this.#scheduler = scheduler;
    this.#base = executor.newSequence(tokens.length);
  }

  /** Computes what comes before position `end`. */
  async runShared(end: number): Promise<void> {
    if (end === 0) return;
    const append = { sequence: this.#base, tokens: this.#tokens.slice(0, end), edits: [], isGenerated: () => false };
    const request = { logits: "none", reads: [], edits: NO_SLOTS, keepsState: true } as const;
    await this.#scheduler.step([append], request, this.#request.signal);
  }

  /** The rest of the text under each of some variants, in one step. */
  async run(variants: readonly Variant[]): Promise<Run> {
    const { logits, reads, signal } = this.#request;
    const appends: Append[] = [];
    try {
      for (const { edits, start } of variants) {
        const sequence = this.#base.fork();
        sequence.truncate(start);
        appends.push({ sequence, tokens: this.#tokens.slice(start), edits, isGenerated: () => false });
      }
      return await this.#scheduler.step(appends, { logits, reads, edits: this.#slots, keepsState: false }, signal);
    } finally {
      for (const { sequence } of appends) sequence.release();
    }
  }

  /** The last row without edits. */
  async runUnedited(): Promise<Run> {
    const edits = this.#slots.slots.map(() => undefined);
    return (await this.run([{ edits, start: this.#tokens.length - 1 }])).part(0, 1);
  }

  release(): void {
    this.#base.release();
  }
}
