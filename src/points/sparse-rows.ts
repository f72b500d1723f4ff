import { weighExperts } from "../ops/index.ts";
import { block } from "./names.ts";
import type { Row } from "./registry.ts";

const E = ["T", "nExperts"];
const A = ["T", "nExpertsPerToken"];
const FF = ["T", "nExpertsPerToken", "dExpert"];
const OUT = ["T", "nExpertsPerToken", "dModel"];
const SHARED = ["T", "dShared"];
const D = ["T", "dModel"];

/**
 * What a single expert holds: of a point that has a place for each chosen expert, the places of the rows that chose it.
 * `blocks.5.experts.17.post` has as many rows as tokens went to expert 17.
 */
export const EXPERT_PARTS = [
  { part: "pre", of: block("experts.pre") },
  { part: "preLinear", of: block("experts.preLinear") },
  { part: "post", of: block("experts.post") },
  { part: "out", of: block("experts.out") },
  { part: "contribution", of: block("experts.contribution") },
  { part: "weight", of: block("router.weights") },
] as const;

/** Its name; `{e}` is the expert. */
export function expertPart(part: string): string {
  return block(`experts.{e}.${part}`);
}

/** Points of layers whose MLP is many experts, of which each token goes to a few. */
export const SPARSE_ROWS: readonly Row[] = [
  { name: block("router.logits"), axes: E, formula: "ln2.out · wRouterᵀ + bRouter" },
  { name: block("router.scores"), axes: E, formula: "softmax or sigmoid of logits over all experts" },
  { name: block("router.biasedScores"), axes: E, formula: "scores + selectionBias, for the choice alone" },
  {
    name: block("router.groupScores"),
    axes: ["T", "nGroups"],
    formula: "Σ of the best one (DeepSeek-V2) or two (V3) of what experts are chosen by, in each group of experts",
  },
  {
    name: block("router.groupMask"),
    axes: ["T", "nGroups"],
    formula: "1 for the groups with the best scores, 0 for others",
  },
  {
    name: block("router.limitedScores"),
    axes: E,
    formula: "what experts are chosen by (biasedScores, scores or logits), −inf outside the kept groups",
  },
  {
    name: block("router.indices"),
    axes: A,
    formula:
      "the experts with the largest limitedScores, in descending order of what they are chosen by, ties to the lowest index",
  },
  { name: block("router.weights"), axes: A, formula: "what the chosen experts' outputs are multiplied with" },
  { name: block("experts.pre"), axes: FF, formula: "ln2.out · wGateᵀ + bGate of each chosen expert" },
  { name: block("experts.preLinear"), axes: FF, formula: "ln2.out · wUpᵀ + bUp of each chosen expert" },
  {
    name: block("experts.post"),
    axes: FF,
    formula: "fn(pre) · preLinear: the value of each neuron of each chosen expert",
  },
  { name: block("experts.out"), axes: OUT, formula: "post · wDownᵀ + bDown of each chosen expert, before its weight" },
  {
    name: block("experts.contribution"),
    axes: OUT,
    formula: "router.weights · experts.out: what each chosen expert adds to experts.sum",
    derive: {
      from: [block("experts.out"), block("router.weights")],
      build: (at) => weighExperts(at(block("experts.out")), at(block("router.weights"))),
      scalesWith: block("experts.out"),
      scalesByElement: true,
      instead:
        "It may be scaled by a number or set to 0, as experts.out then is; otherwise edit router.weights or experts.out.",
    },
  },
  { name: block("experts.sum"), axes: D, formula: "Σ over the chosen experts of experts.contribution" },
  { name: block("shared.pre"), axes: SHARED, formula: "ln2.out · wGateᵀ of the expert that every token goes to" },
  { name: block("shared.preLinear"), axes: SHARED, formula: "ln2.out · wUpᵀ of the shared expert" },
  {
    name: block("shared.post"),
    axes: SHARED,
    formula: "fn(pre) · preLinear: the value of each neuron of the shared expert",
  },
  { name: block("shared.out"), axes: D, formula: "post · wDownᵀ of the shared expert" },
  { name: block("shared.gate"), axes: ["T", "1"], formula: "sigmoid(ln2.out · wSharedGateᵀ), where the family has it" },
  { name: block("shared.contribution"), axes: D, formula: "shared.out, times shared.gate where there is one" },
];
