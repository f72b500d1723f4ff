/** A router as a few plain loops, to hold the tape's against: from one token's logits to its experts and their weights. */

/** What a family does with a token's logits. */
export interface RouterRule {
  readonly nExpertsPerToken: number;
  readonly scores: (logits: readonly number[]) => readonly number[];
  /** On what experts are chosen by. */
  readonly bias?: readonly number[];
  readonly groups?: {
    readonly n: number;
    readonly kept: number;
    /** How many experts of a group its score adds up. */
    readonly nBest: number;
  };
  readonly weigh: (chosen: readonly number[]) => readonly number[];
}

/** What is asked of a choice. */
export interface Wishes {
  readonly ban?: readonly number[];
  readonly force?: readonly number[];
  readonly swaps?: readonly (readonly [from: number, to: number])[];
}

export interface Choice {
  readonly experts: readonly number[];
  readonly weights: readonly number[];
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export function softmax(logits: readonly number[]): number[] {
  const exps = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  return exps.map((exp) => exp / sum(exps));
}

export const sigmoid = (logits: readonly number[]): number[] => logits.map((logit) => 1 / (1 + Math.exp(-logit)));

export const normalized = (weights: readonly number[]): number[] => weights.map((weight) => weight / sum(weights));

export function plainChoice(rule: RouterRule, logits: readonly number[], wishes: Wishes = {}): Choice {
  const { ban = [], force = [], swaps = [] } = wishes;
  const scores = rule.scores(logits);
  const wanted = scores.map((score, expert) =>
    ban.includes(expert) ? Number.NEGATIVE_INFINITY : score + (rule.bias?.[expert] ?? 0),
  );
  const experts = [...logits.keys()];
  const byScore = (a: number, b: number): number => (wanted[a] === wanted[b] ? a - b : wanted[b] - wanted[a]);
  const kept = keptExperts(rule, wanted);
  const free = experts.filter((expert) => !force.includes(expert) && !ban.includes(expert)).sort(byScore);
  // Experts of kept groups come first, then those that are there only because too many of these are banned.
  const usual = [...free.filter((expert) => kept.has(expert)), ...free.filter((expert) => !kept.has(expert))];
  const chosen = [...force, ...usual].slice(0, rule.nExpertsPerToken);
  for (const [from, to] of swaps) {
    if (chosen.includes(from) && !chosen.includes(to)) chosen[chosen.indexOf(from)] = to;
  }
  chosen.sort(byScore);
  return { experts: chosen, weights: rule.weigh(chosen.map((expert) => scores[expert])) };
}

function keptExperts({ groups }: RouterRule, wanted: readonly number[]): Set<number> {
  const all = [...wanted.keys()];
  if (groups === undefined) return new Set(all);
  const size = wanted.length / groups.n;
  const groupOf = (expert: number): number => Math.floor(expert / size);
  const scores = Array.from({ length: groups.n }, (_, group) => {
    const own = all.filter((expert) => groupOf(expert) === group).map((expert) => wanted[expert]);
    return sum(own.sort((a, b) => b - a).slice(0, groups.nBest));
  });
  const best = [...scores.keys()].sort((a, b) => (scores[a] === scores[b] ? a - b : scores[b] - scores[a]));
  return new Set(all.filter((expert) => best.slice(0, groups.kept).includes(groupOf(expert))));
}
