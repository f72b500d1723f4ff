import { RequestError } from "../errors.ts";
import { add, mul } from "../ops/index.ts";
import type { Model, WeightScope } from "../run/model.ts";
import { constant, input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { quoteToken } from "./text/width.ts";
import { type ShownToken, showToken } from "./tokens.ts";

/** A token by its id, or by its whole text with its leading space: `" box"`. */
export type TokenSpec = number | string;

/** A number to take apart: a token's logit, the difference of two, or the stream along a direction [dModel]. */
export type Target =
  | TokenSpec
  | { readonly token: TokenSpec; readonly minus: TokenSpec }
  | readonly number[]
  | Float32Array
  | Float64Array;

/** What a target is in one model. */
export type Direction =
  | { readonly kind: "logit"; readonly token: ShownToken; readonly minus: ShownToken | undefined }
  | { readonly kind: "vector"; readonly vector: ArrayLike<number> };

/** @throws RequestError for what is no token of the model, and no vector of its width. */
export function resolveTarget(path: string, model: Model, target: Target): Direction {
  if (typeof target === "number" || typeof target === "string") {
    return { kind: "logit", token: showToken(model, tokenId(path, model, target)), minus: undefined };
  }
  if ("length" in target) return { kind: "vector", vector: checkedVector(path, target, model.config.dModel) };
  const { token, minus, ...others } = Object(target);
  if (token === undefined || minus === undefined || Object.keys(others).length > 0) {
    throw new RequestError("request.option", {
      path,
      expected: "must be a token, { token, minus } or a direction in the residual stream",
      got: JSON.stringify(target),
    });
  }
  const [shown, taken] = [token, minus].map((one) => showToken(model, tokenId(path, model, one)));
  return { kind: "logit", token: shown, minus: taken };
}

/** The id of a token of the model's vocabulary. */
export function tokenId(path: string, model: Model, token: TokenSpec): number {
  const { vocabSize } = model.config;
  if (typeof token === "string") return idOfText(path, model, token);
  if (Number.isInteger(token) && token >= 0 && token < vocabSize) return token;
  throw new RequestError("request.option", {
    path,
    expected: `a token's id is an integer from 0 to ${vocabSize - 1}`,
    got: `${token}`,
  });
}

function idOfText(path: string, { tokenizer, config }: Model, text: string): number {
  const encoded = tokenizer.encode(text, { addSpecialTokens: false });
  // Encoding may put a space before the text, so what it gives need not be the token that reads so.
  const id = encoded.length === 1 && tokenizer.text(encoded[0]) === text ? encoded[0] : tokenizer.idOf(text);
  if (id !== undefined && id < config.vocabSize) return id;
  const pieces = encoded.map((id) => `${quoteToken(tokenizer.text(id))} ${id}`).join(", ");
  throw new RequestError("request.option", {
    path,
    expected: "a text names one whole token, leading space included",
    got: `${JSON.stringify(text)}, which encodes as ${pieces === "" ? "nothing" : pieces}`,
    remedy: "Give one of these tokens, or a token's id.",
  });
}

function checkedVector(path: string, vector: ArrayLike<number>, size: number): ArrayLike<number> {
  if (vector.length === size && Array.from(vector).every(Number.isFinite)) return vector;
  throw new RequestError("request.option", {
    path,
    expected: `a direction in the residual stream has ${size} finite numbers, the model's width`,
    got: `${vector.length} numbers`,
  });
}

/** How a direction's number reads. */
export function directionLabel(direction: Direction): string {
  if (direction.kind === "vector") return "the direction";
  const { token, minus } = direction;
  const logit = `logit of ${quoteToken(token.text)}`;
  return minus === undefined ? logit : `${logit} minus that of ${quoteToken(minus.text)}`;
}

/** The inputs that `buildDirection` declares. */
export function directionInputs(direction: Direction): {
  readonly ints: Readonly<Record<string, Int32Array>>;
  readonly floats: Readonly<Record<string, ArrayLike<number>>>;
} {
  if (direction.kind === "vector") return { ints: {}, floats: { direction: direction.vector } };
  const { token, minus } = direction;
  const ints = { token: Int32Array.of(token.token) };
  return { ints: minus === undefined ? ints : { ...ints, minus: Int32Array.of(minus.token) }, floats: {} };
}

/** The direction [1, dModel] that makes the number, times the final norm's divisor for logits, and that norm's bias [1]. */
export function buildDirection(
  { logitDirections }: WeightScope,
  direction: Direction,
  dModel: number,
): { readonly direction: Value; readonly bias: Value | undefined } {
  if (direction.kind === "vector") return { direction: input("direction", "float", [1, dModel]), bias: undefined };
  const token = logitDirections(input("token", "int", [1]));
  if (direction.minus === undefined) return { direction: token.directions, bias: token.biases };
  const minus = logitDirections(input("minus", "int", [1]));
  const difference = (a: Value, b: Value): Value => add(a, mul(b, constant("−1", Float64Array.of(-1), [])));
  const bias = token.biases && minus.biases && difference(token.biases, minus.biases);
  return { direction: difference(token.directions, minus.directions), bias };
}
