import { appendFile, mkdir, mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openFile, openFolder } from "../node/files.ts";
import { openSafetensors, openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { CheckpointError } from "../src/errors.ts";
import { DTYPE_SIZE_BYTES } from "../src/tensor/dtype.ts";
import { entry, MemoryFolder, MemorySource, OFFICIAL_FILE, safetensors, utf8 } from "./checkpoint-files.ts";

const openBytes = (bytes: Uint8Array) => openSafetensorsFile(new MemorySource("model.safetensors", bytes));
const index = (weightMap: unknown) => utf8(JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap }));

describe("a safetensors file", () => {
  test("of the official writer opens with every dtype, its scalar and its empty tensor", async () => {
    const checkpoint = await openBytes(OFFICIAL_FILE);
    const tensors = [...checkpoint.tensors.values()];
    const dtypes = tensors.filter(({ shape }) => shape.join() === "1,3").map(({ dtype }) => dtype);
    expect(dtypes.toSorted()).toEqual(Object.keys(DTYPE_SIZE_BYTES).toSorted());
    expect(checkpoint.metadata).toEqual({ format: "pt" });

    const read = async (name: string) => (await checkpoint.read(checkpoint.tensors.get(name)!)).buffer;
    expect(new Float64Array(await read("float64"))).toEqual(Float64Array.of(1, 0, 1));
    expect(new Float32Array(await read("float32"))).toEqual(Float32Array.of(1, 0, 1));
    expect(new Float16Array(await read("float16"))).toEqual(Float16Array.of(1, 0, 1));
    expect(new Uint16Array(await read("bfloat16"))).toEqual(Uint16Array.of(0x3f80, 0, 0x3f80));
    expect(new Uint8Array(await read("float8_e4m3fn"))).toEqual(Uint8Array.of(0x38, 0, 0x38));
    expect(new Uint8Array(await read("float8_e5m2"))).toEqual(Uint8Array.of(0x3c, 0, 0x3c));
    expect(new BigInt64Array(await read("int64"))).toEqual(BigInt64Array.of(1n, 0n, 1n));
    expect(new Uint8Array(await read("bool"))).toEqual(Uint8Array.of(1, 0, 1));
    expect(new Float32Array(await read("scalar"))).toEqual(Float32Array.of(1.5));
    expect(checkpoint.tensors.get("empty")).toMatchObject({ shape: [0, 4], sizeBytes: 0 });
    expect((await read("empty")).byteLength).toBe(0);
  });

  test("written by hand gives each tensor's place, in the order of the bytes, behind a padded header", async () => {
    const header = `{${entry("b", "F32", [2], 4, 12)},${entry("a", "U8", [2, 2], 0, 4)}}  \n `;
    const checkpoint = await openBytes(safetensors(header, 12));
    const dataOffset = 8 + header.length;
    expect([...checkpoint.tensors.values()]).toEqual([
      { name: "a", dtype: "u8", shape: [2, 2], file: "model.safetensors", offset: dataOffset, sizeBytes: 4 },
      { name: "b", dtype: "f32", shape: [2], file: "model.safetensors", offset: dataOffset + 4, sizeBytes: 8 },
    ]);
    expect(await checkpoint.read(checkpoint.tensors.get("b")!)).toEqual(Uint8Array.of(5, 6, 7, 8, 9, 10, 11, 12));
  });

  test("is opened by reading its length and its header, and no weight", async () => {
    const header = `{${entry("a", "U8", [1000], 0, 1000)}}`;
    const source = new MemorySource("model.safetensors", safetensors(header, 1000));
    const checkpoint = await openSafetensorsFile(source);
    expect(source.nBytesRead).toBe(8 + header.length);
    await checkpoint.readRows(checkpoint.tensors.get("a")!, 10, 5);
    expect(source.nBytesRead).toBe(8 + header.length + 5);
  });

  test("may list an empty tensor after the one that begins at the same byte", async () => {
    const checkpoint = await openBytes(
      safetensors(`{${entry("w", "U8", [4], 0, 4)},${entry("e", "U8", [0], 0, 0)}}`, 4),
    );
    expect([...checkpoint.tensors.keys()]).toEqual(["e", "w"]);
  });

  test("without tensors is an empty checkpoint", async () => {
    expect((await openBytes(safetensors("{}"))).tensors.size).toBe(0);
  });

  test("may name tensors and metadata like the inner properties of JavaScript objects", async () => {
    const names = ["__proto__", "constructor", "toString"];
    const entries = names.map((name, i) => `"${name}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`);
    const metadata = `"__metadata__":{"__proto__":"x","constructor":"y"}`;
    const checkpoint = await openBytes(safetensors(`{${entries},${metadata}}`, 3));
    expect([...checkpoint.tensors.keys()]).toEqual(names);
    expect(Object.entries(checkpoint.metadata)).toEqual(
      Object.entries(JSON.parse(`{"__proto__":"x","constructor":"y"}`)),
    );
  });

  test("may use the same key in different objects, and quotes, braces and colons in names", async () => {
    const entries = ['a\\"b', "{", "dtype", '\\\\\\":', "é\\n"].map(
      (name, i) => `"${name}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`,
    );
    const checkpoint = await openBytes(safetensors(`{${entries.join(" , ")}}`, 5));
    expect([...checkpoint.tensors.keys()]).toEqual(['a"b', "{", "dtype", '\\":', "é\n"]);
  });

  test("has its own names whatever JSON.parse has cached before (nodejs/node#63785)", async () => {
    JSON.parse(String.raw`{"x":{},"\\":{}}`);
    const header = String.raw`{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\"":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`;
    expect([...(await openBytes(safetensors(header, 2))).tensors.keys()]).toEqual(["x", '"']);
  });
});

describe("rows of the first axis", () => {
  const header = `{${entry("w", "U16", [3, 2], 0, 12)},${entry("s", "U8", [], 12, 13)},${entry("e", "U8", [0, 4], 13, 13)}}`;
  const open = () => openBytes(safetensors(header, 13));

  test("are read alone", async () => {
    const checkpoint = await open();
    const w = checkpoint.tensors.get("w")!;
    expect(await checkpoint.readRows(w, 1, 1)).toEqual(Uint8Array.of(5, 6, 7, 8));
    expect(await checkpoint.readRows(w, 1, 2)).toEqual((await checkpoint.read(w)).subarray(4));
    expect(await checkpoint.readRows(w, 3, 0)).toEqual(new Uint8Array(0));
    expect(await checkpoint.readRows(checkpoint.tensors.get("e")!, 0, 0)).toEqual(new Uint8Array(0));
  });

  test.for([
    ["w", 2, 2],
    ["w", -1, 1],
    ["w", 0, 1.5],
    ["s", 0, 1],
    ["e", 0, 1],
  ] as const)("outside of %s are refused: from %d, %d of them", async ([name, from, n]) => {
    const checkpoint = await open();
    await expect(checkpoint.readRows(checkpoint.tensors.get(name)!, from, n)).rejects.toMatchObject({
      code: "request.option",
      message: expect.stringMatching(`tensor "${name}": rows must lie inside .*; got ${n} rows from row ${from}`),
    });
  });

  test("of another checkpoint's tensor are refused", async () => {
    const other = await openSafetensorsFile(new MemorySource("other", safetensors(header, 13)));
    const refusal = { code: "checkpoint.missing", message: expect.stringContaining('a tensor of "other"') };
    await expect((await open()).read(other.tensors.get("w")!)).rejects.toMatchObject(refusal);
  });
});

describe("a folder", () => {
  const a = safetensors(`{"__metadata__":{"format":"pt","from":"one"},${entry("a", "U8", [2], 0, 2)}}`, 2);
  const b = safetensors(`{"__metadata__":{"format":"pt","from":"two"},${entry("b", "U8", [3], 0, 3)}}`, 3);
  const shards = { "one.safetensors": a, "two.safetensors": b };
  const weightMap = { a: "one.safetensors", b: "two.safetensors" };

  test("with shards opens as one checkpoint, each tensor read from its shard", async () => {
    const folder = new MemoryFolder({ ...shards, "model.safetensors.index.json": index(weightMap) });
    const checkpoint = await openSafetensors(folder);
    expect([...checkpoint.tensors.values()].map(({ name, file }) => [name, file])).toEqual(Object.entries(weightMap));
    expect(await checkpoint.read(checkpoint.tensors.get("b")!)).toEqual(Uint8Array.of(1, 2, 3));
    expect(checkpoint.metadata).toEqual({ format: "pt", from: "one" });
    await checkpoint.close();
    expect(folder.opened.map(({ nCloses }) => nCloses)).toEqual([1, 1, 1]);
  });

  test("with model.safetensors and an index opens the single file, as transformers does", async () => {
    const files = { "model.safetensors": b, "one.safetensors": a, "model.safetensors.index.json": index(weightMap) };
    expect([...(await openSafetensors(new MemoryFolder(files))).tensors.keys()]).toEqual(["b"]);
  });

  test("with one safetensors file of another name opens that one", async () => {
    const checkpoint = await openSafetensors(new MemoryFolder({ "config.json": utf8("{}"), "weights.safetensors": a }));
    expect(checkpoint.tensors.get("a")?.file).toBe("weights.safetensors");
  });

  test.for([
    ["nothing", {}, "none among its 0 files. Download"],
    ["other formats", { "pytorch_model.bin": a }, "model.safetensors, model.safetensors.index.json, or one other"],
    ["several unnamed files", shards, '2 others ("one.safetensors", "two.safetensors"). Open one of them'],
  ] as const)("with %s is refused with what was looked for", async ([, files, message]) => {
    const refusal = { code: "checkpoint.missing", message: expect.stringContaining(message) };
    await expect(openSafetensors(new MemoryFolder(files))).rejects.toMatchObject(refusal);
  });

  const two = safetensors(`{${entry("a", "U8", [1], 0, 1)},${entry("b", "U8", [1], 1, 2)}}`, 2);
  test.for<[string, Uint8Array, Record<string, Uint8Array>, string, string]>([
    ["an index that is not JSON", utf8("{"), shards, "checkpoint.header", "index.json: the JSON must be valid"],
    [
      "an index too long to be one",
      new Uint8Array(100_000_001),
      shards,
      "checkpoint.header",
      "at most 100000000 bytes",
    ],
    ["no weight_map", utf8("{}"), shards, "checkpoint.header", "weight_map must be an object from tensor name"],
    ["a weight_map of the wrong kind", index([]), shards, "checkpoint.header", "got []"],
    ["a tensor twice in the index", utf8('{"weight_map":{"a":"x","a":"y"}}'), shards, "checkpoint.header", '"a" twice'],
    ["a shard name that is no string", index({ a: 7 }), shards, "checkpoint.header", "got 7"],
    ["a parent folder", index({ a: "../one.safetensors" }), shards, "checkpoint.header", 'got "../one.safetensors"'],
    [
      "the parent itself",
      index({ a: ".." }),
      shards,
      "checkpoint.header",
      'tensor "a": weight_map must give the plain',
    ],
    ["an absolute path", index({ a: "/etc/passwd" }), shards, "checkpoint.header", 'got "/etc/passwd"'],
    ["a Windows path", index({ a: "..\\one" }), shards, "checkpoint.header", "plain name of a file beside the index"],
    ["a drive", index({ a: "C:one" }), shards, "checkpoint.header", 'got "C:one"'],
    ["an empty name", index({ a: "" }), shards, "checkpoint.header", 'got ""'],
    [
      "its own name",
      index({ a: "model.safetensors.index.json" }),
      {},
      "checkpoint.header",
      "Is it a safetensors file?",
    ],
    ["a missing shard", index({ a: "one.safetensors", b: "3" }), shards, "checkpoint.missing", 'must hold "3"'],
    [
      "a damaged shard",
      index(weightMap),
      { ...shards, "two.safetensors": b.slice(0, 7) },
      "checkpoint.truncated",
      "two",
    ],
    [
      "a tensor that its shard lacks",
      index({ ...weightMap, c: "one.safetensors" }),
      shards,
      "checkpoint.tensor",
      '"c"',
    ],
    [
      "a tensor that lies in another shard",
      index({ a: "two.safetensors", b: "one.safetensors" }),
      shards,
      "checkpoint.tensor",
      'tensor "a": the tensor must be in "two.safetensors", as the index says; got it in "one.safetensors"',
    ],
    [
      "a tensor that the index does not name",
      index({ a: "one.safetensors" }),
      { "one.safetensors": two },
      "checkpoint.tensor",
      'one.safetensors, tensor "b": a shard\'s tensors must be in the index',
    ],
    [
      "a tensor in two shards",
      index(weightMap),
      { "one.safetensors": two, "two.safetensors": b },
      "checkpoint.tensor",
      'two.safetensors, tensor "b": a tensor must be in one shard only; got it also in "one.safetensors"',
    ],
  ])("of shards with %s is refused, and every opened file closed", async ([, indexBytes, files, code, message]) => {
    const folder = new MemoryFolder({ ...files, "model.safetensors.index.json": indexBytes });
    const error = await openSafetensors(folder).catch((error) => error);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(folder.opened.map(({ nCloses }) => nCloses)).toEqual(folder.opened.map(() => 1));
  });
});

/** The same bytes again, at a time that the clock of a file system can tell from now. */
async function writeLater(path: string): Promise<void> {
  await writeFile(path, OFFICIAL_FILE);
  await utimes(path, new Date(), new Date(Date.now() + 5000));
}

describe("files on disk", () => {
  let root = "";
  const inRoot = (name: string) => join(root, name);
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "golgi-checkpoint-"));
    await writeFile(inRoot("model.safetensors"), OFFICIAL_FILE);
    await mkdir(inRoot("folder"));
    await symlink("model.safetensors", inRoot("link"));
    await symlink("nowhere", inRoot("dangling"));
    await mkdir(inRoot("loops"));
    await symlink("loop", inRoot("loops/loop"));
    await symlink("/dev/zero", inRoot("loops/zero"));
  });
  afterAll(() => rm(root, { recursive: true }));

  test("open as a checkpoint through their folder", async () => {
    const checkpoint = await openSafetensors(await openFolder(root));
    expect(checkpoint.name).toBe(root);
    expect(new Float32Array((await checkpoint.read(checkpoint.tensors.get("scalar")!)).buffer)).toEqual(
      Float32Array.of(1.5),
    );
    await checkpoint.close();
  });

  test("are listed without folders, and opened through links", async () => {
    const folder = await openFolder(root);
    expect((await folder.list()).toSorted()).toEqual(["dangling", "link", "model.safetensors"]);
    const link = await folder.open("link");
    expect(link?.sizeBytes).toBe(OFFICIAL_FILE.length);
    await link?.close();
    expect(await folder.open("absent")).toBeUndefined();
    expect(await folder.open("dangling")).toBeUndefined();
  });

  test("may be read at many places at once, each read owning its memory", async () => {
    const source = await openFile(inRoot("model.safetensors"));
    const reads = Array.from({ length: 50 }, (_, i) => source.read(i, 20));
    for (const [i, bytes] of (await Promise.all(reads)).entries()) {
      expect(bytes).toEqual(OFFICIAL_FILE.slice(i, i + 20));
      expect(bytes.buffer.byteLength).toBe(20);
    }
    await source.close();
  });

  test("reject reads outside of them before any memory is taken", async () => {
    const source = await openFile(inRoot("model.safetensors"));
    for (const [offset, length] of [
      [0, 2 ** 52],
      [OFFICIAL_FILE.length, 1],
      [-1, 1],
      [0, Number.NaN],
    ] as const) {
      await expect(source.read(offset, length)).rejects.toMatchObject({ code: "checkpoint.truncated" });
    }
    await source.close();
  });

  test.for<[string, (path: string) => Promise<unknown>, string]>([
    [
      "are cut short",
      (path) => truncate(path, OFFICIAL_FILE.length - 1),
      `got ${OFFICIAL_FILE.length - 1} bytes instead of`,
    ],
    ["grow", (path) => appendFile(path, "x"), `got ${OFFICIAL_FILE.length + 1} bytes instead of`],
    ["are written to", (path) => writeLater(path), "got one that was written to since"],
    ["are replaced", (path) => rename(`${path}.other`, path), "got another file in its place. Open it again."],
    ["are deleted", (path) => rm(path), "got no file of its name any more"],
  ])("that %s after opening give checkpoint.changed, whatever is read of them", async ([, change, message]) => {
    const path = inRoot("changing");
    await writeFile(path, OFFICIAL_FILE);
    await writeFile(`${path}.other`, OFFICIAL_FILE);
    const checkpoint = await openSafetensorsFile(await openFile(path));
    expect(() => checkpoint.checkUnchanged()).not.toThrow();
    await change(path);
    const refusal = { code: "checkpoint.changed", message: expect.stringContaining(message) };
    for (const tensor of checkpoint.tensors.values())
      await expect(checkpoint.read(tensor)).rejects.toMatchObject(refusal);
    expect(() => checkpoint.checkUnchanged()).toThrow(expect.objectContaining(refusal));
    await checkpoint.close();
  });

  test("may lie behind links that leave the folder, as those of a download cache do, and be named by an index", async () => {
    await mkdir(inRoot("cache/blobs"), { recursive: true });
    await mkdir(inRoot("cache/snapshots/main"), { recursive: true });
    const snapshot = (name: string) => inRoot(`cache/snapshots/main/${name}`);
    const header = `{${entry("a", "U8", [2], 0, 2)}}`;
    for (const [name, bytes] of [
      ["a.safetensors", safetensors(header, 2)],
      ["model.safetensors.index.json", index({ a: "a.safetensors" })],
    ] as const) {
      await writeFile(inRoot(`cache/blobs/${name.length}`), bytes);
      await symlink(`../../blobs/${name.length}`, snapshot(name));
    }
    const checkpoint = await openSafetensors(await openFolder(snapshot("")));
    expect(await checkpoint.read(checkpoint.tensors.get("a")!)).toEqual(Uint8Array.of(1, 2));
    await rm(snapshot("a.safetensors"));
    await symlink(inRoot("model.safetensors"), snapshot("a.safetensors"));
    expect(() => checkpoint.checkUnchanged()).toThrow(/got another file in its place/);
    await checkpoint.close();
  });

  test("reject reads after close, and close again without harm", async () => {
    const source = await openFile(inRoot("model.safetensors"));
    await source.close();
    await source.close();
    await expect(source.read(0, 8)).rejects.toMatchObject({ code: "checkpoint.missing" });
    await expect(source.read(0, 0)).rejects.toMatchObject({ code: "checkpoint.missing" });
  });

  test.for<[string, () => Promise<unknown>, string]>([
    ["a missing file", () => openFile(inRoot("absent")), "absent: the file must exist; got no such file. Check"],
    ["a folder for a file", () => openFile(inRoot("folder")), "it must be a regular file"],
    ["a device for a file", () => openFile("/dev/zero"), "it must be a regular file"],
    ["a missing folder", () => openFolder(inRoot("absent")), "the folder must exist and be readable; got ENOENT."],
    ["a file for a folder", () => openFolder(inRoot("model.safetensors")), "it must be a folder; got a file. Give"],
    ["a link to itself", async () => (await openFolder(inRoot("loops"))).open("loop"), "must be readable; got ELOOP"],
    ["a link to a device", async () => (await openFolder(inRoot("loops"))).open("zero"), "it must be a regular file"],
    ["a folder inside a folder", async () => (await openFolder(root)).open("folder"), "it must be a regular file"],
  ])("are refused where there is %s", async ([, open, message]) => {
    const refusal = { code: "checkpoint.missing", message: expect.stringContaining(message) };
    await expect(open()).rejects.toMatchObject(refusal);
  });

  test.for(["", ".", "..", "../model.safetensors", "folder/x", "/etc/passwd", "..\\x", "x\0"])(
    "are opened by plain names only, not %j",
    async (name) => {
      const refusal = { code: "checkpoint.missing", message: expect.stringContaining("opened by its plain name") };
      await expect((await openFolder(root)).open(name)).rejects.toMatchObject(refusal);
    },
  );
});
