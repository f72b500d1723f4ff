/** What a conversion makes of tokenizers, chat templates and the tokens that end a text. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { type ModelFiles, openModel, reference } from "../src/index.ts";
import { MemoryFolder, utf8 } from "./checkpoint-files.ts";
import { converted, ggufOf, golden, openGgufBytes, toFolder, toGguf } from "./support/conversions.ts";
import { fixture, stories260K } from "./support/fixtures.ts";

const host = {
  nowMs: () => performance.now(),
  localTime: () => new Date(0),
  pause: () => new Promise<void>((resolve) => setImmediate(resolve)),
};

const stories = async (): Promise<ModelFiles> => ({ folder: await openFolder(stories260K) });

/** The files of a folder, with these in place of its own. */
function folderWith(path: string, files: Readonly<Record<string, object | string>>): ModelFiles {
  const names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
  const own = path === stories260K ? names : names.slice(0, 2);
  const kept = Object.fromEntries(own.map((name) => [name, new Uint8Array(readFileSync(`${path}/${name}`))]));
  const given = Object.entries(files).map(([name, content]) => {
    return [name, utf8(typeof content === "string" ? content : JSON.stringify(content))] as const;
  });
  return { folder: new MemoryFolder({ ...kept, ...Object.fromEntries(given) }) };
}

/** A byte-level tokenizer whose tokens are these characters. */
function lettersTokenizer(characters: string) {
  const vocab = Object.fromEntries(Array.from(characters, (character, id) => [character, id]));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    ...{ version: "1.0", added_tokens: [], normalizer: null, pre_tokenizer: byteLevel, post_processor: null },
    ...{ decoder: byteLevel, model: { type: "BPE", vocab, merges: [] } },
  };
}

async function opened<T>(files: ModelFiles, use: (model: Awaited<ReturnType<typeof openModel>>) => T): Promise<T> {
  const model = await openModel(files, host, [reference]);
  try {
    return use(model);
  } finally {
    await model.close();
  }
}

const TEXTS = ["Once upon a time", "", "  two spaces\n\tand tabs", "naïve café 🙂 <s> </s>", "Tim's 12,345 €"];

describe("a tokenizer", () => {
  it("gives the same ids and texts from GGUF, and from a folder made of that", async () => {
    const gguf = await toGguf(await stories());
    const [before, after, again] = await Promise.all(
      [await stories(), gguf, await toFolder(gguf)].map((files) =>
        opened(files, ({ tokenizer, eosTokens }) => ({
          ids: TEXTS.map((text) => tokenizer.encode(text)),
          texts: TEXTS.map((text) => tokenizer.decode(tokenizer.encode(text))),
          ends: [tokenizer.bosTokenId, tokenizer.eosTokenId, ...eosTokens.toSorted()],
        })),
      ),
    );
    expect(after).toEqual(before);
    expect(again).toEqual(before);
  });

  it("stays as it is from GGUF to GGUF", async () => {
    const first = await ggufOf(await toGguf(await stories()));
    const second = await ggufOf(await toGguf(await stories()), { type: "f16" });
    const ownOf = ({ values }: typeof first) => [...values].filter(([key]) => key.startsWith("tokenizer."));
    expect(ownOf(first).length).toBeGreaterThan(5);
    expect(ownOf(second)).toEqual(ownOf(first));
  });

  it("has an unused token for each row of the embedding beyond its own", async () => {
    const files = folderWith(fixture("goldens/llama"), { "tokenizer.json": lettersTokenizer("abc") });
    const { values, tensors } = await ggufOf(files);
    const nRows = tensors.get("token_embd.weight")!.shape[0];
    const tokens = Array.from(values.get("tokenizer.ggml.tokens")!.value as ArrayLike<string>);
    const types = Array.from(values.get("tokenizer.ggml.token_type")!.value as ArrayLike<number>);
    expect(tokens).toHaveLength(nRows);
    expect(tokens.slice(0, 4)).toEqual(["a", "b", "c", "[PAD3]"]);
    expect(new Set(types.slice(3))).toEqual(new Set([5]));
  });

  it("is refused where it has more tokens than the embedding has rows", async () => {
    const many = String.fromCharCode(...Array.from({ length: 90 }, (_, i) => 33 + i));
    const files = folderWith(fixture("goldens/llama"), { "tokenizer.json": lettersTokenizer(many) });
    await expect(converted(files)).rejects.toThrow(/tokens that the embedding has rows for; got 90/);
  });

  it("is none where the model has none, which is said", async () => {
    const gguf = await converted(await golden("llama"));
    expect(gguf.notes).toEqual(["the model has no tokenizer, so what is written takes token ids alone"]);
    const { values } = await openGgufBytes(gguf.files["model.gguf"]);
    expect(values.get("tokenizer.ggml.model")).toEqual({ type: "string", value: "none" });
    const folder = await converted(await golden("llama"), { format: "safetensors" });
    expect(folder.notes).toEqual(gguf.notes);
    expect(Object.keys(folder.files).sort()).toEqual(["config.json", "model.safetensors"]);
  });
});

describe("chat templates", () => {
  const DEFAULT = "{% for m in messages %}{{ m.content }}{% endfor %}";

  it("go from a folder to GGUF and back", async () => {
    const gguf = await converted(folderWith(stories260K, { "chat_template.jinja": DEFAULT }));
    const { values } = await openGgufBytes(gguf.files["model.gguf"]);
    expect(values.get("tokenizer.chat_template")).toEqual({ type: "string", value: DEFAULT });
    const from = { folder: new MemoryFolder(gguf.files), weightsFile: "model.gguf" };
    const { files } = await converted(from, { format: "safetensors" });
    expect(new TextDecoder().decode(files["chat_template.jinja"])).toBe(DEFAULT);
  });

  it("keep their names where there are several", async () => {
    const config = JSON.parse(readFileSync(`${stories260K}/tokenizer_config.json`, "utf8"));
    const chat_template = [
      { name: "default", template: DEFAULT },
      { name: "tool_use", template: `tools ${DEFAULT}` },
    ];
    const source = folderWith(stories260K, { "tokenizer_config.json": { ...config, chat_template } });
    const gguf = await converted(source);
    const { values } = await openGgufBytes(gguf.files["model.gguf"]);
    expect(values.get("tokenizer.chat_template.tool_use")?.value).toBe(`tools ${DEFAULT}`);
    expect(values.get("tokenizer.chat_templates")).toMatchObject({ type: "array", of: "string", value: ["tool_use"] });
    const from = { folder: new MemoryFolder(gguf.files), weightsFile: "model.gguf" };
    const { files } = await converted(from, { format: "safetensors" });
    const after = JSON.parse(new TextDecoder().decode(files["tokenizer_config.json"]));
    expect(after.chat_template).toEqual(chat_template);
    expect(files).not.toHaveProperty(["chat_template.jinja"]);
  });
});

describe("tokens that end a text", () => {
  it("beyond the tokenizer's own go with the model", async () => {
    const source = folderWith(stories260K, { "generation_config.json": { eos_token_id: [2, 5, 7] } });
    const gguf = await toGguf(source);
    expect(new Set(await opened(gguf, ({ eosTokens }) => eosTokens))).toEqual(new Set([2, 5, 7]));
    const many = folderWith(stories260K, { "generation_config.json": { eos_token_id: [2, 5, 7, 9] } });
    expect((await converted(many)).notes).toEqual(["GGUF has no place for more tokens that end a text: 9 will not"]);
    const back = await toFolder(gguf);
    expect(new Set(await opened(back, ({ eosTokens }) => eosTokens))).toEqual(new Set([2, 5, 7]));
  });
});
