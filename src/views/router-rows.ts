/** What the routers of sparse layers did with each token of a text, reduced where the model runs. */

import { sparseSizes } from "../config/model-config.ts";
import { entropy, mul, norm, softmax, sum, takeAlong, topK } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type ChosenExpert, routerChoices } from "./router-choices.ts";
import { type ShownToken, showTokens } from "./tokens.ts";
import type { View } from "./view.ts";

/** The router of one layer at one token. */
export interface RouterRow {
  readonly layer: number;
  readonly position: number;
  readonly text: string;
  /** In the order of the router: the largest of what experts are chosen by first. */
  readonly experts: readonly ChosenExpert[];
  /**
   * By how much the weakest of the chosen experts is ahead of the strongest other one, in what experts are chosen by. Null
   * where no other may be chosen, such as those outside the kept groups, and where an edit forced or banned one of the two.
   */
  readonly margin: number | null;
  /** The weakest of the chosen experts. */
  readonly lastChosen: number;
  /** The strongest of the others; null where none of them may be chosen. */
  readonly firstNotChosen: number | null;
  /** Of the router's scores, which are made to add up to 1, or of the softmax of its logits where it has none; in nats. */
  readonly entropy: number;
  /** Groups of experts that the choice was kept to, in families that have them. */
  readonly groups?: readonly number[];
  /** Lengths of what the layer gives, of the routed experts' part of it, and of the shared expert's where there is one. */
  readonly outLength: number;
  readonly routedLength: number;
  readonly sharedLength?: number;
  /** Shares of the two parts along what the layer gives, which add up to 1; null where it gives nothing. */
  readonly routedShare: number | null;
  readonly sharedShare?: number | null;
}

/** The rows of each of the layers: [layer][position]. */
export function routerRows(model: Model, layers: readonly number[]): View<RouterRow[][]> {
  const choices = routerChoices(layers, "all");
  const views = layers.map((layer) => layerView(model, layer));
  return {
    key: `routers ${JSON.stringify(layers)}`,
    points: [...choices.points, ...views.flatMap(({ points }) => points)],
    build: (scope) => Object.assign({}, choices.build(scope), ...views.map((view) => view.build(scope))),
    present(run) {
      const tokens = showTokens(model, run.tokens);
      return choices.present(run).map((chosen, i) => views[i].present(run, chosen, tokens));
    },
  };
}

interface LayerView extends Pick<View<unknown>, "points" | "build"> {
  present(run: Run, chosen: readonly ChosenExpert[][], tokens: readonly ShownToken[]): RouterRow[];
}

function layerView({ tape, config }: Pick<Model, "tape" | "config">, layer: number): LayerView {
  const { nExperts, nExpertsPerToken } = sparseSizes(config);
  const point = (name: string): string => `blocks.${layer}.${name}`;
  const output = (name: string): string => `router.${layer}.${name}`;
  const has = (name: string): boolean => tape.points.has(point(name));
  const parts = ["experts.sum", ...(has("shared.contribution") ? ["shared.contribution"] : [])];
  const hasGroups = has("router.groupMask");
  const hasScores = has("router.scores");
  // One more than are chosen, so that at least one of them is not.
  const nLargest = Math.min(nExperts, nExpertsPerToken + 1);
  const named = [
    "router.limitedScores",
    "router.indices",
    hasScores ? "router.scores" : "router.logits",
    "mlp.out",
    ...parts,
  ];
  return {
    points: [...named, ...(hasGroups ? ["router.groupMask"] : [])].map(point),
    build({ at }) {
      const value = (name: string): Value => at(point(name));
      const limited = value("router.limitedScores");
      const [largest, largestIndex] = topK(limited, { k: nLargest });
      const out = value("mlp.out");
      return {
        [output("chosen")]: takeAlong(limited, value("router.indices")), // [T, A]
        [output("largest")]: largest,
        [output("largestIndex")]: largestIndex,
        [output("entropy")]: entropy(hasScores ? value("router.scores") : softmax(value("router.logits"))), // [T]
        ...(hasGroups && { [output("groups")]: value("router.groupMask") }), // [T, nGroups]
        [output("mlp.out")]: norm(out), // [T]
        ...Object.fromEntries(
          parts.flatMap((part) => [
            [output(part), norm(value(part))],
            [output(`${part} along`), sum(mul(value(part), out))],
          ]),
        ),
      };
    },
    present(run, chosen, tokens) {
      const of = (name: string): Tensor => run.derived(output(name));
      const lengthsOf = (name: string) => {
        const along = of(`${name} along`);
        return (row: number, total: number) => {
          const share = total === 0 ? null : along.at(row) / total ** 2;
          return { length: of(name).at(row), share };
        };
      };
      const [routedOf, sharedOf] = parts.map(lengthsOf);
      return tokens.map(({ text }, position): RouterRow => {
        const outLength = of("mlp.out").at(position);
        const [routed, shared] = [routedOf(position, outLength), sharedOf?.(position, outLength)];
        return {
          ...{ layer, position, text, experts: chosen[position] },
          ...marginOf(
            chosen[position].map(({ expert }) => expert),
            of("chosen").row(position).data,
            of("largest").row(position).data,
            of("largestIndex").row(position).data,
          ),
          entropy: of("entropy").at(position),
          ...(hasGroups && { groups: keptOf(of("groups").row(position).data) }),
          ...{ outLength, routedLength: routed.length, routedShare: routed.share },
          ...(shared && { sharedLength: shared.length, sharedShare: shared.share }),
        };
      });
    },
  };
}

/** `scores`: of the chosen experts; `largest`: the largest of all, of which one at least is not among the chosen. */
function marginOf(
  experts: readonly number[],
  scores: ArrayLike<number>,
  largest: ArrayLike<number>,
  largestIndex: ArrayLike<number>,
): Pick<RouterRow, "margin" | "lastChosen" | "firstNotChosen"> {
  const last = experts.reduce((weakest, _, slot) => (scores[slot] <= scores[weakest] ? slot : weakest), 0);
  const next = Array.from(largestIndex).findIndex((expert) => !experts.includes(expert));
  const isLeft = next >= 0 && largest[next] > Number.NEGATIVE_INFINITY;
  const margin = isLeft ? scores[last] - largest[next] : Number.NaN;
  return {
    margin: Number.isFinite(margin) ? margin : null,
    lastChosen: experts[last],
    firstNotChosen: isLeft ? largestIndex[next] : null,
  };
}

/** Where a mask is 1. */
function keptOf(mask: ArrayLike<number>): number[] {
  return Array.from(mask).flatMap((kept, group) => (kept === 1 ? [group] : []));
}
