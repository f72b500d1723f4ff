import type { Model } from "../run/model.ts";

/** A token and how it reads. */
export interface ShownToken {
  readonly token: number;
  /** Its id in digits where the model has no tokenizer, or that has no such token. */
  readonly text: string;
}

export function showToken(model: Model, token: number): ShownToken {
  const hasText = model.hasTokenizer && model.tokenizer.has(token);
  return { token, text: hasText ? model.tokenizer.text(token) : `${token}` };
}

export function showTokens(model: Model, tokens: Iterable<number>): ShownToken[] {
  return Array.from(tokens, (token) => showToken(model, token));
}
