/** The command `golgi`, run as its users run it. */

import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { open, openModel, reference, trace } from "../node/index.ts";
import manifest from "../package.json" with { type: "json" };
import { ESC, golgi, golgiHere, lines, start, widest } from "./support/command.ts";
import { fixture, stories260K } from "./support/fixtures.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "golgi-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of the default model, with these files replaced. */
function modelWith(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(folder, name);
  cpSync(stories260K, path, { recursive: true });
  for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
  return path;
}

const LLAMA = {
  model_type: "llama",
  hidden_act: "silu",
  hidden_size: 64,
  intermediate_size: 172,
  max_position_embeddings: 512,
  num_attention_heads: 8,
  num_hidden_layers: 5,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  tie_word_embeddings: true,
  vocab_size: 512,
};

/** A model that writes until it is stopped. */
const endlessModel = (): string =>
  modelWith("endless", {
    "config.json": JSON.stringify({ ...LLAMA, max_position_embeddings: 1_000_000 }),
    "generation_config.json": JSON.stringify({ eos_token_id: [] }),
  });

describe("golgi run", () => {
  const prompt = "Once upon a time";

  it("prints the prompt and what the model adds to it, and ends with a line break", async () => {
    const model = await open(stories260K);
    let expected = prompt;
    for await (const step of model.generate(prompt, { maxTokens: 20 })) expected += step.text;
    await model.close();
    expect(await golgi(["run", prompt, "-n", "20"])).toEqual({ code: 0, stdout: `${expected}\n`, stderr: "" });
  });

  it("gives one line of JSON with the tokens of the prompt and those that it added", async () => {
    const { stdout } = await golgi(["run", prompt, "--max-tokens", "7", "--json"]);
    expect(stdout).toMatch(/^{.*}\n$/);
    const { prompt_tokens, tokens, text, ...rest } = JSON.parse(stdout);
    expect(rest).toEqual({ model: stories260K, prompt, finish_reason: "length" });
    const model = await open(stories260K);
    expect(prompt_tokens).toEqual(model.tokenizer.encode(prompt));
    expect(tokens).toHaveLength(7);
    expect(prompt + text).toBe(model.tokenizer.decode([...prompt_tokens, ...tokens]));
    await model.close();
  });

  it("draws the same text from the same seed, and another from another", async () => {
    const draw = (seed: string) => golgi(["run", prompt, "-n", "20", "-t", "1", "--seed", seed]);
    const [a, again, b] = await Promise.all([draw("1"), draw("1"), draw("2")]);
    expect(a.stdout).toBe(again.stdout);
    expect(a.stdout).not.toBe(b.stdout);
  });

  it("starts a text from nothing", async () => {
    expect((await golgi(["run", "", "-n", "5"])).stdout).toBe("Once upon a time,\n");
  });

  it("refuses a prompt longer than the context, and prints none of it", async () => {
    const { code, stdout, stderr } = await golgi(["run", "a".repeat(600)]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^golgi: .*at most 512 tokens.*Shorten the text\.\n$/);
  });

  it("says that a model without a tokenizer cannot take a text", async () => {
    const { code, stdout, stderr } = await golgi(["run", "x", "-m", fixture("goldens/llama")]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^golgi: .*text needs a tokenizer\.json beside the weights.*\n$/);
  });

  it("ends without a word once nobody reads on", async () => {
    const child = start(["run", prompt, "-m", endlessModel(), "-n", "100000"]);
    const stderr = readText(child.stderr);
    const [chunk] = await once(child.stdout, "data");
    expect(`${chunk}`).toMatch(/^Once upon a time/);
    child.stdout.destroy();
    expect(await once(child, "close")).toEqual([0, null]);
    expect(await stderr).toBe("");
  });

  it("lets Ctrl-C come through between steps, however short they are", async () => {
    let nPauses = 0;
    const pause = async () => {
      nPauses++;
    };
    const model = await openModel({ folder: await openFolder(stories260K) }, { nowMs: () => 0, pause }, [reference]);
    for await (const _ of model.generate(prompt, { maxTokens: 20 }));
    await model.close();
    expect(nPauses).toBeGreaterThanOrEqual(20);
  });

  it("stops at Ctrl-C with exit code 130, and leaves a whole line of what it has written", async () => {
    const child = start(["run", prompt, "-m", endlessModel(), "-n", "100000"]);
    const output = Promise.all([readText(child.stdout), readText(child.stderr)]);
    await once(child.stdout, "data");
    const startMs = performance.now();
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([130, null]);
    expect(performance.now() - startMs).toBeLessThan(2000);
    const [stdout, stderr] = await output;
    expect(stdout).toMatch(/^Once upon a time.*\n$/s);
    expect(stderr).toBe("golgi: interrupted\n");
  });
});

describe("golgi trace", () => {
  const prompt = "Lily and her mom went to the park. She saw a big";

  it.each([80, 200])("shows text, layers from bottom to top and their parts within %i columns", async (width) => {
    const { code, stdout, stderr } = await golgi(["trace", prompt], { COLUMNS: `${width}` });
    expect([code, stderr]).toEqual([0, ""]);
    expect(widest(stdout)).toBeLessThanOrEqual(width);
    expect(stdout.replaceAll("\n", " ")).toContain(`${prompt} box with a big box.`);
    const labels = lines(stdout).flatMap((line) => /^(embed|L\d) /.exec(line)?.[1] ?? []);
    expect(labels).toEqual(["embed", "L0", "L1", "L2", "L3", "L4"]);
    expect(stdout).toMatch(/^ +next +attention +MLP +residual$/m);
    expect(stdout).toMatch(/^L4 +" b" 17% .*█ 5\.59 +15\.14$/m);
    expect(stdout.match(/^ +neurons +(N\d+ [+−]\d+\.\d\d → "[^"]+" "[^"]+" "[^"]+" *)+$/gm)).toHaveLength(5);
    expect(stdout.match(/^ +heads +(H\d "[^"]+" → "[^"]+" \d+% *)+$/gm)).toHaveLength(5);
    expect(stdout).toContain('Next came " b", as the last layer predicted.');
  });

  it("gives one line of JSON with the same data", async () => {
    const { stdout } = await golgi(["trace", prompt, "--json"]);
    expect(stdout).toMatch(/^{.*}\n$/);
    const { model: header, ...data } = JSON.parse(stdout);
    const model = await open(stories260K);
    const options = { maxTokens: 40, nPredictions: 8, nNeurons: 8, nEdges: 8 };
    expect(data).toEqual(await trace(model, prompt, options));
    const { architecture, config } = model;
    expect(header).toEqual({
      name: stories260K,
      architecture,
      backend: model.backend,
      config: { ...config },
      edits: [],
    });
    await model.close();
  });

  it("looks at the token that --at names, and says what came after it", async () => {
    const { stdout } = await golgi(["trace", "Hi", "--at", "0", "-n", "1"]);
    expect(stdout).toContain('The stack at token 0, "<s>", from bottom to top');
    expect(stdout).toContain('The prompt goes on with " H"; the last layer\'s likeliest was " Once".');
  });

  it("keeps to the width with wide characters, and shows control characters instead of sending them", async () => {
    const strange = `${"日本語".repeat(20)}\n👩‍👩‍👧 a\tb ${ESC}[31m\u009b1m \u202edrow`;
    const { code, stdout } = await golgi(["trace", strange, "-n", "3"], { COLUMNS: "80" });
    expect(code).toBe(0);
    expect(widest(stdout)).toBeLessThanOrEqual(80);
    expect(stdout).toContain("日本語");
    expect(stdout).toContain("\n👩‍👩‍👧 a    b \\u001b[31m\\u009b1m \\u202edrow");
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}|\u202e/u);
  });

  it("has no edges to show where there is only the first token and the next", async () => {
    const { code, stdout } = await golgi(["trace", "", "-n", "1"]);
    expect(code).toBe(0);
    expect(stdout.match(/^ +heads +none$/gm)).toHaveLength(5);
  });

  it("is coloured on a terminal or on demand only, and says the same either way", async () => {
    const args = ["trace", "Hi", "-n", "1"];
    const [plain, coloured] = await Promise.all([golgi(args), golgi(args, { FORCE_COLOR: "1" })]);
    expect(plain.stdout).not.toContain(ESC);
    expect(coloured.stdout).toContain(`${ESC}[1mL0`);
    expect(stripVTControlCharacters(coloured.stdout)).toBe(plain.stdout);
  });
});

describe("golgi info", () => {
  it("describes a directory, its weights file and its config.json alike", async () => {
    const paths = ["", "/model.safetensors", "/config.json"].map((file) => stories260K + file);
    const outputs = await Promise.all(paths.map((path) => golgiHere(["info", path])));
    for (const [i, { code, stdout, stderr }] of outputs.entries()) {
      expect([code, stderr]).toEqual([0, ""]);
      const [name, ...rows] = lines(stdout);
      expect(name).toBe(paths[i]);
      const table = Object.fromEntries(rows.map((row) => row.split(/ {2,}/)));
      expect(table).toMatchObject({
        architecture: "llama",
        parameters: "260,032 (260 thousand)",
        layers: "5, width 64",
        heads: "40 (8 a layer of size 8, 4 key-value heads)",
        neurons: "860 (172 a layer)",
        vocabulary: "512 tokens",
        context: "512 tokens",
        // 2 · 5 layers · 4 key-value heads · 8 · 4 bytes.
        cache: "1.25 KiB a token, 640.0 KiB when full; at 16 bits 640 B a token",
      });
      const sizes = "507.9 KiB at 16 bits, 1015.8 KiB at 32 bits";
      expect(table.weights).toBe(i === 2 ? sizes : `1015.8 KiB stored (${sizes})`);
    }
  });

  it("describes the default model as JSON", async () => {
    const { stdout } = await golgiHere(["info", "--json"]);
    expect(stdout).toMatch(/^{.*}\n$/);
    const info = JSON.parse(stdout);
    expect(info.counts).toEqual({
      ...{ parameters: 260_032, activeParameters: 260_032 },
      ...{ layers: 5, sparseLayers: 0, heads: 40, neurons: 860, activeNeurons: 860 },
    });
    expect(info.perToken.map(({ nCached }: { nCached: number }) => nCached)).toEqual([0, 511]);
    expect(info).not.toHaveProperty("tape");
  });

  it("prints the model as a tensor program", async () => {
    const { code, stdout } = await golgiHere(["info", stories260K, "--tape"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^tape llama\n/);
    expect(stdout).toContain("blocks.4.mlp.wDown");
  });

  it("lists what is left out, with the reason, within the width", async () => {
    const { stdout } = await golgiHere(["info", fixture("goldens/gpt2-hub-names")]);
    expect(stdout.replaceAll(/\s+/g, " ")).toContain("left out h.0.attn.bias, h.1.attn.bias: the causal mask");
    expect(widest(lines(stdout).slice(1).join("\n"))).toBeLessThanOrEqual(80);
  });
});

const COMMANDS = [
  "",
  " run",
  " chat",
  " trace",
  " look",
  " explain",
  " patch",
  " diff",
  " info",
  " convert",
  " pull",
  " models",
];

describe("golgi --help", () => {
  it.each(COMMANDS.map((name) => `golgi${name}`))("of %s fits into 80 columns, whatever the machine", async (name) => {
    const { code, stdout, stderr } = await golgiHere([...name.split(" ").slice(1), "--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(new RegExp(`^Usage: ${name} `));
    expect(widest(stdout)).toBeLessThanOrEqual(80);
    expect(stdout).not.toContain(stories260K);
    expect(stdout).toContain("--debug");
  });

  it("has the version of the package", async () => {
    expect(await golgiHere(["--version"])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: "" });
  });
});

describe("what golgi refuses", () => {
  it.each([
    ["an unknown command", ["trac"], "unknown command 'trac'\n(Did you mean trace?)\n(golgi --help"],
    [
      "an unknown option",
      ["run", "x", "--sed", "1"],
      "unknown option '--sed'\n(Did you mean --seed?)\n(golgi run --help",
    ],
    ["a prompt without quotes", ["run", "Once", "upon"], "too many arguments for 'run'. Expected 1 argument but got 2"],
    ["no tokens at all", ["run", "x", "-n", "0"], "'0' is invalid. It must be at least 1."],
    ["half a token", ["run", "x", "-n", "1.5"], "'1.5' is invalid. It must be a whole number."],
    ["a temperature below 0", ["run", "x", "-t", "-1"], "'-1' is invalid. It must be a number from 0 up."],
    ["a seed too large", ["run", "x", "--seed", "4294967296"], "It must be less than 2^32."],
    ["a position after the end", ["trace", "Hi", "-n", "2", "--at", "9"], "the text has positions 0 to 4; got 9"],
    ["two models", ["info", "a", "-m", "b"], "name one model, either as the argument or with --model"],
    ["two kinds of output", ["info", "--tape", "--json"], "'--tape' cannot be used with option '--json'"],
  ])("exits with 2 at %s", async (_, args, message) => {
    const { code, stdout, stderr } = await golgiHere(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^golgi: /);
    expect(stderr).toContain(message);
  });

  it("exits with 2 where there is no prompt, and none on stdin", async () => {
    const { code, stdout, stderr } = await golgi(["run"]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("golgi: missing required argument 'prompt'");
  });

  it("exits with 2 where no command is given, and shows the commands", async () => {
    const { code, stdout, stderr } = await golgiHere([]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^Usage: golgi .*Commands:.*Examples:/s);
  });

  const config = (name: string, content: unknown): string => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };

  it.each([
    ["a model that is not there", () => ["run", "x", "-m", "/no/model"], "/no/model: .*got nothing at that path"],
    ["a config that is not there", () => ["info", "/no/config.json"], "/no/config.json: the file must exist"],
    ["a damaged config", () => ["info", config("damaged", '{"a":')], "damaged.json: must be JSON in UTF-8; got "],
    [
      "a model with a damaged config",
      () => ["run", "x", "-m", modelWith("damaged", { "config.json": "{" })],
      "config.json: must be JSON in UTF-8; got ",
    ],
    [
      "a family that it does not know, and lists those it does",
      () => ["info", config("mamba", { ...LLAMA, model_type: "mamba" })],
      'the supported architectures are .*gpt2.*llama.*mistral.*qwen2.*qwen3.*; got "mamba"',
    ],
    [
      "a key that it does not know, and offers --ignore",
      () => ["info", config("key", { ...LLAMA, rope_tetha: 1 })],
      "rope_tetha: .*Did you mean rope_theta\\?.*--ignore <name>",
    ],
    ["a backend that it does not have", () => ["run", "x", "--backend", "gpu"], "gpu: .*only .*reference"],
  ])("exits with 1 and one line at %s", async (_, args, message) => {
    const { code, stdout, stderr } = await golgiHere(args());
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(new RegExp(`^golgi: .*${message}.*\\n$`));
  });

  it("is passed over where --ignore names it", async () => {
    const path = config("ignored", { ...LLAMA, quirk: 1, whim: 2 });
    const { code, stdout } = await golgiHere(["info", "--ignore", "quirk", "--ignore", "whim", path]);
    expect(code).toBe(0);
    expect(stdout).toContain("quirk, whim: left out on request");
  });

  it.each([[["--debug", "info", "/no"]], [["info", "/no", "--debug"]]])(
    "comes with its origin under %j",
    async (args) => {
      const { code, stderr } = await golgiHere(args);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^golgi: \/no: .*\n.*CheckpointError.*\n +at /);
    },
  );
});
