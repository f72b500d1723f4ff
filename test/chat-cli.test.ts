/** `golgi chat`, `golgi run --chat` and texts on stdin, run as their users run them. */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ChatMessage, type Model, open, widthOf } from "../node/index.ts";
import { stories260K } from "./support/fixtures.ts";

const golgiScript = join(import.meta.dirname, "../bin/golgi.js");
const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}{% if add_generation_prompt %}Then{% endif %}";

let folder: string;
let chatModel: string;
let endlessModel: string;
let model: Model;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "golgi-chat-cli-"));
  [chatModel, endlessModel] = [join(folder, "chat"), join(folder, "endless")];
  for (const path of [chatModel, endlessModel]) {
    cpSync(stories260K, path, { recursive: true });
    writeFileSync(join(path, "chat_template.jinja"), TEMPLATE);
  }
  const config = JSON.parse(readFileSync(join(endlessModel, "config.json"), "utf8"));
  writeFileSync(join(endlessModel, "config.json"), JSON.stringify({ ...config, max_position_embeddings: 1_000_000 }));
  writeFileSync(join(endlessModel, "generation_config.json"), JSON.stringify({ eos_token_id: [] }));
  model = await open(chatModel);
});
afterAll(async () => {
  await model.close();
  rmSync(folder, { recursive: true });
});

function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  const { FORCE_COLOR: _force, COLUMNS: _columns, ...env } = process.env;
  return spawn(process.execPath, [golgiScript, ...args], { env });
}

async function golgi(args: readonly string[], stdin: string | Uint8Array) {
  const child = start(args);
  child.stdin.end(stdin);
  const closed = once(child, "close");
  const [stdout, stderr] = await Promise.all([readText(child.stdout), readText(child.stderr)]);
  const [code] = await closed;
  return { code, stdout, stderr };
}

async function answerTo(messages: readonly ChatMessage[], maxTokens: number): Promise<string> {
  let text = "";
  for await (const step of model.generate({ messages }, { maxTokens })) text += step.text;
  return text;
}

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });
const system = (content: string): ChatMessage => ({ role: "system", content });

describe.concurrent("golgi run --chat", () => {
  it("prints the answer to a question, and nothing else", async () => {
    const expected = await answerTo([user("Lily saw a dog.")], 12);
    const args = ["run", "--chat", "Lily saw a dog.", "-m", chatModel, "-n", "12"];
    expect(await golgi(args, "")).toEqual({ code: 0, stdout: `${expected}\n`, stderr: "" });
  });

  it("puts what --system says before it, and gives JSON", async () => {
    const messages = [system("Once upon a time."), user("Lily saw a dog.")];
    const args = [
      "run",
      "--chat",
      "Lily saw a dog.",
      "--system",
      "Once upon a time.",
      "-m",
      chatModel,
      "-n",
      "9",
      "--json",
    ];
    const { stdout } = await golgi(args, "");
    expect(JSON.parse(stdout)).toMatchObject({
      prompt: "Lily saw a dog.",
      prompt_tokens: model.encode({ messages }),
      text: await answerTo(messages, 9),
      finish_reason: "length",
    });
  });

  it("takes a template from a file, also for a model that has none", async () => {
    const path = join(folder, "other.jinja");
    writeFileSync(path, "{{ messages[0].content }} there was");
    const args = ["run", "--chat", "Once upon a time", "--template", path, "-n", "3", "--json"];
    const tokens = model.tokenizer.encode("Once upon a time there was", { addSpecialTokens: false });
    expect(JSON.parse((await golgi(args, "")).stdout).prompt_tokens).toEqual(tokens);
  });
});

describe.concurrent("a text on stdin", () => {
  it.each([[["run"]], [["run", "-"]]])("is the prompt of golgi %j, as it is", async (args) => {
    const prompt = "Once\tupon é\n\n a time";
    const { code, stdout } = await golgi([...args, "-n", "3", "--json"], prompt);
    expect([code, JSON.parse(stdout).prompt]).toEqual([0, prompt]);
  });

  it.each(["run", "chat"])("must be UTF-8 for golgi %s", async (command) => {
    const result = await golgi([command, "-m", chatModel], Uint8Array.of(0x4f, 0xff, 0x0a));
    expect(result).toEqual({ code: 1, stdout: "", stderr: "golgi: stdin: must be text in UTF-8.\n" });
  });
});

describe.concurrent("golgi chat", () => {
  it("answers each line, and remembers those before it", async () => {
    const first = await answerTo([system("Once upon a time."), user("Lily saw a dog.")], 8);
    const messages = [system("Once upon a time."), user("Lily saw a dog."), assistant(first), user("It was big.")];
    const second = await answerTo(messages, 8);
    const args = ["chat", "-m", chatModel, "-n", "8", "--system", "Once upon a time."];
    const expected = { code: 0, stdout: `${first}\n${second}\n`, stderr: "" };
    expect(await golgi(args, "Lily saw a dog.\r\n\nIt was big.")).toEqual(expected);
    expect(await golgi(args, "Lily saw a dog.\nIt was big.\n/exit\nNot this.\n")).toEqual(expected);
  });

  it("stops an answer at Ctrl-C, and goes on with the next line", async () => {
    const child = start(["chat", "-m", endlessModel, "-n", "100000"]);
    const output = Promise.all([readText(child.stdout), readText(child.stderr)]);
    child.stdin.write("Once upon a time\n");
    await once(child.stdout, "data");
    child.kill("SIGINT");
    child.stdin.end("/exit\n");
    expect(await once(child, "close")).toEqual([0, null]);
    const [stdout, stderr] = await output;
    expect(stdout).toMatch(/^[^\n].*\n$/s);
    expect(stderr).toBe("");
  });

  it("ends with 130 at a Ctrl-C that finds no answer to stop", async () => {
    const child = start(["chat", "-m", chatModel, "-n", "1"]);
    const [stderr, closed] = [readText(child.stderr), once(child, "close")];
    child.stdin.write("Hi\n");
    await once(child.stdout, "data");
    // The first one may still find the answer; then the second finds it stopped.
    const timer = setInterval(() => child.kill("SIGINT"), 1000);
    expect(await closed.finally(() => clearInterval(timer))).toEqual([130, null]);
    expect(await stderr).toBe("golgi: interrupted\n");
  });

  it("has a help that fits into 80 columns", async () => {
    const { code, stdout } = await golgi(["chat", "--help"], "");
    expect(code).toBe(0);
    expect(Math.max(...stdout.split("\n").map((line) => widthOf(line)))).toBeLessThanOrEqual(80);
  });
});

describe.concurrent("what golgi refuses of chats", () => {
  it.each([
    [1, ["run", "--chat", "Hi"], /messages need a chat template.*On the command line that is --template <file>\.\n$/],
    [1, ["chat"], /messages need a chat template.*On the command line that is --template <file>\.\n$/],
    [2, ["run", "Hi", "--system", "x"], /^golgi: --system needs --chat\n/],
    [2, ["run", "Hi", "--template", "x"], /^golgi: --template needs --chat\n/],
    [1, ["run", "--chat", "Hi", "--template", "/no/file"], /^golgi: \/no\/file: /],
  ])("exits with %i at %j", async (expected, args, message) => {
    const { code, stdout, stderr } = await golgi(args, "");
    expect([code, stdout]).toEqual([expected, ""]);
    expect(stderr).toMatch(message);
  });
});
