import { RequestError } from "../errors.ts";
import { alignEdits, type Edit } from "../glass/edit.ts";
import type { EditPositions } from "../glass/edit-spec.ts";
import { type EditList, inSequence } from "./edit-list.ts";
import type { Executor } from "./executor.ts";
import type { AppendOptions } from "./options.ts";
import type { Progress } from "./progress.ts";
import type { Run } from "./result.ts";
import type { Scheduler } from "./scheduler.ts";
import { type SweepRequest, SweptText, type Variant } from "./swept-text.ts";

export interface SweepOptions extends AppendOptions {
  /** Applies each list at each of these positions in turn; where its edits say themselves where undefined. */
  readonly positions?: readonly EditPositions[];
  readonly onProgress?: (progress: Progress) => void;
}

/** A variant that may leave what is asked for as it is. */
interface SweptVariant extends Variant {
  readonly isIdle: boolean;
}

/** Most rows of one step: more would only need more memory. */
const ROWS_PER_STEP = 512;

/**
 * Runs one text under many lists of edits, many in each step: weights are read once a step, one program serves all, and
 * what precedes the first edited position is computed once and shared. Runs come list by list, position by position; each
 * has the rows from its first edited position on. Where only the last logits are asked for, edits that cannot
 * reach them share one run without edits. `progress` is told after each step how many runs are done.
 */
export async function* sweep(
  tokens: readonly number[],
  lists: readonly EditList[],
  positions: readonly EditPositions[] | undefined,
  request: SweepRequest,
  progress: (nDone: number) => void,
  runtime: { readonly executor: Executor; readonly scheduler: Scheduler },
): AsyncGenerator<Run, void, undefined> {
  const resolved = await Promise.all(lists.map((list) => list.resolve()));
  const { slots, aligned } = alignEdits(resolved);
  const onlyLast = request.logits === "last" && request.reads.length === 0;
  const variants = aligned.flatMap((list) =>
    (positions ?? [undefined]).map((place): SweptVariant => {
      const edits = list.map(
        (edit) => edit && inSequence(placed(edit, place), tokens.length, Number.POSITIVE_INFINITY),
      );
      const own = edits.filter((edit) => edit !== undefined);
      const isIdle = onlyLast && own.every((edit) => cannotReach(edit, tokens.length, runtime.executor));
      // An idle one is the last row without edits, before which everything is shared.
      const starts = isIdle ? [] : own.map(firstPosition);
      return { edits, start: Math.min(tokens.length - 1, ...starts), isIdle };
    }),
  );
  const text = new SweptText(tokens, slots, request, runtime);
  try {
    await text.runShared(Math.max(0, ...variants.map(({ start }) => start)));
    const unedited = variants.some(({ isIdle }) => isIdle) ? await text.runUnedited() : undefined;
    let nDone = 0;
    for (const step of stepsOf(variants, tokens.length)) {
      const live = step.filter(({ isIdle }) => !isIdle);
      const run = live.length > 0 ? await text.run(live) : undefined;
      nDone += step.length;
      progress(nDone);
      let part = 0;
      for (const { isIdle } of step) yield isIdle ? (unedited as Run) : (run as Run).part(part++, 1);
    }
  } finally {
    text.release();
  }
}

function placed(edit: Edit, place: EditPositions | undefined): Edit {
  if (place === undefined) return edit;
  if (edit.positions === "all") return { ...edit, positions: place };
  throw new RequestError("request.option", {
    path: `sweep: ${edit.text}`,
    expected: "positions stand in the edits or in the option positions",
    got: "both",
    remedy: "Leave one of the two out.",
  });
}

/** Consecutive variants; those of one step that are not idle have `ROWS_PER_STEP` rows at most, or are one. */
function stepsOf(variants: readonly SweptVariant[], nTokens: number): SweptVariant[][] {
  const steps: SweptVariant[][] = [];
  let [step, nRows]: [SweptVariant[], number] = [[], 0];
  for (const variant of variants) {
    const more = variant.isIdle ? 0 : nTokens - variant.start;
    if (nRows > 0 && nRows + more > ROWS_PER_STEP) {
      steps.push(step);
      [step, nRows] = [[], 0];
    }
    step.push(variant);
    nRows += more;
  }
  return step.length > 0 ? [...steps, step] : steps;
}

/** Whether an edit leaves the last row's logits as they are: it is at other rows, which no row after it sees. */
function cannotReach({ entry, form, positions }: Edit, nTokens: number, executor: Executor): boolean {
  const isElsewhere = typeof positions === "object" && positions[1] < nTokens;
  return isElsewhere && form.on !== "call" && !executor.isSeenByOthers(entry.name);
}

/** Of a sequence without generated tokens. */
function firstPosition({ positions }: Edit): number {
  if (typeof positions === "string") return 0;
  return typeof positions === "number" ? positions : positions[0];
}
