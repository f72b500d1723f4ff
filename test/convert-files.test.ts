/** What a conversion leaves on the disk: the whole target or nothing, and never less than was there. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { convert, type ErrorCode, GolgiError, open } from "../node/index.ts";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { fixture, readTensors, stories260K } from "./support/fixtures.ts";

const golgiScript = join(import.meta.dirname, "../bin/golgi.js");

let root: string;
let here: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "golgi-convert-"));
});
beforeEach(() => {
  here = mkdtempSync(join(root, "test-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const llama = fixture("goldens/llama");
const llamaGguf = fixture("gguf/llama.gguf");

/** The golden "llama" with a last tensor that does not fit f16, so that a conversion fails when most is written. */
async function failing(): Promise<string> {
  const path = join(here, "failing");
  cpSync(llama, path, { recursive: true });
  const tensors = await readTensors(join(llama, "model.safetensors"));
  const data = Array.from(tensors, ([name, { shape, data }]) => ({ name, shape, data: Float32Array.from(data) }));
  data.find(({ name }) => name === "lm_head.weight")!.data[0] = 1e6;
  writeFileSync(join(path, "model.safetensors"), encodeSafetensors(data));
  return path;
}

async function refusal(conversion: Promise<unknown>): Promise<{ code: ErrorCode; message: string }> {
  const error = await conversion.then(
    () => undefined,
    (cause) => cause,
  );
  expect(error).toBeInstanceOf(GolgiError);
  return error;
}

describe("convert", () => {
  it.each(["model.gguf", "folder"])("writes %s, which opens, and leaves nothing beside it", async (name) => {
    const target = join(here, name);
    const steps: [number, number][] = [];
    const onProgress = (done: number, total: number) => steps.push([done, total]);
    const { path, type, nTensors, sizeBytes } = await convert(llama, target, { type: "bf16", onProgress });
    expect({ path, type, nTensors }).toEqual({ path: target, type: "bf16", nTensors: 21 });
    expect(sizeBytes).toBeGreaterThan(20_000);
    expect(steps.at(-1)![0]).toBe(steps.at(-1)![1]);
    expect(readdirSync(here)).toEqual([name]);
    const model = await open(target, { backend: "reference" });
    expect(model.config.dModel).toBe(24);
    await model.close();
  });

  it("takes a folder with a slash at its end, and a link to one", async () => {
    await convert(llama, `${join(here, "folder")}/`);
    symlinkSync(join(here, "folder"), join(here, "link"));
    await convert(llama, join(here, "link"), { force: true });
    expect(readdirSync(here).sort()).toEqual(["folder", "link"]);
    expect(readdirSync(join(here, "folder")).sort()).toEqual(["config.json", "model.safetensors"]);
  });

  it("calls a GGUF file after the source's folder or file", async () => {
    await convert(`${llama}/`, join(here, "a.gguf"));
    await convert(llamaGguf, join(here, "b.gguf"));
    for (const file of ["a.gguf", "b.gguf"]) {
      expect(readFileSync(join(here, file), "latin1")).toMatch(/general\.name.{12}llama/s);
    }
  });

  it.each(["model.gguf", "folder"])("replaces %s with force alone", async (name) => {
    const target = join(here, name);
    await convert(llama, target);
    const { code, message } = await refusal(convert(llama, target, { type: "bf16" }));
    expect(code).toBe("request.option");
    expect(message).toContain("the target must not exist yet");
    await convert(llama, target, { type: "bf16", force: true });
    const model = await open(target, { backend: "reference" });
    expect(model.bindings.weights.get("unembed")!.dtype).toBe("bf16");
    await model.close();
    expect(readdirSync(here)).toEqual([name]);
  });

  it.each(["model.gguf", "folder"])("leaves the old %s where it fails, and no half one", async (name) => {
    const [source, target] = [await failing(), join(here, name)];
    await convert(llama, target);
    const before = name === "folder" ? readdirSync(target) : readFileSync(target);
    const { message } = await refusal(convert(source, target, { type: "f16", force: true }));
    expect(message).toMatch(/(output|lm_head)\.weight: every number must fit f16/);
    expect(name === "folder" ? readdirSync(target) : readFileSync(target)).toEqual(before);
    expect(readdirSync(here).sort()).toEqual(["failing", name].sort());
  });

  it("stops where it is aborted, and leaves nothing", async () => {
    const controller = new AbortController();
    const reason = new Error("stopped");
    const onProgress = () => controller.abort(reason);
    const { signal } = controller;
    await expect(convert(llama, join(here, "m.gguf"), { signal, onProgress })).rejects.toBe(reason);
    expect(readdirSync(here)).toEqual([]);
  });

  it("refuses to write a model onto itself, by whatever name", async () => {
    cpSync(llama, join(here, "model"), { recursive: true });
    cpSync(llamaGguf, join(here, "model.gguf"));
    symlinkSync(join(here, "model"), join(here, "link"));
    cpSync(join(llama, "model.safetensors"), join(here, "weights.gguf"));
    mkdirSync(join(here, "linked"));
    cpSync(join(llama, "config.json"), join(here, "linked", "config.json"));
    symlinkSync(join(here, "weights.gguf"), join(here, "linked", "model.safetensors"));
    const itself = [
      ["model", "model"],
      ["model", "link"],
      ["model/model.safetensors", "model"],
      ["model.gguf", "model.gguf"],
      ["linked", "weights.gguf"],
    ];
    for (const [from, to] of itself) {
      const { message } = await refusal(convert(join(here, from), join(here, to), { force: true }));
      expect(message, to).toContain("the target must not be the model itself");
    }
    expect(readdirSync(join(here, "model"))).toContain("model.safetensors");
  });

  it("replaces no folder that holds anything else", async () => {
    mkdirSync(join(here, "folder"));
    writeFileSync(join(here, "folder", "thesis.tex"), "");
    const { message } = await refusal(convert(llama, join(here, "folder"), { force: true }));
    expect(message).toContain("a folder that is replaced must hold a model's files alone; got thesis.tex");
    expect(readdirSync(join(here, "folder"))).toEqual(["thesis.tex"]);
  });

  it("refuses a target whose folder is not there, or that is of the other kind", async () => {
    const absent = await refusal(convert(llama, join(here, "nowhere", "m.gguf")));
    expect(absent.message).toContain("the folder of the target must exist");
    mkdirSync(join(here, "folder.gguf"));
    const other = await refusal(convert(llama, join(here, "folder.gguf"), { force: true }));
    expect(other.message).toContain("what is replaced must be of the same kind; got a folder");
  });
});

describe("golgi convert", () => {
  async function golgi(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
    return { code, stdout, stderr };
  }
  const run = (...args: string[]) => golgi(process.execPath, [golgiScript, "convert", ...args]);

  it("says what it wrote, and what is otherwise than asked for", async () => {
    const { code, stdout, stderr } = await run(stories260K, join(here, "s.gguf"), "--type", "q8_0");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.split("\n")[0]).toMatch(/s\.gguf: 47 tensors, q8_0, [\d.]+ KiB$/);
    expect(stdout).toContain("  blk.0.ffn_down.weight and 4 more are f16, as in llama.cpp");
  });

  it("takes sizes of shards with units", async () => {
    const { code } = await run(llama, join(here, "folder"), "--shard-size", "20KB");
    expect(code).toBe(0);
    expect(readdirSync(join(here, "folder"))).toContain("model-00001-of-00003.safetensors");
    const wrong = await run(llama, join(here, "other"), "--shard-size", "many");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("It must be a size, such as 500MB or 5GB.");
  });

  it("ends with 2 for a wrong call, and with 1 for a model that the target cannot hold", async () => {
    expect((await run(llama, join(here, "a.gguf"), "--type", "q9")).code).toBe(2);
    expect((await run(fixture("goldens/mistral-window"), join(here, "a.gguf"))).code).toBe(1);
    expect(readdirSync(here)).toEqual([]);
  });

  it("says that there is no room, and leaves nothing", async () => {
    // A limit on the size of files fails as a full disk does; bash counts it in KiB.
    const script = 'trap "" XFSZ; ulimit -f 64; exec "$@"';
    const args = ["-c", script, "bash", process.execPath, golgiScript, "convert", stories260K, join(here, "s.gguf")];
    const { code, stderr } = await golgi("bash", args);
    expect(code).toBe(1);
    expect(stderr).toContain("there must be room on the disk for the whole target");
    expect(readdirSync(here)).toEqual([]);
  });
});
