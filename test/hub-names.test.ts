/** What names of the Hub mean, which files of a repository they mean, and where the environment puts things. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hubNameOf } from "../node/hub/name.ts";
import { selectFiles, selectShards } from "../node/hub/select.ts";
import { readSettings } from "../node/hub/settings.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "golgi-hub-"));
});
afterAll(() => rmSync(root, { recursive: true }));

describe("a name", () => {
  it.each([
    ["org/name", { repository: "org/name", revision: "main" }],
    ["org/name:Q4_K_M", { repository: "org/name", revision: "main", file: "Q4_K_M" }],
    ["org/name:sub/m.gguf", { repository: "org/name", revision: "main", file: "sub/m.gguf" }],
    ["hf:org/name@v1.0:m.gguf", { repository: "org/name", revision: "v1.0", file: "m.gguf" }],
    ["org/na.me-1@refs/pr/3", { repository: "org/na.me-1", revision: "refs/pr/3" }],
    ["hf:gpt2", { repository: "gpt2", revision: "main" }],
    ["hf:org/model.gguf", { repository: "org/model.gguf", revision: "main" }],
  ])("%s is one of the Hub", async (name, expected) => {
    expect(await hubNameOf(name)).toEqual(expected);
  });

  it.each([
    ".",
    "./org/name",
    "../name",
    "/org/name",
    "~/org/name",
    "gpt2",
    "a/b/c",
    "a\\b",
    "models/x.gguf",
    "a/config.json",
    "",
  ])("%j is one of this machine", async (name) => {
    expect(await hubNameOf(name)).toBeUndefined();
  });

  it("is one of this machine where something has it, unless hf: stands before it", async () => {
    const inside = "test/fixtures";
    expect(await hubNameOf(inside)).toBeUndefined();
    expect(await hubNameOf(`hf:${inside}`)).toEqual({ repository: inside, revision: "main" });
  });

  it.each([
    "hf:",
    "hf:a/b/c",
    "hf:../x",
    "hf:org/na--me",
    "hf:org/a..b",
    "org/name:",
    "org/name@",
    "org/name@../../x",
    "org/name@a//b",
  ])("%s is refused", async (name) => {
    await expect(hubNameOf(name)).rejects.toMatchObject({ code: "request.option" });
  });
});

describe("the files of a model", () => {
  const select = (paths: readonly string[], file?: string) => {
    const files = paths.map((path) => ({ path, sizeBytes: 1024 }));
    const { texts, weights, index, opens } = selectFiles(
      { repository: "o/n", revision: "main", file },
      files,
      "hf:o/n",
    );
    return { files: [...texts, ...weights].map(({ path }) => path), index: index?.path, opens };
  };
  const message = (paths: readonly string[], file?: string): string => {
    try {
      return `no error: ${JSON.stringify(select(paths, file))}`;
    } catch (error) {
      return (error as Error).message;
    }
  };

  it("are config, tokenizer and safetensors, and none of the same in other formats", () => {
    const wanted = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
    const others = [
      "README.md",
      "pytorch_model.bin",
      "consolidated.safetensors",
      "original/model.safetensors",
      "vocab.json",
    ];
    const { files, opens } = select([...wanted, ...others, "model.safetensors", "model-q4.gguf"]);
    expect(files).toEqual([...wanted, "model.safetensors"]);
    expect(opens).toBeUndefined();
  });

  it("are, with an index, the shards that it names", () => {
    const paths = ["config.json", "model.safetensors.index.json", "a.safetensors", "b.safetensors", "c.safetensors"];
    expect(select(paths)).toEqual({ files: paths.slice(0, 2), index: paths[1], opens: undefined });
    const files = paths.map((path) => ({ path, sizeBytes: 1 }));
    const shards = selectShards(
      { weight_map: { x: "c.safetensors", y: "a.safetensors", z: "a.safetensors" } },
      files,
      "",
    );
    expect(shards.map(({ path }) => path)).toEqual(["a.safetensors", "c.safetensors"]);
    for (const index of [
      { weight_map: { x: "../a.safetensors" } },
      { weight_map: { x: "d.safetensors" } },
      { weight_map: { x: "config.json" } },
      {},
      null,
    ]) {
      expect(() => selectShards(index, files, "hf:o/n")).toThrow(/all parts of the model must be there|weight_map/);
    }
  });

  it("are a single safetensors file of another name with its config", () => {
    expect(select(["config.json", "weights.safetensors", "consolidated.00.safetensors"]).opens).toBe(
      "weights.safetensors",
    );
    expect(message(["weights.safetensors"])).toContain("config.json must be there beside the safetensors");
  });

  it("are the only GGUF file, with what describes text beside it", () => {
    const texts = ["sub/tokenizer.json", "tokenizer.json"];
    expect(select([...texts, "sub/m.gguf", "mmproj-m-f16.gguf", "m.imatrix.gguf"])).toEqual({
      files: ["sub/tokenizer.json", "sub/m.gguf"],
      index: undefined,
      opens: "sub/m.gguf",
    });
  });

  const quants = [
    "m-1B-Q4_0.gguf",
    "m-1B-Q4_0_4_4.gguf",
    "m-1B-Q4_K_M.gguf",
    "m-1B-UD-Q4_K_M.gguf",
    "m-1B-BF16.gguf",
    "m-1B-F16.gguf",
  ];

  it("are of several GGUF files the one that is named, or whose name has the part between separators", () => {
    const named = {
      "m-1B-Q4_0.gguf": 0,
      Q4_0: 0,
      q4_0: 0,
      Q4_0_4_4: 1,
      Q4_K_M: 2,
      "UD-Q4_K_M": 3,
      BF: 4,
      f16: 5,
      "1B-F16": 5,
    };
    for (const [part, i] of Object.entries(named)) expect(select(quants, part).opens, part).toBe(quants[i]);
  });

  it("are open where several would do: the error lists what tells them apart, with sizes", () => {
    const list =
      "Q4_0 (1.00 KiB), Q4_0_4_4 (1.00 KiB), Q4_K_M (1.00 KiB), UD-Q4_K_M (1.00 KiB), BF16 (1.00 KiB), F16 (1.00 KiB)";
    expect(message(quants)).toContain(`got 6: ${list}. Name one of them behind a colon: org/name:file.`);
    expect(message(quants, "Q5_K_M")).toContain(list);
    expect(message(quants, "1B-Q4")).toBe(
      'hf:o/n: "1B-Q4" must tell one of its models from the others; got 3: Q4_0 (1.00 KiB), Q4_0_4_4 (1.00 KiB), ' +
        "Q4_K_M (1.00 KiB). Name one of them.",
    );
    expect(message(quants, "UD-Q4")).toContain('{"files":["m-1B-UD-Q4_K_M.gguf"]');
  });

  it("are all parts of a split GGUF model, of which the first is opened", () => {
    const parts = [1, 2, 3].map((i) => `Q8_0/m-Q8_0-0000${i}-of-00003.gguf`);
    expect(select([...quants, ...parts], "Q8_0")).toEqual({ files: parts, index: undefined, opens: parts[0] });
    expect(message([...parts, "m-Q4_0.gguf"])).toContain("Q8_0/m-Q8_0 (3.00 KiB)");
    expect(message([parts[0], parts[2]])).toContain(`got 1 of 3 missing: ${parts[1]}`);
  });

  it("are refused where there are only pickled ones, or none", () => {
    expect(message(["config.json", "pytorch_model.bin"])).toMatch(
      /only pytorch_model\.bin\. Look for the model in safetensors/,
    );
    expect(message(["README.md"])).toContain("got no weights");
  });
});

describe("the environment", () => {
  const home = { HOME: "/home/me" };

  // As huggingface_hub 2.4 has them in its constants.
  it.each([
    [{}, "/home/me/.cache/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/xdg" }, "/xdg/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/xdg", HF_HOME: "~/hf" }, "/home/me/hf/hub"],
    [{ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
    [{ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "$HOME/$SUB" }, "/home/me/sub"],
  ])("%j puts the cache where Python has it", (env, expected) => {
    expect(readSettings({ ...home, SUB: "sub", ...env }).cacheFolder).toBe(expected);
  });

  it("gives the token: HF_TOKEN, its older name, a file, the login", () => {
    mkdirSync(join(root, "hf"));
    writeFileSync(join(root, "hf", "token"), "hf_login\n");
    writeFileSync(join(root, "token"), "hf_file");
    const token = (env: Record<string, string>) => readSettings({ HF_HOME: join(root, "hf"), ...env }).token;
    expect(token({})).toBe("hf_login");
    expect(token({ HF_TOKEN_PATH: join(root, "token") })).toBe("hf_file");
    expect(token({ HF_TOKEN_PATH: join(root, "absent") })).toBeUndefined();
    expect(token({ HUGGING_FACE_HUB_TOKEN: "hf_old" })).toBe("hf_old");
    expect(token({ HUGGING_FACE_HUB_TOKEN: "hf_old", HF_TOKEN: " hf_new\r\n" })).toBe("hf_new");
  });

  it("refuses a token that no header can carry, without a word of it", () => {
    for (const HF_TOKEN of ["hf_se cret", "hf_secrét"]) {
      expect(() => readSettings({ HF_TOKEN })).toThrow(/^HF_TOKEN: .*one word of ASCII characters/);
      expect(() => readSettings({ HF_TOKEN })).not.toThrow(/hf_/);
    }
  });

  it("names the endpoint, and says whether to ask it at all", () => {
    expect(readSettings(home)).toMatchObject({ endpoint: "https://huggingface.co", offline: false, symlinks: true });
    expect(readSettings({ ...home, HF_ENDPOINT: "http://mirror.test/hf/" }).endpoint).toBe("http://mirror.test/hf");
    for (const yes of ["1", "ON", "yes", "True"])
      expect(readSettings({ ...home, HF_HUB_OFFLINE: yes }).offline).toBe(true);
    expect(readSettings({ ...home, HF_HUB_DISABLE_SYMLINKS: "1" }).symlinks).toBe(false);
    expect(() => readSettings({ ...home, HF_ENDPOINT: "mirror" })).toThrow("HF_ENDPOINT: must be a web address");
  });
});
