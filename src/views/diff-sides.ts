/** The two sides of a comparison: models of one shape that make the same tokens of a text. */

import type { ModelConfig, SparseConfig } from "../config/model-config.ts";
import { RequestError } from "../errors.ts";
import type { EditSpec } from "../glass/edit-spec.ts";
import type { Prompt } from "../run/chat.ts";
import { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";

/** A model as it is, or with edits. */
export type DiffSide = Model | { readonly model: Model; readonly edits?: readonly EditSpec[] };

const SIDE_KEYS = ["model", "edits"];

export function sideOf(path: string, side: DiffSide): { readonly model: Model; readonly edits: readonly EditSpec[] } {
  if (side instanceof Model) return { model: side, edits: [] };
  checkOptions(path, side, SIDE_KEYS);
  return { model: side.model, edits: side.edits ?? [] };
}

/** What must be equal for points to be compared element by element. */
const SIZES = ["nLayers", "dModel", "nHeads", "nKvHeads", "headDim", "vHeadDim", "dFf", "vocabSize"] as const;
const SPARSE_SIZES = ["nExperts", "nExpertsPerToken", "dExpert", "dShared"] as const;

/** The text's tokens, which must be the same for two models of one shape; `view` names the caller in errors. */
export function checkedTokens(view: string, a: Model, b: Model, text: Prompt): readonly number[] {
  const [sizesA, sizesB] = [sizesOf(a.config), sizesOf(b.config)];
  const size = Object.keys(sizesA).find((name) => sizesA[name] !== sizesB[name]);
  if (size !== undefined) {
    throw new RequestError("request.option", {
      path: `${view}: ${size}`,
      expected: "two models must have the same shape to be compared point by point",
      got: `${sizesA[size] ?? "none"} and ${sizesB[size] ?? "none"}`,
    });
  }
  const [ofA, ofB] = [a.encode(text), b.encode(text)];
  const at = ofA.findIndex((token, i) => token !== ofB[i]);
  if (at < 0 && ofA.length === ofB.length) return ofA;
  const position = at < 0 ? ofA.length : at;
  throw new RequestError("request.tokens", {
    path: `${view}: text`,
    expected: "both models must make the same tokens of the text",
    got: `${ofA.length} and ${ofB.length} tokens, of which the one at position ${position} is the first to differ`,
    remedy: "Give token ids instead.",
  });
}

function sizesOf(config: ModelConfig): Record<string, number | string | undefined> {
  const ofAll = SIZES.map((name) => [name, config[name]] as const);
  const { sparse } = config;
  const ofSparse = SPARSE_SIZES.map((name) => [name, sparse?.[name]] as const);
  return Object.fromEntries([...ofAll, ...ofSparse, ["sparse layers", sparse && layersOf(sparse)]]);
}

function layersOf({ layers }: SparseConfig): string {
  return layers.flatMap((isSparse, layer) => (isSparse ? [layer] : [])).join(" ");
}
