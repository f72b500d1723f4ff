/** Text as its tokens arrive, for any tokens of any vocabulary. */

import { describe, expect, it } from "vitest";
import { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { fixture, stories260K } from "./support/fixtures.ts";
import { elsewhere, ofGguf, ofJson, ofLlama3, readJson, tokenizerFixtures } from "./support/tokenizers.ts";

const N_SEQUENCES = 10_000;

const own: readonly (readonly [string, () => Promise<Tokenizer>])[] = [
  ["stories260K", async () => Tokenizer.fromJson(readJson(`${stories260K}/tokenizer.json`), undefined)],
  ...tokenizerFixtures.map((name) => {
    const open = async () => Tokenizer.fromJson(readJson(fixture(`tokenizers/${name}.json`)).tokenizer, undefined);
    return [name, open] as const;
  }),
];
const real = [
  ["gpt2", () => ofJson("gpt2")],
  ["llama-spm", () => ofGguf("llama-spm")],
  ["llama3", () => ofLlama3(true)],
] as const;

describe.each([
  ...own.map(([name, open]) => [name, open, Math.ceil(N_SEQUENCES / own.length)] as const),
  ...(elsewhere === undefined
    ? []
    : real.map(([name, open]) => [`${name} in GOLGI_TOKENIZERS`, open, N_SEQUENCES] as const)),
])("%s", (name, open, nSequences) => {
  it(`shows ${nSequences} sequences token by token as it decodes them whole, and no broken character before its time`, async () => {
    const tokenizer = await open();
    const random = randomNumbers(name.length);
    const known = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => hasToken(tokenizer, id));
    for (let i = 0; i < nSequences; i++) {
      const ids = i % 2 === 0 ? anyTokens(known, random) : tokensOfText(tokenizer, random);
      const whole = tokenizer.decode(ids);
      const stream = tokenizer.stream();
      let shown = "";
      for (const id of ids) {
        shown += stream.push(id);
        // So a character that comes out broken is broken in the whole text, too.
        if (!whole.startsWith(shown)) expect([ids, shown]).toEqual([ids, whole]);
      }
      if (shown + stream.end() !== whole) expect([ids, shown]).toEqual([ids, whole]);
    }
  });
});

/** Numbers below n, the same in every run. */
function randomNumbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function hasToken(tokenizer: Tokenizer, id: number): boolean {
  try {
    return tokenizer.token(id) !== "";
  } catch {
    return false;
  }
}

/** Tokens at random, half of them among the first, where vocabularies have their bytes. */
function anyTokens(known: readonly number[], random: (n: number) => number): number[] {
  return Array.from(
    { length: random(24) },
    () => known[random(random(2) === 0 ? Math.min(300, known.length) : known.length)],
  );
}

/** A text of characters of one to four bytes, cut anywhere at both ends. */
function tokensOfText(tokenizer: Tokenizer, random: (n: number) => number): number[] {
  const parts = ["a", " the", "é", "ß", "東", "한", "👋", "🏽", "\u200d", "\ufffd", "\ufeff", "\n", "  ", "½"];
  const text = Array.from({ length: random(16) }, () => parts[random(parts.length)]).join("");
  const ids = tokenizer.encode(text);
  return ids.slice(random(3), ids.length - random(3));
}
