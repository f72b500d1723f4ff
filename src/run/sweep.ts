import { alignEdits, type Edit } from "../glass/edit.ts";
import type { Read } from "../glass/plan.ts";
import type { EditList } from "./edit-list.ts";
import { inSequence } from "./edit-list.ts";
import type { Append, Executor } from "./executor.ts";
import type { AppendOptions, LogitRows } from "./options.ts";
import type { Progress } from "./progress.ts";
import type { Run } from "./result.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SweepOptions extends AppendOptions {
  readonly onProgress?: (progress: Progress) => void;
}

/** What a sweep asks of each of its runs. */
interface SweepRequest {
  readonly logits: LogitRows;
  readonly reads: readonly Read[];
  readonly signal: AbortSignal | undefined;
  /** Told after each step how many runs are done. */
  progress(nDone: number): void;
}

/** Most rows of one step: more would only need more memory. */
const ROWS_PER_STEP = 512;

/**
 * Runs one text under many lists of edits, many in each step: weights are read once a step, one program serves all, and
 * what precedes a list's first edited position is computed once and shared. Runs come in the order of the lists; each
 * has the rows from its first edited position on.
 */
export async function* sweep(
  tokens: readonly number[],
  lists: readonly EditList[],
  { logits, reads, signal, progress }: SweepRequest,
  { executor, scheduler }: { readonly executor: Executor; readonly scheduler: Scheduler },
): AsyncGenerator<Run, void, undefined> {
  const edits: Edit[][] = [];
  for (const list of lists) {
    edits.push((await list.resolve()).map((edit) => inSequence(edit, tokens.length, Number.POSITIVE_INFINITY)));
  }
  const starts = edits.map((list) => Math.min(tokens.length - 1, ...list.map(firstPosition)));
  const { slots, aligned } = alignEdits(edits);
  const isGenerated = (): boolean => false;
  const base = executor.newSequence(tokens.length);
  try {
    const shared = tokens.slice(0, Math.max(...starts));
    if (shared.length > 0) {
      const append = { sequence: base, tokens: shared, edits: [], isGenerated };
      await scheduler.step([append], { logits: "none", reads: [], edits: NONE, keepsState: true }, signal);
    }
    const request = { logits, reads, edits: slots, keepsState: false };
    for (let from = 0, to = 0; from < lists.length; from = to) {
      let nRows = 0;
      while (to < lists.length && (to === from || nRows + tokens.length - starts[to] <= ROWS_PER_STEP)) {
        nRows += tokens.length - starts[to++];
      }
      const appends: Append[] = [];
      try {
        for (let i = from; i < to; i++) {
          const sequence = base.fork();
          sequence.truncate(starts[i]);
          appends.push({ sequence, tokens: tokens.slice(starts[i]), edits: aligned[i], isGenerated });
        }
        const run = await scheduler.step(appends, request, signal);
        progress(to);
        for (let i = 0; i < to - from; i++) yield run.part(i, 1);
      } finally {
        for (const { sequence } of appends) sequence.release();
      }
    }
  } finally {
    base.release();
  }
}

const NONE = alignEdits([]).slots;

/** Of a sequence without generated tokens. */
function firstPosition({ positions }: Edit): number {
  if (typeof positions === "string") return 0;
  return typeof positions === "number" ? positions : positions[0];
}
