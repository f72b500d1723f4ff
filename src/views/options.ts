import { RequestError } from "../errors.ts";
import type { EditSpec } from "../glass/edit-spec.ts";
import type { Model } from "../run/model.ts";
import type { RunOptions } from "../run/options.ts";

/** What every view of a run takes, beside options of its own. */
export interface ViewOptions extends Pick<RunOptions, "generatedFrom" | "signal"> {
  readonly edits?: readonly EditSpec[];
}

export const VIEW_OPTIONS = ["edits", "generatedFrom", "signal"] satisfies (keyof ViewOptions)[];

/** Refuses what is not an integer of at least `min` and less than `end`. */
export function checkInteger(path: string, value: number, min: number, end: number = Number.POSITIVE_INFINITY): void {
  if (Number.isInteger(value) && value >= min && value < end) return;
  const expected = Number.isFinite(end)
    ? `must be an integer from ${min} to ${end - 1}`
    : `must be an integer from ${min} on`;
  throw new RequestError("request.option", { path, expected, got: `${value}` });
}

/** The indices asked for, each an integer below `size`; all where undefined. */
export function chosen(path: string, asked: readonly number[] | undefined, size: number): readonly number[] {
  if (asked === undefined) return Array.from({ length: size }, (_, i) => i);
  if (!Array.isArray(asked) || asked.length === 0) {
    const expected = "must be a list of at least one index";
    throw new RequestError("request.option", { path, expected, got: JSON.stringify(asked) });
  }
  for (const index of asked) checkInteger(path, index, 0, size);
  return [...new Set(asked)];
}

/** A position of a text of `nTokens`, from its end where it is negative, as one from its start. */
export function chosenPosition(path: string, position: number, nTokens: number): number {
  checkInteger(path, position, -nTokens, nTokens);
  return position < 0 ? position + nTokens : position;
}

/** One component of a layer, such as a neuron: its layer and its index there. */
export interface LayerComponent {
  readonly address: string;
  readonly layer: number;
  readonly index: number;
}

/** What an address names, which must be one piece of the point that the registry calls `row`, at no positions. */
export function chosenComponent(model: Model, view: string, address: string, row: string): LayerComponent {
  const { addresses, positions } = model.address(address);
  const [{ text, entry, index }] = addresses;
  if (addresses.length === 1 && entry.row.name === row && index.length === 1 && positions === undefined) {
    return { address: text, layer: entry.layer ?? 0, index: index[0] };
  }
  throw new RequestError("request.option", {
    path: `${view}: address`,
    expected: `must name one ${view} and no positions`,
    got: address,
    remedy: `Write it like L0.${view === "head" ? "H" : "N"}3.`,
  });
}

/** Refuses run options where there is no text to run, and what has been aborted before it began. */
export function checkWithoutText(view: string, { signal, ...options }: ViewOptions): void {
  const [unused] = Object.keys(options);
  if (unused !== undefined) {
    throw new RequestError("request.option", {
      path: `${view}: ${unused}`,
      expected: "the option needs a text to run",
      remedy: "Give one as { on: text }.",
    });
  }
  if (signal?.aborted) throw signal.reason;
}
