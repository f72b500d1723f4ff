/** Attention patterns as the page holds them: bytes, head by head and row by row up to the diagonal. */

/** @import { PageData } from "../page-data.ts" */

/**
 * @typedef {(from: number, to: number) => number} Pattern share of a head's attention, 0 beyond the diagonal
 */

/**
 * @param {PageData} data
 * @returns {(layer: number, head: number) => Pattern}
 */
export function patternsOf({ patterns, tokens }) {
  const layers = patterns.map(bytesOf);
  const nPairs = (tokens.length * (tokens.length + 1)) / 2;
  return (layer, head) => (from, to) =>
    to > from ? 0 : layers[layer][head * nPairs + (from * (from + 1)) / 2 + to] / 255;
}

/** @param {string} base64 */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * Where heads look from one position, strongest first; itself and the first token, where idle heads rest, left out.
 * @param {(head: number) => Pattern} patternOf
 * @param {number} nHeads
 * @param {number} from
 * @param {number} n
 */
export function strongestFrom(patternOf, nHeads, from, n) {
  /** @type {{ head: number, to: number, weight: number }[]} */
  const strongest = [];
  for (let head = 0; head < nHeads; head++) {
    const pattern = patternOf(head);
    for (let to = 1; to < from; to++) {
      const weight = pattern(from, to);
      if (strongest.length === n && weight <= strongest[n - 1].weight) continue;
      strongest.push({ head, to, weight });
      strongest.sort((a, b) => b.weight - a.weight);
      strongest.length = Math.min(n, strongest.length);
    }
  }
  return strongest;
}
