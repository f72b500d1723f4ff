/** Models in several GGUF files: against parts that PyPI's gguf wrote, and against parts that do not belong together. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { open } from "../node/index.ts";
import { findGguf, openGguf } from "../src/checkpoint/gguf.ts";
import { CheckpointError, type ErrorCode } from "../src/errors.ts";
import { MemoryFolder } from "./checkpoint-files.ts";
import { fixture, readExpected } from "./support/fixtures.ts";
import { ggufFile, TENSOR, tensor, u8, u32, VALUE, value } from "./support/gguf-files.ts";
import { deviation } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

type Files = Record<string, Uint8Array>;

const bytesOf = (path: string) => new Uint8Array(readFileSync(fixture(path)));
const partNames = readdirSync(fixture("gguf-split"))
  .filter((name) => name.endsWith(".gguf"))
  .toSorted();
const official: Files = Object.fromEntries(partNames.map((name) => [name, bytesOf(`gguf-split/${name}`)]));

describe("a model in three parts, the first without tensors", () => {
  it.each(partNames)("has the tensors and the metadata of the whole model, opened by %s", async (name) => {
    const whole = await openGguf(new MemoryFolder({ m: bytesOf("gguf/llama.gguf") }), "m");
    const folder = new MemoryFolder(official);
    const parts = await openGguf(folder, name);
    expect([...parts.tensors.keys()].toSorted()).toEqual([...whole.tensors.keys()].toSorted());
    for (const [name, tensor] of parts.tensors) {
      expect(await parts.read(tensor)).toEqual(await whole.read(whole.tensors.get(name)!));
    }
    const values = [...parts.values].filter(([key]) => !key.startsWith("split."));
    expect(Object.fromEntries(values)).toEqual(Object.fromEntries(whole.values));
    expect(parts.metadata).toEqual(whole.metadata);
    await parts.close();
    expect(folder.opened.map(({ nCloses }) => nCloses)).toEqual([1, 1, 1]);
  });

  it.each(["reference", undefined])(
    "computes what transformers does, opened by its folder on backend %s",
    async (backend) => {
      const expected = await readExpected(fixture("goldens/llama"));
      const model = await open(fixture("gguf-split"), { backend });
      const { logits } = await model.run([...expected("tokens").data], { logits: "all" });
      expect(deviation(logits, expected("logits"))).toBeLessThanOrEqual(TOLERANCE.official);
      await model.close();
    },
  );
});

const u16 = (n: number) => u8(n & 255, n >> 8);
const i32 = (n: number) => u32(n >>> 0);

interface Said {
  readonly no?: number;
  readonly count?: number;
  readonly nTensors?: number;
}

/** A part with one tensor of four bytes. */
function part(name: string, { no = 0, count = 2, nTensors = 2 }: Said): Uint8Array {
  return ggufFile({
    values: [
      value("split.no", VALUE.u16, u16(no)),
      value("split.count", VALUE.u16, u16(count)),
      value("split.tensors.count", VALUE.i32, i32(nTensors)),
      value("who", VALUE.u8, u8(no)),
    ],
    tensors: [tensor(name, [1], TENSOR.f32, 0)],
    nDataBytes: 4,
  });
}

const ONE = "m-00001-of-00002.gguf";
const TWO = "m-00002-of-00002.gguf";
const sound: Files = { [ONE]: part("a", {}), [TWO]: part("b", { no: 1 }) };
const lacking = (...keys: string[]) => {
  const said = { "split.no": u16(0), "split.count": u16(2), "split.tensors.count": i32(2) };
  const kept = Object.entries(said).filter(([key]) => !keys.includes(key));
  return ggufFile({
    values: kept.map(([key, bytes]) => value(key, bytes.length === 2 ? VALUE.u16 : VALUE.i32, bytes)),
  });
};

const REFUSALS: readonly [name: string, files: Files, code: ErrorCode, message: string][] = [
  ["no second part", { [ONE]: sound[ONE] }, "checkpoint.missing", `folder: the folder must hold "${TWO}"; got no such`],
  [
    "most of 65535 parts missing",
    { "m-00001-of-65535.gguf": part("a", { count: 65535 }) },
    "checkpoint.missing",
    '"m-00009-of-65535.gguf" and 65526 more; got no such file.',
  ],
  [
    "parts in another order than their names",
    { [ONE]: sound[TWO], [TWO]: sound[ONE] },
    "checkpoint.missing",
    `a part must be named like "model-00002-of-00002.gguf", since that is what it says it is; got "${ONE}"`,
  ],
  [
    "a name of its own",
    { "m.gguf": sound[ONE] },
    "checkpoint.missing",
    'must be named like "model-00001-of-00002.gguf"',
  ],
  [
    "another number of parts than in its name",
    { "m-00001-of-00003.gguf": sound[ONE] },
    "checkpoint.missing",
    'got "m-00001-of-00003.gguf"',
  ],
  ["the first part twice", { ...sound, [TWO]: part("b", {}) }, "checkpoint.header", "got part 1 of 2"],
  [
    "a part of another model",
    { ...sound, [TWO]: part("b", { no: 1, count: 3 }) },
    "checkpoint.header",
    `${TWO}: it must be part 2 of 2, with 2 tensors in all; got part 2 of 3, with 2 tensors in all.`,
  ],
  ["a whole model as a part", { ...sound, [TWO]: ggufFile({}) }, "checkpoint.header", "got a whole model."],
  ["a tensor twice", { ...sound, [TWO]: part("a", { no: 1 }) }, "checkpoint.tensor", `it also in "${ONE}"`],
  [
    "fewer tensors than they say",
    { [ONE]: part("a", { nTensors: 3 }), [TWO]: part("b", { no: 1, nTensors: 3 }) },
    "checkpoint.header",
    "must hold the 3 tensors of split.tensors.count; got 2 in 2 of 2 parts.",
  ],
  [
    "more tensors than they say",
    { [ONE]: part("a", { nTensors: 0 }), [TWO]: part("b", { no: 1, nTensors: 0 }) },
    "checkpoint.header",
    "must hold the 0 tensors of split.tensors.count; got 1 in 1 of 2 parts.",
  ],
  [
    "more tensors than a model has",
    { ...sound, [ONE]: part("a", { nTensors: 65_537 }) },
    "checkpoint.header",
    "split.tensors.count must be at most 65536; got 65537",
  ],
  [
    "a negative number of tensors",
    { ...sound, [ONE]: part("a", { nTensors: -1 }) },
    "checkpoint.header",
    "split.tensors.count: a split model must have this number, in i32; got -1 in i32",
  ],
  [
    "no number of the part",
    { ...sound, [ONE]: lacking("split.no") },
    "checkpoint.header",
    "split.no: a split model must",
  ],
  [
    "no number of tensors",
    { ...sound, [ONE]: lacking("split.tensors.count") },
    "checkpoint.header",
    "in i32; got none",
  ],
  [
    "a number of another type",
    { [ONE]: ggufFile({ values: [value("split.count", VALUE.u32, u32(2))] }) },
    "checkpoint.header",
    "split.count: a split model must have this number, in u16; got 2 in u32",
  ],
  ["a damaged part", { ...sound, [TWO]: sound[TWO].subarray(0, 99) }, "checkpoint.truncated", TWO],
];

describe("a split model", () => {
  it("has the metadata of its first part, whichever part is opened", async () => {
    for (const name of [ONE, TWO]) {
      const { values, tensors } = await openGguf(new MemoryFolder(sound), name);
      expect(values.get("who")?.value).toBe(0);
      expect(Array.from(tensors.values(), ({ name, file }) => [name, file])).toEqual([
        ["a", ONE],
        ["b", TWO],
      ]);
    }
  });

  it.each([0, 1])("that was put together again may say that it has %d parts", async (count) => {
    const { tensors } = await openGguf(new MemoryFolder({ m: part("a", { count }) }), "m");
    expect(tensors.size).toBe(1);
  });

  it.each(REFUSALS)("is refused with %s, and every opened file closed", async (_, files, code, message) => {
    const folder = new MemoryFolder(files);
    const error = await openGguf(folder, Object.keys(files)[0]).catch((error) => error);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain(message);
    expect(error.code).toBe(code);
    expect(folder.opened.map(({ nCloses }) => nCloses)).toEqual(folder.opened.map(() => 1));
  });
});

describe("the GGUF model of a folder", () => {
  const found = (...names: string[]) =>
    findGguf(new MemoryFolder(Object.fromEntries(names.map((name) => [name, u8()]))));

  it("is its only one, or the parts of its only one", async () => {
    expect(await found("README.md", "model.GGUF", "tokenizer.json")).toBe("model.GGUF");
    expect(await found(TWO, ONE)).toBe(ONE);
  });

  it("does not go before safetensors, and may be missing", async () => {
    expect(await found("m.gguf", "n.gguf", "model.safetensors")).toBeUndefined();
    expect(await found("m.gguf", "model.safetensors.index.json")).toBeUndefined();
    expect(await found("config.json", "m.gguf.part")).toBeUndefined();
  });

  it.each([
    [["b.gguf", "a.gguf"], '2 GGUF models ("a.gguf", "b.gguf"). Open one of them by its path.'],
    [[ONE, TWO, "m-00001-of-00003.gguf"], `2 GGUF models ("${ONE}", "m-00001-of-00003.gguf")`],
  ])("is not chosen from several: %j", async (names, message) => {
    const refusal = { code: "checkpoint.missing", message: expect.stringContaining(message) };
    await expect(found(...names)).rejects.toMatchObject(refusal);
  });
});
