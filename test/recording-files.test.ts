/** Files of recordings: what they hold, how they are written, and which are refused. */

import { execFile } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import {
  CheckpointError,
  type Host,
  type Model,
  openModel,
  openRecording,
  type RecordOptions,
  reference,
  type Tensor,
  VERSION,
} from "../node/index.ts";
import { encodeSafetensors, layOutSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { recordingTensors } from "../src/run/recording-layout.ts";
import { planMetadata } from "../src/run/recording-metadata.ts";
import { fixture, readTensors, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { sameBits } from "./support/tensors.ts";

const texts = ["Once upon a time", "The dog", "Lily saw a big red ball in the park", "A cat sat"];
const pointNames = ["blocks.1.mlp.post", "blocks.2.residPost", "blocks.3.attn.z", "logits"];

let model: Model;
let here: string;
beforeAll(async () => {
  model = await open(stories260K);
});
afterAll(() => model.close());
beforeEach(() => {
  here = mkdtempSync(join(tmpdir(), "golgi-recording-"));
});
afterEach(() => rmSync(here, { recursive: true }));

const file = (name = "r.safetensors"): string => join(here, name);

describe("a recording's file", () => {
  const reductions: (RecordOptions["reduce"] | undefined)[] = [undefined, "mean", "variance", { topK: 4 }];
  const readOf = (reduce: RecordOptions["reduce"]): string[] =>
    reduce === undefined
      ? [...pointNames, "blocks.0.attn.pattern", "blocks.4.mlp.out@-1"]
      : [...pointNames, "blocks.4.mlp.out@-1"];

  it.each(reductions)("is the same whether it is saved or written while it runs: reduce %j", async (reduce) => {
    const read = readOf(reduce);
    const recording = await model.record(texts, { read, reduce, batch: 12 });
    await recording.save(file("saved"));
    const written = await model.record(texts, { read, reduce, batch: 12, to: file("written") });
    expect(readFileSync(file("saved")).equals(readFileSync(file("written")))).toBe(true);
    expect(readdirSync(here).sort()).toEqual(["saved", "written"]);
    // Of all values nothing stays in memory; of a reduced recording everything.
    if (reduce !== undefined) return expect(written.points).toEqual(recording.points);
    expect(written.unloaded).toEqual(recording.points);
    expect(() => written.get("logits", { sequence: 0 })).toThrow(
      /must be loaded; .* openRecording\(path, \{ points: \["logits"\]/,
    );
  });

  it.each(reductions)("loads as it was saved: reduce %j", async (reduce) => {
    const recording = await model.record(texts, { read: readOf(reduce), reduce });
    await recording.save(file());
    const loaded = await openRecording(file());
    expect(loaded.points).toEqual(recording.points);
    expect(loaded.sequences).toEqual(recording.sequences);
    expect(loaded.reduce).toEqual(reduce);
    expect(loaded.provenance).toEqual(recording.provenance);
    await loaded.save(file("again"));
    expect(readFileSync(file("again")).equals(readFileSync(file()))).toBe(true);
  });

  it("is a safetensors file of tensors with the points' names, and says where it comes from", async () => {
    const recording = await model.record(texts, { read: ["blocks.1.mlp.post", "blocks.0.attn.pattern"], to: file() });
    const bytes = readFileSync(file());
    const headerSize = Number(bytes.readBigUInt64LE());
    const { __metadata__: metadata, ...rest } = JSON.parse(bytes.toString("utf8", 8, 8 + headerSize));
    const tensors: Record<string, { dtype: string; shape: number[] }> = rest;
    const nTokens = recording.sequences.map(({ tokens }) => tokens.length);
    const total = nTokens.reduce((sum, n) => sum + n);
    expect(
      Object.fromEntries(Object.entries(tensors).map(([name, { dtype, shape }]) => [name, [dtype, ...shape]])),
    ).toEqual({
      "blocks.1.mlp.post": ["F32", total, model.config.dFf],
      ...Object.fromEntries(nTokens.map((n, i) => [`blocks.0.attn.pattern/${i}`, ["F32", model.config.nHeads, n, n]])),
      tokens: ["I32", total],
      lengths: ["I32", texts.length],
    });
    expect(metadata).toEqual({
      golgi: VERSION,
      recording: "1",
      model: "stories260K",
      architecture: "llama",
      fingerprint: await model.fingerprint(),
      edits: "[]",
      points: '[{"at":"blocks.1.mlp.post","positions":"all"},{"at":"blocks.0.attn.pattern","positions":"all"}]',
      reduce: '"none"',
    });
  });

  it("is loaded point by point where that is wished", async () => {
    const recording = await model.record(texts, { read: pointNames });
    await recording.save(file());
    const loaded = await openRecording(file(), { points: ["blocks.2.residPost"] });
    expect(loaded.points).toEqual(["blocks.2.residPost"]);
    expect(sameBits(loaded.rows("blocks.2.residPost"), recording.rows("blocks.2.residPost"))).toBe(true);
    await expect(openRecording(file(), { points: ["blocks.2.residMid"] })).rejects.toThrow(
      /a point must be in .*; got points/,
    );
  });

  it("serves edits by its name, as its vectors do", async () => {
    const recording = await model.record(texts, { read: ["blocks.2.residPost"] });
    await recording.save(file());
    const read = ["blocks.2.residPost"];
    const patched = await model.run(recording.sequences[2].tokens, {
      read,
      edits: [`L2.residPost = patch(${file()}, 2)`],
    });
    expect(sameBits(patched.get(read[0]), recording.get(read[0], { sequence: 2 }))).toBe(true);
    const data = Float32Array.from({ length: model.config.dModel }, (_, i) => i);
    writeFileSync(file("vec.safetensors"), encodeSafetensors([{ name: "v", shape: [data.length], data }]));
    const set = await model.run("The dog", { read, edits: [`L2.residPost = ${file("vec.safetensors")}:v`] });
    expect([...set.get(read[0]).row(0).data]).toEqual([...data]);
  });
});

describe("writing a recording", () => {
  it("leaves nothing behind where it is aborted, and what was there before", async () => {
    writeFileSync(file(), "before");
    const controller = new AbortController();
    const call = model.record(texts, {
      read: ["blocks.1.mlp.post"],
      to: file(),
      batch: 1,
      signal: controller.signal,
      onProgress: ({ nDone }) => nDone > 5 && controller.abort(),
    });
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
    expect(readdirSync(here)).toEqual(["r.safetensors"]);
    expect(readFileSync(file(), "utf8")).toBe("before");
  });

  it("says that there is no room, and takes away what it began", async () => {
    const events: string[] = [];
    const noRoom = new CheckpointError("checkpoint.write", { path: "r", expected: "there must be room" });
    let nBytes = 0;
    const host: Host = {
      nowMs: () => 0,
      pause: async () => {},
      createFile: async () => ({
        write: async (_, { length }) => {
          nBytes += length;
          if (nBytes > 30_000) throw noRoom;
        },
        finish: async () => void events.push("finish"),
        abort: async () => void events.push("abort"),
      }),
    };
    const other = await openModel({ folder: await openFolder(stories260K) }, host, [reference]);
    const call = other.record(texts, { read: ["blocks.*.mlp.post"], to: "r" });
    await expect(call).rejects.toBe(noRoom);
    expect(events).toEqual(["abort"]);
    await other.close();
  });

  it("says so of a real disk", async () => {
    // A limit on the size of files fails as a full disk does; bash counts it in KiB.
    const limited = [
      "-c",
      'trap "" XFSZ; ulimit -f 64; exec "$@"',
      "bash",
      process.execPath,
      "--input-type=module",
      "-e",
    ];
    const script = `
      import { open } from ${JSON.stringify(new URL("../node/index.ts", import.meta.url))};
      const model = await open(${JSON.stringify(stories260K)}, { backend: "reference" });
      await model.record([Array(100).fill(5)], { read: ["blocks.*.mlp.post"], to: ${JSON.stringify(file())} })
        .catch((error) => console.log(error.code, error.message));`;
    const { stdout } = await promisify(execFile)("bash", [...limited, script]);
    expect(stdout).toMatch(/^checkpoint\.write .*there must be room on the disk for the whole target; got EFBIG\./);
    expect(readdirSync(here)).toEqual([]);
  });

  it("refuses more tensors than a header should have, before anything is computed", async () => {
    const many = Array<number[]>(100_001).fill([1]);
    const call = model.record(many, { read: ["blocks.0.attn.pattern"], to: file() });
    await expect(call).rejects.toThrow(/at most 100000 tensors, of which each text takes one for each point over keys/);
    expect(readdirSync(here)).toEqual([]);
  });

  it("refuses to save what is not loaded, perhaps over its own file", async () => {
    const recording = await model.record(["A"], { read: ["embed"], to: file() });
    await expect(recording.save(file())).rejects.toThrow(/points are all in its file, and not loaded\. Copy the file/);
    expect((await openRecording(file())).points).toEqual(["embed"]);
  });

  it("refuses places that cannot be written", async () => {
    const recording = await model.record(["A"], { read: ["embed"] });
    const refusal = { name: "CheckpointError", code: "checkpoint.write" };
    await expect(recording.save(here)).rejects.toMatchObject(refusal);
    await expect(recording.save(join(here, "none", "r"))).rejects.toMatchObject(refusal);
    expect(readdirSync(here)).toEqual([]);
  });
});

describe("files that are refused", () => {
  let bytes: Buffer<ArrayBuffer>;
  beforeEach(async () => {
    await model.record(texts, { read: ["blocks.1.mlp.post"], reduce: { topK: 2 }, to: file() });
    bytes = readFileSync(file());
  });

  async function refusal(): Promise<Error> {
    const error = await openRecording(file()).catch((reason) => reason);
    expect(error).toBeInstanceOf(CheckpointError);
    return error;
  }

  /** The file with a text of its header replaced by one of equal length, or filled up with spaces before a brace. */
  function changeHeader(from: string, to: string): void {
    const at = bytes.indexOf(from);
    expect(at).toBeGreaterThan(0);
    expect(to.length).toBe(from.length);
    bytes.write(to, at);
    writeFileSync(file(), bytes);
  }

  it("one that is cut", async () => {
    writeFileSync(file(), bytes.subarray(0, bytes.length - 4));
    expect((await refusal()).message).toMatch(/must end inside the file/);
  });

  it("one that is no recording", async () => {
    writeFileSync(file(), encodeSafetensors([{ name: "v", shape: [1], data: new Float32Array(1) }]));
    expect((await refusal()).message).toMatch(/it must be a recording .*; got nothing\. Give a file that/);
  });

  it.each([
    ["another format", '"recording":"1"', '"recording":"2"', /it must be a recording/],
    ["metadata that are no JSON", '"edits":"[]"', '"edits":"[["', /must be whole; got /],
    ["edits that are no texts", '"edits":"[]"', '"edits":"{}"', /must be whole; got edits "\{\}"/],
    ["an unknown reduction", '{\\"topK\\":2}', '{\\"topX\\":2}', /must be whole; got reduce/],
    ["another number of rows", '{\\"topK\\":2}', '{\\"topK\\":3}', /got f32 \[2, 172\]/],
    [
      "a point without values",
      "blocks.1.mlp.post\\",
      "blocks.2.mlp.post\\",
      /"blocks\.2\.mlp\.post\.top": .* got none/,
    ],
    ["positions that a text lacks", '\\"all\\"', "[1,999]", /must be whole; got /],
    ["a tensor of another name", '"lengths"', '"lengthy"', /"lengths": .*; got nothing/],
  ])("%s", async (_, from, to, message) => {
    changeHeader(from, to);
    expect((await refusal()).message).toMatch(message);
  });

  it("one that is larger than memory, unless some of its points are chosen", async () => {
    const large = { positions: "all", rowShape: [2 ** 20], isOverKeys: false, dtype: "f32" } as const;
    const points = [
      { ...large, name: "embed" },
      { ...large, name: "posEmbed", rowShape: [2] },
    ];
    const plan = { points, sequences: [{ tokens: Array<number>(600).fill(1) }], reduce: undefined };
    const metadata = planMetadata(plan, (await model.record(["A"], { read: ["embed"] })).provenance);
    const { header, offsets, sizeBytes } = layOutSafetensors(recordingTensors(plan), metadata);
    const descriptor = openSync(file(), "w");
    writeSync(descriptor, header);
    writeSync(descriptor, Int32Array.from(plan.sequences[0].tokens), 0, 2400, offsets.get("tokens"));
    writeSync(descriptor, Int32Array.of(600), 0, 4, offsets.get("lengths"));
    ftruncateSync(descriptor, sizeBytes); // what was not written takes no room
    closeSync(descriptor);
    expect((await refusal()).message).toMatch(
      /at most 2\.00 GiB of a recording can be loaded; got 2\.34 GiB\. Choose some/,
    );
    expect((await openRecording(file(), { points: ["posEmbed"] })).nRows("posEmbed")).toBe(600);
  });

  it("one whose lengths or places do not fit its tokens", async () => {
    const all = await readTensors(file());
    const rewrite = (name: string, value: number): void => {
      const copy = Buffer.from(bytes);
      const { data } = all.get(name) as Tensor;
      const needle = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
      copy.writeInt32LE(value, copy.indexOf(needle));
      writeFileSync(file(), copy);
    };
    for (const value of [0, -1, 3, 2 ** 30]) {
      rewrite("lengths", value);
      expect((await refusal()).message).toMatch(/tensor "(lengths|tokens)": a recording must hold/);
    }
    for (const value of [-2, 4, 2 ** 31 - 1]) {
      rewrite("blocks.1.mlp.post.top.sequence", value);
      expect((await refusal()).message).toMatch(/the largest rows must be rows of the recorded texts/);
    }
  });
});

describe("a model's fingerprint", () => {
  it("is the same for a copy, and another for another model, type or weight", async () => {
    const names = ["goldens/llama", "goldens/llama-f16", "goldens/gpt2", "gguf/llama.gguf"];
    const found = new Map<string, string>();
    for (const name of names) {
      for (const _ of [1, 2]) {
        const other = await open(fixture(name));
        const fingerprint = await other.fingerprint();
        await other.close();
        expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
        expect(found.get(name) ?? fingerprint).toBe(fingerprint);
        found.set(name, fingerprint);
      }
    }
    expect(new Set(found.values()).size).toBe(names.length);
  });
});

describe("the version", () => {
  it("is that of the package", () => {
    expect(VERSION).toBe(JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version);
  });
});
