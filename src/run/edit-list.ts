import { PointError } from "../errors.ts";
import { alignEdits, type Edit, type EditSlots } from "../glass/edit.ts";
import type { EditSpec } from "../glass/edit-spec.ts";
import { formatEdit, readEdit } from "../glass/edit-text.ts";
import { type AddressedEdit, addressEdit, type EditFiles, resolveEdit } from "../glass/resolve-edits.ts";
import type { PointCatalog } from "../points/catalog.ts";
import { resolvePositions } from "../points/read-spec.ts";
import type { EditCount } from "./step-result.ts";

/** The edits of a run or a session: what is wrong with them shows at once; files that they name are read when they run. */
export class EditList {
  readonly #addressed: readonly AddressedEdit[];
  readonly #files: EditFiles;
  #resolved: Promise<readonly Edit[]> | undefined;
  #slots: EditSlots | undefined;

  /** `catalog` is worked out only where there are edits. @throws PointError */
  constructor(specs: readonly EditSpec[], catalog: () => PointCatalog, files: EditFiles) {
    this.#files = files;
    this.#addressed = specs.flatMap((spec) => {
      const edit = readEdit(spec);
      return addressEdit(edit, formatEdit(edit), catalog());
    });
  }

  get isEmpty(): boolean {
    return this.#addressed.length === 0;
  }

  resolve(): Promise<readonly Edit[]> {
    this.#resolved ??= Promise.all(this.#addressed.map((edit) => resolveEdit(edit, this.#files)));
    return this.#resolved;
  }

  /** As the edits of a sequence that grows: positions count from its beginning. */
  async growing(): Promise<{ readonly edits: readonly Edit[]; readonly slots: EditSlots }> {
    const edits = await this.resolve();
    // The same object each time, so that steps of one session are quick to compare.
    this.#slots ??= alignEdits([edits]).slots;
    return { edits, slots: this.#slots };
  }

  /** Refuses a text at its end that has not reached the positions of an edit. @throws PointError */
  checkApplied(counts: readonly EditCount[], length: number): void {
    for (const { text, positions } of this.#addressed) {
      const { nRows = 0, nNotChosen = 0 } = counts.find(({ edit }) => edit === text) ?? {};
      // An expert that no token at the positions chose is no mistake, which the counts say.
      if (nRows + nNotChosen > 0 || typeof positions === "string") continue;
      throw neverApplied(
        text,
        `a text of ${length} tokens that were run`,
        "Generate more tokens, or edit earlier ones.",
      );
    }
  }

  /** Refuses what only a finished text can have: positions from its end. @throws PointError */
  checkGrowing(): void {
    for (const { text, positions } of this.#addressed) {
      const numbers = typeof positions === "string" ? [] : [positions].flat();
      if (numbers.every((position) => position >= 0)) continue;
      throw new PointError("point.positions", {
        path: text,
        expected: "positions of a text that still grows count from its beginning",
        got: JSON.stringify(positions),
        remedy: 'Count from 0, or use "prompt" or "generated".',
      });
    }
  }
}

/** The edit for one finished sequence: with positions that count from 0, of which there must be some. @throws PointError */
export function inSequence(edit: Edit, length: number, generatedFrom: number): Edit {
  const { positions, text } = edit;
  if (typeof positions !== "string") {
    const [from, to] = resolvePositions(positions, 0, length, text);
    if (from === to) throw neverApplied(text, `positions ${from} to ${to}`, "Give a range that is not empty.");
    return { ...edit, positions: [from, to] };
  }
  if (positions === "generated" && generatedFrom >= length) {
    const remedy = "Use generate, or say with generatedFrom where the prompt ends.";
    throw neverApplied(text, "a text without generated tokens", remedy);
  }
  if (positions === "prompt" && generatedFrom === 0) {
    throw neverApplied(text, "a text without a prompt", "generatedFrom is 0.");
  }
  return edit;
}

function neverApplied(path: string, got: string, remedy: string): PointError {
  return new PointError("point.firings", { path, expected: "an edit changes at least one row", got, remedy });
}
