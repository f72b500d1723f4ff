/** The sampling options of `golgi run`. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerateOptions, GenerationStep, Model } from "../node/index.ts";
import { open } from "../node/index.ts";
import { type Ended, golgiHere } from "./support/command.ts";
import { stories260K } from "./support/fixtures.ts";

const prompt = "Once upon a time";
let model: Model;

beforeAll(async () => {
  model = await open(stories260K);
});
afterAll(() => model.close());

function golgiRun(...args: string[]): Promise<Ended> {
  return golgiHere(["run", prompt, ...args]);
}

async function generate(options: GenerateOptions): Promise<GenerationStep[]> {
  const steps: GenerationStep[] = [];
  for await (const step of model.generate(prompt, options)) steps.push(step);
  return steps;
}

const drawn = ["-n", "12", "-t", "1.5", "--seed", "5"];
const asDrawn = { maxTokens: 12, temperature: 1.5, seed: 5 } as const;

describe("golgi run", () => {
  it.each<[string[], GenerateOptions]>([
    [["--top-k", "2"], { topK: 2 }],
    [["--top-p", "0.2"], { topP: 0.2 }],
    [["--min-p", "0.5"], { minP: 0.5 }],
    [["--typical-p", "0.2"], { typicalP: 0.2 }],
    [["--repetition-penalty", "5", "--repetition-window", "3"], { repetitionPenalty: 5, repetitionWindow: 3 }],
    [["--frequency-penalty", "-5"], { frequencyPenalty: -5 }],
    [["--presence-penalty", "5"], { presencePenalty: 5 }],
    [["--top-p", "0.5", "--order", "llama.cpp"], { topP: 0.5, order: "llama.cpp" }],
    [["--top-p", "0.5", "--order", "top-p,temperature"], { topP: 0.5, order: ["topP", "temperature"] }],
  ])("passes on %j", async (args, options) => {
    const expected = (await generate({ ...asDrawn, ...options })).map(({ text }) => text).join("");
    expect(expected).not.toBe((await generate(asDrawn)).map(({ text }) => text).join(""));
    const { code, stdout, stderr } = await golgiRun(...drawn, ...args);
    expect([code, stdout, stderr]).toEqual([0, `${prompt}${expected}\n`, ""]);
  });

  it("ends before the first of several stop strings, and says which it was", async () => {
    const { stdout } = await golgiRun("--stop", "park", "--stop", "named L", "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      text: ", there was a little girl ",
      finish_reason: "stop",
      stop_reason: "named L",
    });
    expect(await golgiRun("--stop", " little")).toMatchObject({ stdout: "Once upon a time, there was a\n" });
  });

  it("lists the likeliest tokens of each step in the JSON", async () => {
    const { stdout } = await golgiRun("-n", "3", "--logprobs", "2", "--json");
    const steps = await generate({ maxTokens: 3, logprobs: 2 });
    expect(JSON.parse(stdout).logprobs).toEqual(steps.map(({ logprob, logprobs }) => ({ logprob, top: logprobs })));
  });

  it.each([
    [["--logprobs", "2"], "golgi: --logprobs needs --json\n"],
    [["--top-k", "many"], "option '--top-k <n>' argument 'many' is invalid. It must be a number.\n"],
    [["--top-p", "0.5"], "topP: needs a temperature above 0, where tokens are drawn; got 0."],
    [["-t", "1", "--min-p", "3"], "minP: must be from 0 to 1; got 3."],
    [["-t", "1", "--order", "llama"], 'order: must be huggingface, llama.cpp or a list of stages; got "llama".'],
    [["-t", "1", "--order", "temperature,top-q"], 'order: must list known stages; got "topQ".'],
    [["--stop", ""], 'stop: must be a text or a list of texts, none empty; got ""'],
  ])("exits with 2 at %j", async (args, message) => {
    const { code, stdout, stderr } = await golgiRun(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
  });
});
