/** The cache that golgi shares with Python's huggingface_hub: its layout, what it serves without a request, its list. */

import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listCachedModels } from "../node/hub/cached-models.ts";
import { hubNameOf } from "../node/hub/name.ts";
import { type HubOptions, pullFrom } from "../node/hub/pull.ts";
import type { HubSettings } from "../node/hub/settings.ts";
import { FakeHub, settingsOf } from "./support/fake-hub.ts";

const CONFIG = '{"model_type":"llama","dtype":"bfloat16"}';
const weights = Buffer.alloc(20_000, "weights");
const files = { "config.json": CONFIG, "tokenizer.json": "{}", "model.safetensors": weights };

let root: string;
let cache: string;
let hub: FakeHub;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "golgi-hub-"));
});
beforeEach(async () => {
  cache = mkdtempSync(join(root, "cache-"));
  hub = await FakeHub.start();
  hub.put("org/model", { files });
});
afterEach(() => hub.close());
afterAll(() => rmSync(root, { recursive: true }));

async function pull(name = "hf:org/model", options: HubOptions = {}, settings: Partial<HubSettings> = {}) {
  return pullFrom(settingsOf(hub, cache, settings), (await hubNameOf(name))!, options);
}

const inRepository = (...path: string[]): string => join(cache, "models--org--model", ...path);

/** All files and links below a folder, links with what they point to. */
function tree(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const target = entry.isSymbolicLink() ? ` -> ${readlinkSync(path)}` : "";
      return `${path.slice(folder.length + 1)}${target}`;
    })
    .sort();
}

describe("the cache", () => {
  it("has the layout of huggingface_hub: blobs by etag, snapshots of relative links, refs", async () => {
    const commit = hub.commitOf("org/model");
    const git = (text: string) => createHash("sha1").update(`blob ${text.length}\0${text}`).digest("hex");
    const sha256 = createHash("sha256").update(weights).digest("hex");
    const { path } = await pull();
    expect(path).toBe(inRepository("snapshots", commit));
    expect(tree(inRepository())).toEqual(
      [
        ...[git(CONFIG), git("{}"), sha256].map((etag) => `blobs/${etag}`),
        "refs/main",
        `snapshots/${commit}/config.json -> ../../blobs/${git(CONFIG)}`,
        `snapshots/${commit}/model.safetensors -> ../../blobs/${sha256}`,
        `snapshots/${commit}/tokenizer.json -> ../../blobs/${git("{}")}`,
      ].sort(),
    );
    expect(readFileSync(inRepository("refs", "main"), "utf8")).toBe(commit);
    expect(tree(join(cache, ".locks"))).toEqual([]);
  });

  it("links from folders of a repository too", async () => {
    hub.put("org/model", { files: { "Q8_0/m.gguf": weights } });
    const { path } = await pull();
    expect(readlinkSync(path)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(readFileSync(path).equals(weights)).toBe(true);
  });

  it("holds plain files where there can be no links", async () => {
    const first = await pull("hf:org/model", {}, { symlinks: false });
    expect(lstatSync(join(first.path, "model.safetensors")).isFile()).toBe(true);
    // A file that both commits have is copied, or brought again: neither snapshot loses it.
    hub.put("org/model", { files: { ...files, "tokenizer.json": "[]" } });
    const second = await pull("hf:org/model", {}, { symlinks: false });
    expect(second.path).not.toBe(first.path);
    for (const { path } of [first, second]) {
      expect(readFileSync(join(path, "model.safetensors")).equals(weights)).toBe(true);
    }
    rmSync(cache, { recursive: true });
    await pull("hf:org/model");
    rmSync(inRepository("snapshots"), { recursive: true });
    const { path } = await pull("hf:org/model", {}, { symlinks: false });
    expect(lstatSync(join(path, "model.safetensors")).isFile()).toBe(true);
    expect(readdirSync(inRepository("blobs"))).toHaveLength(3);
  });

  it("keeps each revision that was asked for, and brings what differs", async () => {
    const old = await pull("hf:org/model@v1");
    hub.put("org/model", { files: { ...files, "tokenizer.json": "[]" } });
    hub.requests.length = 0;
    const { path, commit } = await pull("hf:org/model", { revision: "refs/pr/1" });
    expect(hub.downloads()).toEqual(["tokenizer.json"]);
    expect(readFileSync(join(path, "tokenizer.json"), "utf8")).toBe("[]");
    expect(readFileSync(join(old.path, "tokenizer.json"), "utf8")).toBe("{}");
    expect(readFileSync(inRepository("refs/refs/pr/1"), "utf8")).toBe(commit);
    expect(readFileSync(inRepository("refs/v1"), "utf8")).toBe(old.commit);
  });

  it("moves a ref once all of the new commit is there, so that offline the old one still opens", async () => {
    const { commit } = await pull();
    hub.put("org/model", { files: { ...files, "model.safetensors": Buffer.alloc(30_000) } });
    hub.fault = ({ where }) => (where === "storage" ? { status: 500 } : undefined);
    await expect(pull()).rejects.toMatchObject({ code: "checkpoint.download" });
    expect((await pull("hf:org/model", { offline: true })).commit).toBe(commit);
  });

  it("follows the listing over its pages", async () => {
    hub.pageSize = 1;
    expect((await pull()).nFiles).toBe(3);
  });
});

describe("offline", () => {
  it.each([
    ["the option", { offline: true }, {}],
    ["HF_HUB_OFFLINE", {}, { offline: true }],
  ])("%s takes what is there, and sends no request", async (_, options, settings) => {
    const { path } = await pull();
    hub.requests.length = 0;
    const commit = hub.commitOf("org/model");
    for (const name of [
      "hf:org/model",
      "hf:org/model@main",
      `hf:org/model@${commit}`,
      `hf:org/model@${commit.slice(0, 8)}`,
    ]) {
      expect((await pull(name, options, settings)).path, name).toBe(path);
    }
    expect(hub.requests).toEqual([]);
  });

  it("opens a cache that another program wrote, links or none", async () => {
    const commit = "0123456789012345678901234567890123456789";
    mkdirSync(inRepository("snapshots", commit), { recursive: true });
    mkdirSync(inRepository("refs"));
    writeFileSync(inRepository("refs", "main"), commit);
    writeFileSync(inRepository("snapshots", commit, "config.json"), CONFIG);
    mkdirSync(inRepository("blobs"));
    writeFileSync(inRepository("blobs", "b"), weights);
    symlinkSync("../../blobs/b", inRepository("snapshots", commit, "model.safetensors"));
    const { path, nFiles, sizeBytes } = await pull("hf:org/model", { offline: true });
    expect(path).toBe(inRepository("snapshots", commit));
    expect([nFiles, sizeBytes]).toEqual([2, CONFIG.length + weights.length]);
  });

  it("says what is not there", async () => {
    await expect(pull("hf:org/model", { offline: true })).rejects.toThrow(
      "cache of hf:org/model@main: the model must be there, since no request may be sent; got nothing of it. " +
        "Pull it once without HF_HUB_OFFLINE and without the option offline.",
    );
    const index = { weight_map: { a: "x-00001-of-00002.safetensors", b: "x-00002-of-00002.safetensors" } };
    const sharded = { "x-00001-of-00002.safetensors": "1", "x-00002-of-00002.safetensors": "2" };
    hub.put("org/model", {
      files: { "config.json": CONFIG, "model.safetensors.index.json": JSON.stringify(index), ...sharded },
    });
    const { path } = await pull();
    expect(readdirSync(path)).toHaveLength(4);
    rmSync(join(path, "x-00002-of-00002.safetensors"));
    await expect(pull("hf:org/model", { offline: true })).rejects.toThrow(
      "all parts of the model must be there; got 1 of 2 missing: x-00002-of-00002.safetensors",
    );
    rmSync(join(path, "model.safetensors.index.json"));
    await expect(pull("hf:org/model", { offline: true })).rejects.toThrow("got no weights");
  });

  it("takes a link whose blob is gone for no file", async () => {
    const { path } = await pull();
    const link = join(path, "model.safetensors");
    renameSync(join(dirname(link), readlinkSync(link)), join(cache, "elsewhere"));
    await expect(pull("hf:org/model", { offline: true })).rejects.toThrow("got no weights");
    await pull();
    expect(readFileSync(link).equals(weights)).toBe(true);
  });
});

describe("the list of models", () => {
  const list = async () =>
    (await listCachedModels(settingsOf(hub, cache))).map(({ name, format, type, sizeBytes, complete, path }) => {
      expect(path === undefined).toBe(!complete);
      return [name, format, type, sizeBytes, complete];
    });

  it("is empty where there is no cache", async () => {
    rmSync(cache, { recursive: true });
    expect(await list()).toEqual([]);
  });

  it("has each model by the name that opens it, with format, type and size", async () => {
    hub.put("org/quants", { files: { "m-Q4_K_M.gguf": weights, "m-IQ2_XXS.gguf": weights, "README.md": "" } });
    await pull();
    await pull("hf:org/quants:Q4_K_M");
    await pull("hf:org/quants@v1:IQ2_XXS");
    // Neither a data set, nor a model of which only the config is here, nor pickled weights.
    mkdirSync(join(cache, "datasets--org--data", "snapshots"), { recursive: true });
    const other = join(cache, "models--org--other", "snapshots", "0".repeat(40));
    mkdirSync(other, { recursive: true });
    writeFileSync(join(other, "config.json"), CONFIG);
    writeFileSync(join(other, "pytorch_model.bin"), "");
    const models = await list();
    expect(models).toEqual([
      ["org/model", "safetensors", "bf16", CONFIG.length + 2 + weights.length, true],
      ["org/quants:m-IQ2_XXS.gguf", "gguf", "IQ2_XXS", weights.length, true],
      ["org/quants:m-Q4_K_M.gguf", "gguf", "Q4_K_M", weights.length, true],
    ]);
    for (const [name] of models) await pull(`hf:${name}`, { offline: true });
  });

  it("names a commit that no ref stands for", async () => {
    const { commit } = await pull();
    hub.put("org/model", { files: { ...files, "tokenizer.json": "[]" } });
    await pull();
    const names = (await list()).map(([name]) => name as string);
    expect(names.sort()).toEqual(["org/model", `org/model@${commit.slice(0, 12)}`]);
    expect((await pull(`hf:${names[1]}`, { offline: true })).commit).toBe(commit);
  });

  it("marks what is not complete", async () => {
    await pull();
    rmSync(join((await pull()).path, "config.json"));
    hub.put("org/half", { files });
    hub.fault = ({ where, range }) =>
      where !== "storage" ? undefined : range === undefined ? { silentAfter: 5_000 } : { status: 500 };
    const onProgress = ({ doneBytes }: { doneBytes: number }) => doneBytes === 5_000 && hub.cut();
    await expect(pull("hf:org/half", { onProgress })).rejects.toThrow();
    expect(await list()).toEqual([
      ["org/half", undefined, undefined, 5_000, false],
      ["org/model", "safetensors", undefined, weights.length, false],
    ]);
  });
});
