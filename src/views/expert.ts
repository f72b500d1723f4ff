import { RequestError } from "../errors.ts";
import type { Address } from "../points/address.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkOptions } from "../run/options.ts";
import { type ExpertNeuron, type ExpertPlace, type ExpertUse, expertUses } from "./expert-uses.ts";
import { type ExpertInWeights, expertInWeights } from "./expert-weights.ts";
import { bySize } from "./extremes.ts";
import { neuronName, promotedTokens } from "./neurons.ts";
import { checkInteger, checkWithoutText, chosenPosition, VIEW_OPTIONS, type ViewOptions } from "./options.ts";
import { type Report, report } from "./report.ts";
import { type ChosenExpert, expertItem } from "./router-choices.ts";
import { itemLines } from "./text/item-lines.ts";
import { table } from "./text/table.ts";
import { asManyAsFit, clip, quoteToken } from "./text/width.ts";
import { type ShownToken, showTokens } from "./tokens.ts";

export interface ExpertOptions extends ViewOptions {
  /** A text to watch it on. */
  readonly on?: Prompt;
  /** Of the text, the position whose neurons to list; those of all tokens unless asked otherwise. */
  readonly position?: number;
  /** Neurons, tokens and experts of each list; 8 unless asked otherwise. */
  readonly k?: number;
}

/** A token that went to the expert. */
export type ExpertToken = ExpertUse & ShownToken;

/** A neuron of the expert where its value was largest, and the tokens that it pushes towards there. */
export interface FiringExpertNeuron extends ExpertNeuron {
  readonly address: string;
  readonly text: string;
  readonly promotes: readonly ShownToken[];
}

export interface Expert extends ExpertInWeights {
  readonly address: string;
  readonly layer: number;
  /** Null for the shared expert, which every token goes to. */
  readonly expert: number | null;
  /** Of the text; 0 without one. */
  readonly nTokens: number;
  /** The position asked for: whether its token went to the expert, and which experts it went to. */
  readonly at?: { readonly position: number; readonly isChosen: boolean; readonly chosen: readonly ChosenExpert[] };
  /** Tokens of the text that went to it, in order. */
  readonly uses: readonly ExpertToken[];
  /** The largest values of its neurons on the text, each neuron once. */
  readonly firing: readonly FiringExpertNeuron[];
  /** The uses, for plots. */
  readonly rows: readonly ExpertToken[];
}

/** One expert of a sparse layer, `L5.E17`, or its shared expert, `L5.shared`: its weights, and on a text what it was chosen for. */
export async function expert(model: Model, address: string, options: ExpertOptions = {}): Promise<Report<Expert>> {
  const { on, position: asked, k = 8, ...runOptions } = options;
  checkOptions("expert", runOptions, VIEW_OPTIONS);
  checkInteger("expert: k", k, 1);
  const place = chosenPlace(model, address);
  if (on === undefined) checkWithoutText("expert", { ...runOptions, ...(asked !== undefined && { position: asked }) });
  const inWeights = await expertInWeights(model, place, k);
  const onText = on === undefined ? NO_TEXT : await usesOn(model, place, on, { ...runOptions, position: asked, k });
  const { layer, expert: index } = place;
  const data: Expert = {
    ...{ address: addressOf(place), layer, expert: index ?? null },
    ...inWeights,
    ...onText,
    rows: onText.uses,
  };
  return report(data, (width) => print(data, width));
}

const NO_TEXT = { nTokens: 0, uses: [], firing: [] } satisfies Partial<Expert>;

/** What an address names, or undefined for anything but one expert. */
export function expertOf({ entry, index, expert }: Address): ExpertPlace | undefined {
  const { row, layer = 0 } = entry;
  if (index.length > 0) return undefined;
  if (row.name === "blocks.{i}.shared.contribution") return { layer, expert: undefined };
  return row.name === "blocks.{i}.experts.contribution" && expert !== undefined ? { layer, expert } : undefined;
}

/** @throws RequestError for anything but one expert, at no positions. */
function chosenPlace(model: Model, address: string): ExpertPlace {
  const { addresses, positions } = model.address(address);
  const place = expertOf(addresses[0]);
  if (place !== undefined && addresses.length === 1 && positions === undefined) return place;
  throw new RequestError("request.option", {
    path: "expert: address",
    expected: "must name one expert and no positions",
    got: address,
    remedy: "Write it like L5.E17 or L5.shared.",
  });
}

function addressOf({ layer, expert }: ExpertPlace): string {
  return expert === undefined ? `L${layer}.shared` : `L${layer}.E${expert}`;
}

type Request = ViewOptions & { readonly position: number | undefined; readonly k: number };

async function usesOn(model: Model, place: ExpertPlace, on: Prompt, { position: asked, k, ...options }: Request) {
  const ids = model.encode(on);
  const tokens = showTokens(model, ids);
  const position = asked === undefined ? undefined : chosenPosition("expert: position", asked, ids.length);
  const view = expertUses(model, place, k);
  const { uses, neurons, choices } = view.present(await model.runDerived(ids, view, { ...options, logits: "none" }));
  const shown = position === undefined ? neurons : neurons.filter((neuron) => neuron.position === position);
  const largest = largestOfEach(shown).slice(0, k);
  const firing = largest.map((neuron) => ({
    ...neuron,
    layer: place.layer,
    expert: place.expert ?? ("shared" as const),
  }));
  const promoted = await promotedTokens(model, firing, Math.min(3, model.config.vocabSize));
  return {
    nTokens: ids.length,
    ...(position !== undefined && {
      at: {
        ...{ position, chosen: choices[position] },
        isChosen: uses.some((use) => use.position === position),
      },
    }),
    uses: uses.map((use) => ({ ...tokens[use.position], ...use })),
    firing: firing.map(({ layer, expert, ...neuron }, i): FiringExpertNeuron => {
      const address = `L${layer}.${neuronName({ expert, neuron: neuron.neuron })}`;
      return { ...neuron, address, text: tokens[neuron.position].text, promotes: showTokens(model, promoted[i]) };
    }),
  };
}

/** Each neuron where its value is largest in size, the largest first. */
function largestOfEach(neurons: readonly ExpertNeuron[]): ExpertNeuron[] {
  const sorted = neurons.toSorted(bySize);
  return [...Map.groupBy(sorted, ({ neuron }) => neuron).values()].map(([first]) => first);
}

/** Tokens that are listed. */
const MAX_TOKENS = 20;

function print(data: Expert, width: number): string {
  const { address, expert, weights, neurons, similar, nNeurons, nTokens } = data;
  const name = expert === null ? `The shared expert of layer ${data.layer}` : `Expert ${address}`;
  const near = similar.map((other) => `E${other.expert} ${other.cosine.toFixed(2)}`);
  return [
    clip(`${name}: ${nNeurons} neurons`, width),
    table({
      head: ["weight", "shape", "format", "norm"],
      rows: weights.map(({ weight, shape, format, norm }) => [weight, `[${shape.join(", ")}]`, format, norm]),
      width,
    }),
    ...(near.length === 0 ? [] : [`routed like  ${asManyAsFit(near, width - 13)}`]),
    "",
    clip("Neurons that write most for each unit of their value: lengths of their weights", width),
    table({
      head: ["neuron", "wDown", "wGate", "wUp"],
      rows: neurons.map(({ neuron, writes, reads }) => [`N${neuron}`, writes, ...reads]),
      width,
    }),
    ...(nTokens === 0 ? [] : printOnText(data, width)),
  ].join("\n");
}

function printOnText({ address, expert, nTokens, at, uses, firing }: Expert, width: number): string[] {
  const went = `${uses.length} of ${nTokens} tokens went to ${address}`;
  const elsewhere = at === undefined || at.isChosen ? undefined : `token ${at.position} did not`;
  const lines = ["", ...(expert === null ? [] : [elsewhere === undefined ? went : `${went}; ${elsewhere}, but to`])];
  if (elsewhere !== undefined) lines.push(...itemLines((at?.chosen ?? []).map(expertItem), width));
  const more = uses.length - MAX_TOKENS;
  if (uses.length > 0) {
    lines.push(
      table({
        head: ["at", "token", "weight", "length"],
        rows: uses.slice(0, MAX_TOKENS).map(({ position, text, weight, length }) => {
          return [position, quoteToken(text), weight, length];
        }),
        width,
      }),
      ...(more > 0 ? [`${more} more`] : []),
    );
  }
  if (firing.length === 0) return lines;
  const where = at === undefined ? "on the text" : `at token ${at.position}`;
  return [
    ...lines,
    "",
    `Largest values of its neurons ${where}`,
    table({
      head: ["neuron", "value", "at", "token", "pushes towards"],
      rows: firing.map(({ neuron, value, position, text, promotes }) => {
        const towards = promotes.map((token) => quoteToken(token.text)).join(" ");
        return [`N${neuron}`, value, position, quoteToken(text), towards];
      }),
      width,
    }),
  ];
}
