import {
  activate,
  add,
  chooseExperts,
  groupScores,
  limitGroups,
  matmul,
  normalizeSum,
  scaleBy,
  softmax,
  takeAlong,
  topMask,
} from "../ops/index.ts";
import { point, scope } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { groupName } from "../weights/schema.ts";

/** What decides which experts a token goes to. */
export interface RouterWeights {
  /** [nExperts, dModel] */
  readonly wRouter: Value;
  /** [nExperts] On the logits. */
  readonly bRouter?: Value;
}

/** Which experts each row chose, slots in descending order of selection scores, and what their outputs are multiplied with. */
export interface Routing {
  /** int [T, nExpertsPerToken] */
  readonly indices: Value;
  /** [T, nExpertsPerToken] */
  readonly weights: Value;
}

interface Choice {
  readonly nExpertsPerToken: number;
}

/** Experts are first kept to some groups of theirs. */
interface Groups {
  readonly nGroups: number;
  /** Groups that are kept. */
  readonly nGroupsPerToken: number;
}

/** Mixtral (arXiv:2401.04088, §2.1): softmax over all experts, the largest of it, made to add up to 1. */
export function mixtralRouter(x: Value, w: RouterWeights, c: Choice): Routing {
  return scope(groupName(w), () => {
    const scores = point("scores", softmax(routerLogits(x, w))); // [T, nExperts]
    const indices = choose(scores, c);
    return { indices, weights: point("weights", normalizeSum(takeAlong(scores, indices), { eps: 0 })) };
  });
}

/** Qwen2-MoE, Qwen3-MoE and OLMoE: softmax over all experts, the largest of it, made to add up to 1 where the config says so. */
export function qwenRouter(x: Value, w: RouterWeights, c: Choice & { readonly normTopK: boolean }): Routing {
  return scope(groupName(w), () => {
    const scores = point("scores", softmax(routerLogits(x, w))); // [T, nExperts]
    const indices = choose(scores, c);
    const chosen = takeAlong(scores, indices);
    return { indices, weights: point("weights", c.normTopK ? normalizeSum(chosen, { eps: 0 }) : chosen) };
  });
}

/** gpt-oss (arXiv:2508.10925): the largest logits, and the softmax of these alone. */
export function gptOssRouter(x: Value, w: RouterWeights, c: Choice): Routing {
  return scope(groupName(w), () => {
    const logits = routerLogits(x, w); // [T, nExperts]
    const indices = choose(logits, c);
    return { indices, weights: point("weights", softmax(takeAlong(logits, indices))) };
  });
}

interface DeepSeekChoice extends Choice {
  /** Undefined where all experts are one group. */
  readonly groups: Groups | undefined;
  readonly normTopK: boolean;
  /** On the weights. */
  readonly routedScale: number;
}

/**
 * DeepSeek-V2 (arXiv:2405.04434, §2.2): softmax over all experts, the groups with the largest maxima, the largest
 * scores within them; either made to add up to 1 or scaled.
 */
export function deepSeekV2Router(x: Value, w: RouterWeights, c: DeepSeekChoice): Routing {
  return scope(groupName(w), () => {
    const scores = point("scores", softmax(routerLogits(x, w))); // [T, nExperts]
    const indices = choose(scores, c, groupMask(scores, c.groups, 1));
    const chosen = takeAlong(scores, indices);
    const weights = c.normTopK ? normalizeSum(chosen, { eps: 1e-20 }) : scaleBy(chosen, { factor: c.routedScale });
    return { indices, weights: point("weights", weights) };
  });
}

/**
 * DeepSeek-V3 (arXiv:2412.19437, §2.1.2): sigmoid scores; a bias that only takes part in the choice; the groups with
 * the largest sums of two, the largest biased scores within them. The weights are the scores without the bias.
 */
export function deepSeekV3Router(
  x: Value,
  w: RouterWeights & { readonly selectionBias: Value },
  c: DeepSeekChoice,
): Routing {
  return scope(groupName(w), () => {
    const scores = point("scores", activate(routerLogits(x, w), { fn: "sigmoid" })); // [T, nExperts]
    const biased = point("biasedScores", add(scores, w.selectionBias));
    const indices = choose(biased, c, groupMask(biased, c.groups, 2));
    const chosen = takeAlong(scores, indices);
    const normalized = c.normTopK ? normalizeSum(chosen, { eps: 1e-20 }) : chosen;
    return { indices, weights: point("weights", scaleBy(normalized, { factor: c.routedScale })) };
  });
}

function routerLogits(x: Value, { wRouter, bRouter }: RouterWeights): Value {
  return point("logits", matmul(x, wRouter, bRouter)); // [T, nExperts]
}

/** 1 for the groups whose `k` best scores add up to most. [T, nGroups] */
function groupMask(selection: Value, groups: Groups | undefined, k: number): Value | undefined {
  if (groups === undefined) return undefined;
  const scores = point("groupScores", groupScores(selection, { nGroups: groups.nGroups, k }));
  return point("groupMask", topMask(scores, { k: groups.nGroupsPerToken }));
}

/** Experts with the largest selection scores, in the kept groups if there are any. int [T, nExpertsPerToken] */
function choose(selection: Value, { nExpertsPerToken }: Choice, mask?: Value): Value {
  // A value of its own even without groups, so that forcing an expert changes the choice and no score.
  const limited = point("limitedScores", limitGroups(selection, mask)); // [T, nExperts]
  return point("indices", chooseExperts(limited, selection, { k: nExpertsPerToken }));
}
