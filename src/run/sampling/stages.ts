import type { Candidates } from "./candidates.ts";

/** Divides logits; by next to nothing, their distances to the largest, lest they overflow and none is the largest. */
export function temperature(candidates: Candidates, t: number): void {
  const { logits, size } = candidates;
  const shift = t < 1e-100 ? logits[candidates.best()] : 0;
  for (let i = 0; i < size; i++) logits[i] = (logits[i] - shift) / t;
}

/** Keeps the k largest logits. transformers keeps all that equal the k-th, too. */
export function topK(candidates: Candidates, k: number): void {
  const { logits, weights, size } = candidates;
  if (k >= size) return;
  weights.fill(1, 0, size);
  candidates.keepLargest(logits, weights, k);
}

/** Keeps the smallest set of most probable tokens whose probability reaches p. */
export function topP(candidates: Candidates, p: number): void {
  const total = candidates.weigh();
  candidates.keepLargest(candidates.logits, candidates.weights, p * total);
}

/** Keeps tokens of at least p times the largest probability: within log p of the largest logit. */
export function minP(candidates: Candidates, p: number): void {
  candidates.keepFrom(candidates.logits[candidates.best()] + Math.log(p));
}

/** Keeps the smallest set whose probability reaches p, by nearness of −log p_i to the entropy H = −Σ p_i log p_i. */
export function typicalP(candidates: Candidates, p: number): void {
  const { logits, weights, keys, size } = candidates;
  const total = candidates.weigh();
  const logTotal = logits[candidates.best()] + Math.log(total);
  let entropy = 0;
  for (let i = 0; i < size; i++) if (weights[i] > 0) entropy += (weights[i] / total) * (logTotal - logits[i]);
  for (let i = 0; i < size; i++) keys[i] = -Math.abs(logTotal - logits[i] - entropy);
  candidates.keepLargest(keys, weights, p * total);
}
