/** Models of the Hub from their names to text: `open`, `golgi pull`, `golgi models`, `golgi run --model org/name`. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type HubProgress, type Model, open, pull } from "../node/index.ts";
import { FakeHub } from "./support/fake-hub.ts";
import { fixture, goldenTokens, readExpected, stories260K } from "./support/fixtures.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

const golgiScript = join(import.meta.dirname, "../bin/golgi.js");
const PROMPT = "Once upon a time";

const filesOf = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));

let root: string;
let cache: string;
let hub: FakeHub;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "golgi-hub-"));
});
beforeEach(async () => {
  cache = mkdtempSync(join(root, "cache-"));
  hub = await FakeHub.start();
  hub.put("karpathy/stories260K", { files: filesOf(stories260K) });
  for (const [name, value] of Object.entries(environment())) vi.stubEnv(name, value);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
});
afterAll(() => rmSync(root, { recursive: true }));

/** Everything that the environment says about the Hub, and no login of whoever runs the tests. */
function environment(): Record<string, string> {
  const none = { HF_TOKEN: "", HUGGING_FACE_HUB_TOKEN: "", HF_HUB_OFFLINE: "", HF_HUB_DISABLE_SYMLINKS: "" };
  return { ...none, HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache, HF_TOKEN_PATH: join(cache, "token") };
}

async function continuation(model: Model): Promise<string> {
  let written = "";
  for await (const step of model.generate(PROMPT, { maxTokens: 20 })) written += step.text;
  await model.close();
  return written;
}

describe("open", () => {
  it("runs a model by its name on the Hub as it runs its folder, and again without a request", async () => {
    const expected = await continuation(await open(stories260K));
    const seen: HubProgress[] = [];
    const onProgress = (progress: HubProgress) => seen.push(progress);
    expect(await continuation(await open("karpathy/stories260K", { onProgress }))).toBe(expected);
    expect(seen.at(-1)).toEqual({ file: "model.safetensors", doneBytes: 1044992, totalBytes: 1044992 });
    expect(hub.downloads()).not.toContain("README.md");
    hub.requests.length = 0;
    expect(await continuation(await open("hf:karpathy/stories260K@main", { offline: true }))).toBe(expected);
    expect(hub.requests).toEqual([]);
  });

  it("runs a GGUF file of several by a part of its name, with the numbers of transformers", async () => {
    const gguf = (name: string) => readFileSync(fixture(`gguf/${name}.gguf`));
    hub.put("me/quants", { files: { "tiny-F32.gguf": gguf("llama"), "tiny-Q8_0.gguf": gguf("qwen3") } });
    await expect(open("me/quants")).rejects.toThrow(/got 2: F32 \(.*\), Q8_0 \(.*\)\. Name one/);
    const model = await open("me/quants:F32");
    const run = await model.run(await goldenTokens("llama"));
    const expected = await readExpected(fixture("goldens/llama"));
    expect(deviation(run.logits, expected("logits"))).toBeLessThan(TOLERANCE.official);
    await model.close();
    expect(hub.downloads()).toEqual(["tiny-F32.gguf"]);
  });

  it("takes all parts of a split GGUF model", async () => {
    hub.put("me/split", { files: filesOf(fixture("gguf-split")) });
    const model = await open("me/split");
    expect(model.config.nLayers).toBeGreaterThan(0);
    await model.close();
    expect(hub.downloads()).toHaveLength(3);
  });

  it("takes the shards that an index names", async () => {
    hub.put("me/sharded", { files: filesOf(fixture("goldens/llama-bf16-sharded")) });
    const model = await open("me/sharded");
    await model.close();
    expect(hub.downloads().filter((name) => /-of-\d+\.safetensors$/.test(name)).length).toBeGreaterThan(1);
    expect(hub.downloads()).not.toContain("expected.safetensors");
  });

  it.each([{ revision: "main" }, { token: "hf_x" }, { offline: true }])("refuses %j for a path", async (options) => {
    await expect(open(stories260K, options)).rejects.toThrow(
      /^open: \w+: the option is for models of the Hub; got the path /,
    );
  });

  it("takes a signal and a progress callback for a path too: nothing is downloaded", async () => {
    const onProgress = (): never => expect.unreachable();
    const model = await open(stories260K, { onProgress, signal: new AbortController().signal });
    await model.close();
    const reason = new Error("stopped");
    await expect(open(stories260K, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("refuses a revision that is named twice, and options that nobody knows", async () => {
    const twice = open("karpathy/stories260K@v1", { revision: "main" });
    await expect(twice).rejects.toThrow("open: revision: must be named once; got v1 and main.");
    const unknown = { ofline: true } as object;
    await expect(pull("karpathy/stories260K", unknown)).rejects.toThrow("pull: ofline: the option must be known");
    expect(hub.requests).toEqual([]);
    await expect(open("karpathy/stories260K", unknown)).rejects.toThrow("open: ofline: the option must be known");
  });

  it("says of a mistyped path that it is one of neither", async () => {
    await expect(open("models/stories260")).rejects.toThrow(/^hf:models\/stories260: .* a local path must exist\.$/);
    await expect(open("models/x.gguf")).rejects.toThrow("models/x.gguf: the model must be a directory");
    await expect(pull(stories260K)).rejects.toThrow("must name a model of the Hub, as org/name");
  });
});

describe("the command line", () => {
  async function golgi(args: readonly string[], env: Record<string, string> = {}, before: readonly string[] = []) {
    const [command, ...rest] = [...before, process.execPath, golgiScript, ...args];
    const child = spawn(command, rest, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    return { code, stdout, stderr };
  }

  it("pulls a model, lists it, and runs it offline", async () => {
    const empty = await golgi(["models"]);
    expect(empty.stdout).toBe(`No models in ${cache}; golgi pull org/name brings one.\n`);
    const { code, stdout, stderr } = await golgi(["pull", "karpathy/stories260K", "--revision", "v1"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const commit = hub.commitOf("karpathy/stories260K");
    expect(stdout).toBe(
      `karpathy/stories260K at ${commit.slice(0, 12)}: 5 files, 1.01 MiB\n` +
        `  ${join(cache, "models--karpathy--stories260K", "snapshots", commit)}\n`,
    );
    const name = "karpathy/stories260K@v1";
    const list = await golgi(["models"]);
    expect(list.stdout.split("\n")).toEqual([
      "    size  format       type  commit    name",
      `1.01 MiB  safetensors  f32   ${commit.slice(0, 8)}  ${name}`,
      "",
    ]);
    const json = JSON.parse((await golgi(["models", "--json"])).stdout);
    expect(json).toMatchObject([{ name, commit, revisions: ["v1"], format: "safetensors", complete: true }]);

    hub.requests.length = 0;
    const run = await golgi(["run", PROMPT, "-n", "20", "--model", name], { HF_HUB_OFFLINE: "1" });
    expect(run.stdout).toBe(`${PROMPT}${await continuation(await open(stories260K))}\n`);
    expect(hub.requests).toEqual([]);
  });

  it("lets two processes pull the same at once, which both end with the whole model", async () => {
    const both = await Promise.all([golgi(["pull", "karpathy/stories260K"]), golgi(["pull", "karpathy/stories260K"])]);
    expect(both.map(({ code, stderr }) => ({ code, stderr }))).toEqual([0, 0].map((code) => ({ code, stderr: "" })));
    expect(both[0].stdout).toBe(both[1].stdout);
    expect(hub.requests.filter(({ where }) => where === "storage")).toHaveLength(2);
    const [, path] = both[0].stdout.trim().split("\n  ");
    const whole = (name: string) => readFileSync(join(path, name)).equals(readFileSync(join(stories260K, name)));
    expect(readdirSync(path).filter((name) => !whole(name))).toEqual([]);
  });

  it("says that there is no room, and goes on once there is", async () => {
    // A limit on the size of files fails as a full disk does; bash counts it in KiB.
    const limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 512; exec "$@"', "bash"];
    const { code, stderr } = await golgi(["pull", "karpathy/stories260K"], {}, limited);
    expect(code).toBe(1);
    expect(stderr).toMatch(/there must be room on the disk for the whole file; got EFBIG\. Free some space/);
    const blobs = join(cache, "models--karpathy--stories260K", "blobs");
    const partial = readdirSync(blobs).find((name) => name.endsWith(".incomplete"))!;
    const { size } = statSync(join(blobs, partial));
    expect(size).toBeGreaterThan(0);
    hub.requests.length = 0;
    expect((await golgi(["pull", "karpathy/stories260K"])).code).toBe(0);
    const inStorage = hub.requests.filter(({ where }) => where === "storage");
    expect(inStorage.map(({ range }) => range)).toEqual([`bytes=${size}-`]);
  });

  it("ends with 1 where the Hub refuses, with 2 for a wrong call, and with 130 on Ctrl-C", async () => {
    const absent = await golgi(["pull", "nobody/nothing"]);
    expect([absent.code, absent.stdout]).toEqual([1, ""]);
    expect(absent.stderr).toMatch(/^golgi: hf:nobody\/nothing: the repository must exist, .*\n$/);
    expect((await golgi(["pull", stories260K])).code).toBe(2);
    hub.fault = ({ where }) => (where === "storage" ? { silentAfter: 1000 } : undefined);
    const child = spawn(process.execPath, [golgiScript, "pull", "karpathy/stories260K"], { stdio: "pipe" });
    const stderr = text(child.stderr);
    await vi.waitUntil(() => hub.requests.some(({ where }) => where === "storage"), { timeout: 20_000 });
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([130, null]);
    expect(await stderr).toBe("golgi: interrupted\n");
  });
});
