/** What sampling options do to generation: stop strings, logprobs, penalties over a session. */

import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GenerateOptions, type GenerationStep, type Model, RequestError } from "../node/index.ts";
import { checkStop, StopStrings } from "../src/run/sampling/stop-strings.ts";
import { fixture, goldenTokens, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";

const prompt = "Once upon a time";
let model: Model;
let wordless: Model;
/** What the model adds to the prompt in 30 tokens. */
let whole: string;

beforeAll(async () => {
  model = await open(stories260K);
  wordless = await open(fixture("goldens/gpt2"));
  whole = textOf(await generate({}));
});
afterAll(async () => {
  await model.close();
  await wordless.close();
});

function generate(options: GenerateOptions): Promise<GenerationStep[]> {
  return all(model.generate(prompt, { maxTokens: 30, ...options }));
}

async function all(steps: AsyncIterable<GenerationStep>): Promise<GenerationStep[]> {
  const list: GenerationStep[] = [];
  for await (const step of steps) list.push(step);
  return list;
}

const textOf = (steps: readonly GenerationStep[]): string => steps.map((step) => step.text).join("");

/** The text up to the first stop string that is complete, and that string. */
function cut(text: string, stops: readonly string[]): { text: string; found: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), found };
  }
  return { text, found: undefined };
}

describe("stop strings", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "é", "👩"), minLength: 1, maxLength: 4 });

  it("end a text at the first that is complete, however it is cut into pieces, and no part is given out", () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), fc.array(word, { maxLength: 3 }), (pieces, stops) => {
        const expected = cut(pieces.join(""), stops);
        const matcher = new StopStrings(stops);
        let text = "";
        for (const piece of pieces) {
          text += matcher.push(piece);
          expect(expected.text.startsWith(text)).toBe(true);
          if (matcher.found !== undefined) break;
        }
        expect({ text: text + matcher.end(), found: matcher.found }).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it("hold back no more than may belong to one", () => {
    const matcher = new StopStrings(["\n\n", "END"]);
    expect(["a\n", "b", "\nE", "\n", "E", "N", "Q", "EN", "D"].map((piece) => matcher.push(piece))).toEqual([
      ...["a", "\nb", "\n", "E", "\n", "", "ENQ", "", ""],
    ]);
    expect(matcher.found).toBe("END");
  });

  it.each([
    ["within a token", "ittl"],
    ["across tokens", "irl named L"],
    ["at the very beginning", ","],
    ["at a token's end", " little"],
  ])("end generation %s, as the step says", async (_, stop) => {
    const steps = await generate({ stop });
    expect(textOf(steps)).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(steps.at(-1)).toMatchObject({ finishReason: "stop", stopReason: stop });
    for (const step of steps.slice(0, -1)) {
      expect([step.finishReason, step.stopReason]).toEqual([undefined, undefined]);
    }
  });

  it("may be several; the first to be complete counts", async () => {
    const stops = ["Lily. She", "named", "Lily"];
    const steps = await generate({ stop: stops });
    expect(textOf(steps)).toBe(whole.slice(0, whole.indexOf("named")));
    expect(steps.at(-1)?.stopReason).toBe("named");
  });

  it("count before the length where both come with one token", async () => {
    const steps = await generate({ stop: "Lily", maxTokens: 10 });
    expect(steps).toHaveLength(10);
    expect(steps.at(-1)).toMatchObject({ text: " ", finishReason: "stop", stopReason: "Lily" });
  });

  it("are not looked for in the prompt, and give back what they held when another end comes", async () => {
    const last = whole.slice(-2);
    const steps = await generate({ stop: ["Once upon", `${last}\u0000`] });
    expect(textOf(steps)).toBe(whole);
    expect(steps.at(-1)).toMatchObject({ finishReason: "length", stopReason: undefined });
  });

  it.each([[""], [["a", ""]], [5], [["a", null]], ["\ud83d"], [null]])("may not be %j", async (stop) => {
    expect(() => checkStop(stop)).toThrow(/^stop: must be a text or a list of texts, none empty; got /);
    const first = model.generate(prompt, { stop: stop as never }).next();
    await expect(first).rejects.toThrow(RequestError);
  });

  it("need a tokenizer", async () => {
    const first = wordless.generate([1, 2], { stop: "x" }).next();
    await expect(first).rejects.toThrow("stop: needs a model with a tokenizer; got a model without one. Give stopTok");
  });
});

describe("stop tokens", () => {
  it("are named by the last step, the model's own too", async () => {
    const [first] = await generate({ maxTokens: 1 });
    const steps = await generate({ stopTokens: [first!.token] });
    expect(steps).toHaveLength(1);
    expect(steps[0]).toMatchObject({ finishReason: "stop", stopReason: first!.token, text: first!.text });
    const [eos] = model.eosTokens;
    const ended = await generate({ logitBias: { [eos!]: 1e6 } });
    expect(ended).toHaveLength(1);
    expect(ended[0]).toMatchObject({ finishReason: "stop", stopReason: eos, text: "" });
  });

  it.each([
    [[-1], "stopTokens: must be a list of token ids; got [-1]."],
    [5, "stopTokens: must be a list of token ids; got 5."],
    [[3, 512], "stopTokens: token ids are integers from 0 to 511; got 512."],
  ])("may not be %j", async (stopTokens, message) => {
    await expect(model.generate(prompt, { stopTokens: stopTokens as never }).next()).rejects.toThrow(message);
  });
});

describe("logprobs", () => {
  it("list the likeliest tokens with their texts, and are the model's own whatever is drawn", async () => {
    const plain = await generate({ logprobs: 3 });
    for (const { token, logprob, logprobs } of plain) {
      expect(logprobs).toHaveLength(3);
      expect(logprobs![0]).toEqual({ token, logprob, text: model.tokenizer.text(token) });
      expect(logprobs!.map((one) => -one.logprob)).toEqual(logprobs!.map((one) => -one.logprob).sort((a, b) => a - b));
    }
    const shaped = await generate({ maxTokens: 1, logprobs: 3, temperature: 2, logitBias: { 7: 3 }, seed: 1 });
    expect(shaped[0]!.logprobs).toEqual(plain[0]!.logprobs);
  });

  it("of all tokens are a distribution", async () => {
    const [step] = await generate({ maxTokens: 1, logprobs: model.config.vocabSize });
    expect(new Set(step!.logprobs!.map(({ token }) => token)).size).toBe(model.config.vocabSize);
    expect(step!.logprobs!.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 9);
  });

  it("are left out unless asked for, and have no texts without a tokenizer", async () => {
    expect((await generate({ maxTokens: 1 }))[0]!.logprobs).toBeUndefined();
    const { value } = await wordless.generate(await goldenTokens("gpt2"), { logprobs: 1 }).next();
    const { token, logprob } = value as GenerationStep;
    expect((value as GenerationStep).logprobs).toEqual([{ token, logprob, text: undefined }]);
  });
});

describe("generation", () => {
  const shaped: GenerateOptions = { temperature: 1, topK: 40, topP: 0.95, repetitionPenalty: 2, stopTokens: [] };

  it("draws the same tokens from the same seed every time, and others from others", async () => {
    const draw = async (seed: number) => (await generate({ ...shaped, seed })).map((step) => step.token);
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    expect(await draw(2)).not.toEqual(first);
  });

  it("penalises what the session holds as it does the prompt", async () => {
    const expected = await generate({ ...shaped, seed: 3, maxTokens: 12 });
    const session = model.session();
    const tokens = model.tokenizer.encode(prompt);
    await session.append(tokens.slice(0, -1));
    const steps = await all(session.generate(tokens.slice(-1), { ...shaped, seed: 3, maxTokens: 12 }));
    expect(steps.map((step) => step.token)).toEqual(expected.map((step) => step.token));
    session.close();
    const unpenalised = await generate({ ...shaped, repetitionPenalty: undefined, seed: 3, maxTokens: 12 });
    expect(unpenalised.map((step) => step.token)).not.toEqual(expected.map((step) => step.token));
  });

  it("refuses sampling options before it runs the prompt", async () => {
    const session = model.session();
    await expect(session.generate(prompt, { topP: 0.5 }).next()).rejects.toThrow("topP: needs a temperature above 0");
    await expect(session.generate(prompt, { minp: 0.5 } as never).next()).rejects.toThrow("Did you mean minP?");
    expect(session.tokens).toEqual([]);
    session.close();
  });
});
