/** The commands that look inside of a model: they draw what the library's views give, and nothing else. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diff, explain, look, type Model, open, patch, router, routerDiff, trace } from "../node/index.ts";
import { ESC, golgiHere as golgi, golgi as golgiAlone, lines, widest } from "./support/command.ts";
import { stories260K } from "./support/fixtures.ts";
import { writeSparseStories } from "./support/sparse-stories.ts";

const text = "Lily saw a big";
const clean = "Tim was so happy. He";
const corrupted = "Lily was so happy. She";
const edit = "L2.N107 = 0";

const folder = mkdtempSync(join(tmpdir(), "golgi-views-"));
const sparsePath = writeSparseStories(join(folder, "sparse"), { nExperts: 16, nExpertsPerToken: 4 });
const otherPath = writeSparseStories(join(folder, "other"), { nExperts: 16, nExpertsPerToken: 4, seed: 2 });

let model: Model;
let sparse: Model;
let other: Model;
beforeAll(async () => {
  model = await open(stories260K);
  sparse = await open(sparsePath);
  other = await open(otherPath);
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await Promise.all([model.close(), sparse.close(), other.close()]);
});

const patching = ["--clean", clean, "--corrupted", corrupted, "--points", "L*.attn"];
const metric = async () => {
  const next = async (prompt: string): Promise<number> => {
    for await (const { token } of model.generate(prompt, { maxTokens: 1 })) return token;
    throw new Error("nothing was generated");
  };
  const [answer, wrong] = [await next(clean), await next(corrupted)];
  return answer === wrong ? { answer } : { answer, wrong };
};

/** Each command line, and the view that it shows. */
const shown: [name: string, args: string[], view: () => Promise<object>][] = [
  ["a neuron by its weights", ["look", "L2.N107"], () => look(model, "L2.N107")],
  ["a neuron on a text", ["look", "L2.N107", "--on", text], () => look(model, "L2.N107", { on: text })],
  ["a head on a text", ["look", "L2.H3", "--on", text], () => look(model, "L2.H3", { on: text })],
  ["a layer at a token", ["look", "L2@3", "--on", text], () => look(model, "L2@3", { on: text })],
  ["what a layer has to read", ["look", "L2"], () => look(model, "L2")],
  [
    "a neuron on a text with an edit",
    ["look", "L3.N5", "--on", text, "--edit", edit],
    () => look(model, "L3.N5", { on: text, edits: [edit] }),
  ],
  ["where a neuron's value comes from", ["explain", "L2.N107", "--on", text], () => explain(model, "L2.N107", text)],
  ["where a logit comes from", ["explain", "logits[268]@3", "--on", text], () => explain(model, "logits[268]@3", text)],
  [
    "what brings the clean text's answer",
    ["patch", ...patching, "--positions", "all"],
    async () => patch(model, { clean, corrupted, points: ["L*.attn"], positions: "all", metric: await metric() }),
  ],
  [
    "what an edit changes",
    ["diff", stories260K, stories260K, "--on", text, "--edit", edit],
    () => diff(model, { model, edits: [edit] }, text),
  ],
  ["an expert by its weights", ["look", "L1.E3", "-m", sparsePath], () => look(sparse, "L1.E3")],
  [
    "a router at a token",
    ["look", "L2.router@3", "-m", sparsePath, "--on", text],
    () => look(sparse, "L2.router@3", { on: text }),
  ],
  ["all routers", ["router", sparsePath, "--on", text], () => router(sparse, text)],
  [
    "some routers with an edit, and another logit",
    [
      ...["router", sparsePath, "--on", text, "--layer", "2", "--layer", "1", "--of", " a", "--at", "2"],
      ...["--edit", "L1.router ban 3"],
    ],
    () => router(sparse, text, { layers: [2, 1], of: " a", position: 2, edits: ["L1.router ban 3"] }),
  ],
  [
    "where an edit sends tokens elsewhere",
    ["router", sparsePath, "--on", text, "--against", sparsePath, "--edit", "L1.H0 *= 5"],
    () => routerDiff(sparse, { model: sparse, edits: ["L1.H0 *= 5"] }, text),
  ],
  [
    "where another model sends tokens elsewhere",
    ["router", sparsePath, "--on", text, "--against", otherPath, "--layer", "1"],
    () => routerDiff(sparse, other, text, { layers: [1] }),
  ],
];

describe.each(shown)("%s", (_, args, view) => {
  it("is drawn as the view prints itself, within 80 columns, and is one line of JSON with its data", async () => {
    const [drawn, json] = await Promise.all([golgi(args), golgi([...args, "--json"])]);
    expect([drawn.code, drawn.stderr, json.code, json.stderr]).toEqual([0, "", 0, ""]);
    const report = await view();
    expect(drawn.stdout).toBe(`${report}\n`);
    expect(widest(drawn.stdout)).toBeLessThanOrEqual(80);
    expect(json.stdout).toMatch(/^{.*}\n$/);
    expect(JSON.parse(json.stdout)).toEqual(JSON.parse(JSON.stringify(report)));
  });
});

it("a view is coloured on demand only, and says the same either way", async () => {
  const args = ["look", "L2.N107", "--on", text];
  const [plain, coloured] = await Promise.all([golgi(args), golgiAlone(args, { FORCE_COLOR: "1" })]);
  expect(plain.stdout).not.toContain(ESC);
  expect(coloured.stdout).toContain(`${ESC}[1mNeuron L2.N107`);
  expect(stripVTControlCharacters(coloured.stdout)).toBe(plain.stdout);
});

it("a patch says on stderr how far it is and how long it takes, where that is more than a moment", async () => {
  const args = ["patch", ...patching.with(5, "L*.N*"), "--positions", "all", "--json"];
  const { code, stderr } = await golgi(args);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^(patching {2}\d+ of 860 runs {2}.* left\n)*$/);
});

describe("--edit", () => {
  const prompt = "Once upon a time";

  it("changes what run writes as it changes the library's text", async () => {
    const edits = ["L2.mlp *= -1", "L1.H0 = 0 @generated"];
    let expected = prompt;
    for await (const step of model.generate(prompt, { maxTokens: 12, edits })) expected += step.text;
    const flags = edits.flatMap((one) => ["--edit", one]);
    const { stdout, stderr } = await golgi(["run", prompt, "-n", "12", ...flags]);
    expect([stdout, stderr]).toEqual([`${expected}\n`, ""]);
    expect(stdout).not.toBe((await golgi(["run", prompt, "-n", "12"])).stdout);
  });

  it("stands in the head of a trace and in its JSON", async () => {
    const args = ["trace", prompt, "-n", "4", "--edit", edit, "--edit", "L3.H5@2 = 0"];
    const { stdout } = await golgi(args);
    expect(lines(stdout).slice(1, 3)).toEqual([`edited  ${edit}`, "edited  L3.H5@2 = 0"]);
    const { model: header, ...data } = JSON.parse((await golgi([...args, "--json"])).stdout);
    expect(header.edits).toEqual([edit, "L3.H5@2 = 0"]);
    const options = { maxTokens: 4, nPredictions: 8, nNeurons: 8, nEdges: 8, edits: header.edits };
    expect(data).toEqual(await trace(model, prompt, options));
  });
});

it("a trace names experts and their neurons, within 80 columns", async () => {
  const { stdout, stderr } = await golgi(["trace", text, "-n", "3", "-m", sparsePath]);
  const { layers } = await trace(sparse, text, { maxTokens: 3, nNeurons: 8 });
  expect(stderr).toBe("");
  expect(widest(stdout)).toBeLessThanOrEqual(80);
  expect(lines(stdout)[0]).toMatch(/3 layers of 2 heads; 2 layers have 16 experts of 4/);
  const named = layers[2].experts?.map(({ expert, weight }) => `E${expert} ${weight.toFixed(3)}`) ?? [];
  expect(named).toHaveLength(4);
  for (const name of named) expect(stdout).toContain(name);
  expect(stdout).toMatch(/neurons {2}(E\d+|shared)\.N\d+ /);
  expect(stdout).toMatch(/^experts {9}where the router sent this token/m);
});

describe("trace --html", () => {
  it("writes one file that replaces what was there, and says what is in it", async () => {
    const file = join(folder, "page.html");
    for (const prompt of ["One", "Two"]) {
      const { code, stdout, stderr } = await golgi(["trace", prompt, "-n", "3", "--html", file, "--edit", edit]);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(/^.*page\.html: \d+ tokens, 5 layers of 8 heads, \d+\.\d KiB; open it in a browser\n$/);
      const html = readFileSync(file, "utf8");
      expect(html).toContain(`<title>${prompt} · stories260K</title>`);
      expect(html).toContain(`"edits":["${edit}"]`);
      expect(html).not.toMatch(/(src|href)=|https?:/);
    }
  });

  it("refuses a text that a page cannot hold, and writes nothing", async () => {
    const file = join(folder, "long.html");
    const { code, stdout, stderr } = await golgi(["trace", "a ".repeat(300), "-n", "1", "--html", file]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/at most 256 tokens; got \d+\. Give a shorter prompt, or generate fewer tokens\.\n$/);
    expect(existsSync(file)).toBe(false);
  });
});

describe.concurrent("wrong usage", () => {
  it.each([
    ["a page and JSON at once", ["trace", "--html", "x.html", "--json"], "'--html <file>' cannot be used with"],
    ["no address", ["look"], "missing required argument 'address'"],
    ["no text to explain on", ["explain", "L2.N107"], "required option '--on <text>' not specified"],
    ["an edit without a text", ["look", "L2.N107", "--edit", edit], "edits: the option needs a text to run"],
    [
      "a text for what is no part",
      ["look", "L2.mlp.pre", "--on", "x"],
      "a text goes with one neuron, head, expert, router or layer",
    ],
    ["no text for routers", ["router", "a"], "required option '--on <text>' not specified"],
    ["a model without experts", ["router", stories260K, "--on", "x"], "all of whose MLPs are dense"],
    ["a layer that is no number", ["router", "a", "--on", "x", "--layer", "one"], "--layer <n>"],
    ["a logit of two models", ["router", "a", "--on", "x", "--against", "b", "--at", "1"], "cannot be used with"],
    ["nothing to patch", ["patch", "--clean", "a", "--corrupted", "b"], "required option '--points <glob>' not"],
    ["texts of unequal length", ["patch", ...patching.with(3, "Lily")], "as many tokens"],
    ["a wrong token alone", ["patch", ...patching, "--wrong", " a"], "--wrong needs --answer"],
    ["one model to compare", ["diff", "a", "--on", "x"], "missing required argument 'b'"],
  ])("exits with 2 at %s", async (_, args, message) => {
    const { code, stdout, stderr } = await golgi(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^golgi: /);
    expect(stderr).toContain(message);
  });

  it.each([
    ["an address that the model lacks", ["look", "L9.N1"], "L9"],
    ["an edit of what a chat's model lacks", ["chat", "--edit", "L9.N1 = 0"], "L9.N1"],
    ["an edit that says nothing", ["run", "x", "--edit", "L2.N107"], "L2.N107"],
    ["an edit of what cannot be read", ["run", "x", "--edit", "L2.N107 = zero"], "at character 10"],
  ])("exits with 1 and one line at %s", async (_, args, message) => {
    const { code, stdout, stderr } = await golgi(args);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^golgi: .*\n$/);
    expect(stderr).toContain(message);
  });
});
