import { PointError } from "../errors.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { type Attribution, attribute, printAttribution } from "./attribution.ts";
import type { Target } from "./direction.ts";
import { explainHead, type HeadExplanation, printHead } from "./explain-head.ts";
import { explainNeuron, type NeuronExplanation, printNeuron } from "./explain-neuron.ts";
import { type NeuronPart, neuronOf } from "./neuron-part.ts";
import { checkInteger, chosenPosition, type LayerComponent, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";

export interface ExplainOptions extends ViewOptions {
  /** Terms of a sum to list, the largest; 10 unless asked otherwise. */
  readonly nTerms?: number;
  /** Writers to list beside each term; 3 unless asked otherwise. */
  readonly nWriters?: number;
  /** Neurons of each layer to tell apart among the writers; 3 unless asked otherwise. */
  readonly nNeurons?: number;
  /** Tokens to list that a part promotes, and that it suppresses; 5 unless asked otherwise. */
  readonly nTokens?: number;
}

/** A logit, or a difference of two, as the sum of what heads and neurons add to it. */
export interface LogitExplanation extends Attribution {
  readonly kind: "logit";
  readonly address: string;
}

export type Explanation = NeuronExplanation | HeadExplanation | LogitExplanation;

/**
 * Where one number comes from, as an exact sum: a neuron's value (`L2.N40@7`, `L2.E17.N40@7`) from its inputs and from what wrote those,
 * a head's z (`L2.H3@7`) from the positions it read, a logit (`logits[" box"]@7`, `logits[" box" - 262]`) from all
 * heads and neurons. The last position where the address names none.
 */
export async function explain(
  model: Model,
  address: string,
  text: Prompt,
  options: ExplainOptions = {},
): Promise<Report<Explanation>> {
  const { nTerms = 10, nWriters = 3, nNeurons = 3, nTokens = 5, ...run } = options;
  checkOptions("explain", options, [...COUNTS, ...VIEW_OPTIONS]);
  const counts = { nTerms, nWriters, nNeurons, nTokens };
  for (const name of COUNTS) checkInteger(`explain: ${name}`, counts[name], 1);
  const { subject, position: asked } = parseSubject(model, address);
  if (subject.kind === "logit") {
    const { target } = subject;
    const request = { ...run, of: target, position: asked, detail: "neuron", topNeurons: nNeurons } as const;
    const data = await attribute("explain", model, text, request);
    const explanation: LogitExplanation = { kind: "logit", address, ...data };
    return report(explanation, (width) => printAttribution(explanation, width));
  }
  const tokens = model.encode(text);
  const position = chosenPosition("explain: position", asked, tokens.length);
  const request = { tokens, position, counts, run };
  if (subject.kind === "head") {
    const explanation = await explainHead(model, subject, request);
    return report(explanation, (width) => printHead(explanation, width));
  }
  const explanation = await explainNeuron(model, subject, request);
  return report(explanation, (width) => printNeuron(explanation, width));
}

const COUNTS = ["nTerms", "nWriters", "nNeurons", "nTokens"] satisfies (keyof ExplainOptions)[];

type Subject =
  | { readonly kind: "logit"; readonly target: Target }
  | ({ readonly kind: "head" } & LayerComponent)
  | ({ readonly kind: "neuron" } & NeuronPart);

/** A text in quotes as in JSON, or an id. */
const TOKEN = String.raw`("(?:[^"\\]|\\.)*"|\d+)`;
const LOGIT = new RegExp(String.raw`^\s*logits\[\s*${TOKEN}(?:\s*-\s*${TOKEN})?\s*\]\s*(?:@\s*(-?\d+))?\s*$`, "s");

function parseSubject(model: Model, text: string): { subject: Subject; position: number } {
  const logit = LOGIT.exec(text);
  if (logit !== null) {
    const [, token, minus, position = "-1"] = logit;
    const [first, second] = [token, minus].map((one) => (one === undefined ? undefined : parseToken(text, one)));
    const target = second === undefined ? (first as Target) : ({ token: first, minus: second } as Target);
    return { subject: { kind: "logit", target }, position: Number(position) };
  }
  const { addresses, positions = -1 } = model.address(text);
  const [{ entry, index, text: address }] = addresses;
  const neuron = neuronOf(addresses[0]);
  const isHead = entry.row.name === "blocks.{i}.attn.z" && index.length === 1;
  if ((neuron === undefined && !isHead) || addresses.length > 1 || typeof positions !== "number") {
    throw new PointError("point.address", {
      path: text,
      expected: "an explanation is of one number at one position",
      got: addresses.length > 1 ? `${addresses.length} addresses` : `${address} of ${entry.name}`,
      remedy: 'Ask for a neuron (L2.N40@7), a head (L2.H3@7) or a logit (logits[" box"]@7, logits[262 - 300]).',
    });
  }
  const subject: Subject =
    neuron === undefined
      ? { kind: "head", address, layer: entry.layer ?? 0, index: index[0] }
      : { kind: "neuron", ...neuron };
  return { subject, position: positions };
}

function parseToken(text: string, token: string): string | number {
  if (!token.startsWith('"')) return Number(token);
  try {
    return JSON.parse(token) as string;
  } catch (cause) {
    throw new PointError("point.address", {
      path: text,
      expected: "a token's text is written in quotes as in JSON",
      got: token,
      cause,
    });
  }
}
