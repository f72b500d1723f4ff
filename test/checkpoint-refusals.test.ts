import { expect, test } from "vitest";
import { openSafetensorsFile } from "../src/checkpoint/safetensors.ts";
import { CheckpointError, type ErrorCode } from "../src/errors.ts";
import { concat, entry, MemorySource, safetensors, utf8 } from "./checkpoint-files.ts";

const u8 = (name: string, begin: number, end: number) => entry(name, "U8", [end - begin], begin, end);
const tensor = (fields: string) => safetensors(`{"w":${fields}}`, 4);
const field = (dtype: string, shape: string, offsets: string) =>
  tensor(`{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`);
const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;

const CASES: readonly [name: string, bytes: Uint8Array, code: ErrorCode, message: string][] = [
  ["an empty file", new Uint8Array(0), "checkpoint.truncated", "8 bytes of its header's length; got 0 bytes. The file"],
  ["a file shorter than the length", new Uint8Array(7), "checkpoint.truncated", "got 7 bytes"],
  ["a header of length 0", safetensors("", 4), "checkpoint.header", "must be 1 to 100000000 bytes; got 0."],
  [
    "a header beyond the end",
    safetensors("{}", 0, 3n),
    "checkpoint.truncated",
    "3 bytes must end inside the file; got a file",
  ],
  ["a header beyond the bound", safetensors("{}", 0, 100_000_001n), "checkpoint.header", "got 100000001. Is it a"],
  [
    "a header length beyond 2^53",
    safetensors("{}", 0, 2n ** 64n - 1n),
    "checkpoint.header",
    "got 18446744073709551615.",
  ],
  [
    "a Git LFS pointer",
    utf8("version https://git-lfs.github.com/spec/v1\n"),
    "checkpoint.header",
    "A Git LFS pointer or",
  ],
  ["a header that is not UTF-8", safetensors(Uint8Array.of(0x7b, 0xff, 0x7d)), "checkpoint.header", "must be UTF-8"],
  [
    "an overlong UTF-8 sequence",
    safetensors(concat(utf8('{"'), Uint8Array.of(0xc0, 0x80), utf8('":1}'))),
    "checkpoint.header",
    "must be UTF-8",
  ],
  ["a byte order mark", safetensors("\uFEFF{}"), "checkpoint.header", "begin with {"],
  ["space before the header", safetensors(" {}"), "checkpoint.header", 'begin with {; got " {}" at character 0.'],
  [
    "invalid JSON",
    safetensors('{"w":}'),
    "checkpoint.header",
    'must be valid, with a value here; got "}" at character 5.',
  ],
  ["data behind the JSON", safetensors("{}{}"), "checkpoint.header", 'only whitespace may follow the JSON; got "{}"'],
  ["padding of NUL", safetensors("{}\0"), "checkpoint.header", 'may follow the JSON; got "\\u0000" at character 2'],
  [
    "JSON that ends early",
    safetensors('{"w":{}'),
    "checkpoint.header",
    "a , or } here; got the end of its 7 characters",
  ],
  ["a string that does not end", safetensors('{"w\\'), "checkpoint.header", "with a string here"],
  ["a line break in a string", safetensors('{"w\n":{}}'), "checkpoint.header", "with a string here"],
  ["an unknown escape", safetensors('{"\\x":{}}'), "checkpoint.header", "with a string here"],
  ["half a surrogate pair", safetensors('{"\\ud800":{}}'), "checkpoint.header", "a string must be valid Unicode"],
  ["a comma too many", safetensors('{"w":{},}'), "checkpoint.header", 'with a "key" here'],
  ["a key without quotes", safetensors("{w:{}}"), "checkpoint.header", 'with a "key" here; got "w:{}}" at character 1'],
  ["a key without a value", safetensors('{"w"}'), "checkpoint.header", "with a : here"],
  ["a list that does not end", field('"U8"', "[4", "[0,4]"), "checkpoint.header", "a , or ] here; got"],
  ["a number with a leading zero", field('"U8"', "[04]", "[0,4]"), "checkpoint.header", 'a , or ] here; got "4]'],
  ["a number that JSON does not have", field('"U8"', "[NaN]", "[0,4]"), "checkpoint.header", 'a value here; got "NaN]'],
  ["lists nested very deep", tensor(deep), "checkpoint.header", "the JSON must be nested at most 64 deep"],
  [
    "more objects than memory should hold",
    safetensors(`{"w":[${"{},".repeat(2 ** 21)}{}]}`),
    "checkpoint.header",
    "the JSON must hold at most 2097152 values",
  ],
  ["a header that is a list", safetensors("[]"), "checkpoint.header", 'begin with {; got "[]"'],
  ["a header that is null", safetensors("null"), "checkpoint.header", "must be an object"],

  ["a tensor twice", safetensors(`{${u8("w", 0, 1)},${u8("w", 1, 2)}}`, 2), "checkpoint.header", 'got "w" twice.'],
  [
    "a tensor twice, once escaped",
    safetensors(`{${u8("w", 0, 1)},${u8("w", 1, 2).replace("w", "\\u0077")}}`, 2),
    "checkpoint.header",
    '"w" twice',
  ],
  ["__proto__ twice", safetensors('{"__proto__":{}, "__proto__" :{}}'), "checkpoint.header", '"__proto__" twice'],
  [
    "a field twice",
    tensor('{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}'),
    "checkpoint.header",
    '"dtype" twice',
  ],
  ["metadata twice", safetensors('{"__metadata__":{},"__metadata__":{}}'), "checkpoint.header", '"__metadata__" twice'],
  ["a metadata key twice", safetensors('{"__metadata__":{"a":"1","a":"2"}}'), "checkpoint.header", '"a" twice'],
  [
    "metadata that is no object",
    safetensors('{"__metadata__":"pt"}'),
    "checkpoint.header",
    'object of strings; got "pt"',
  ],
  [
    "metadata that is not text",
    safetensors('{"__metadata__":{"n":1}}'),
    "checkpoint.header",
    'strings only; got 1 for "n"',
  ],

  [
    "an entry that is no object",
    tensor("7"),
    "checkpoint.tensor",
    'file, tensor "w": an entry must be an object; got 7',
  ],
  ["an entry that is null", tensor("null"), "checkpoint.tensor", "got null"],
  ["an entry that is a list", tensor("[]"), "checkpoint.tensor", "got []"],
  [
    "an unknown dtype",
    field('"F4"', "[4]", "[0,4]"),
    "checkpoint.dtype",
    'file, tensor "w": dtype must be one of F64 F32',
  ],
  ["a dtype in lower case", field('"u8"', "[4]", "[0,4]"), "checkpoint.dtype", 'BOOL; got "u8". Convert'],
  [
    "a dtype named like an inner property",
    field('"constructor"', "[4]", "[0,4]"),
    "checkpoint.dtype",
    'got "constructor"',
  ],
  ["a dtype that is no text", field("[[4],{}]", "[4]", "[0,4]"), "checkpoint.dtype", "got [[4], an object]."],
  ["no dtype", tensor('{"shape":[4],"data_offsets":[0,4]}'), "checkpoint.dtype", "got nothing"],
  [
    "no shape",
    tensor('{"dtype":"U8","data_offsets":[0,4]}'),
    "checkpoint.shape",
    'tensor "w": shape must be a list of sizes',
  ],
  ["a shape that is no list", field('"U8"', "4", "[0,4]"), "checkpoint.shape", "got 4"],
  ["a negative size", field('"U8"', "[-1,-4]", "[0,4]"), "checkpoint.shape", "got [-1, -4]"],
  ["a fractional size", field('"U8"', "[0.5,8]", "[0,4]"), "checkpoint.shape", "got [0.5, 8]"],
  ["a size that is text", field('"U8"', '["4"]', "[0,4]"), "checkpoint.shape", 'got ["4"]'],
  [
    "a size of 2^53",
    field('"U8"', "[9007199254740992,1e400]", "[0,4]"),
    "checkpoint.shape",
    "none negative; got [9007199254740992, Infinity]",
  ],
  [
    "a product beyond 2^53",
    field('"U8"', "[4294967296,4294967296]", "[0,4]"),
    "checkpoint.shape",
    "below 2^53 bytes; got U8 [4294967296",
  ],
  [
    "a product beyond 2^53 that a zero hides",
    field('"U8"', "[4294967296,4294967296,0]", "[0,0]"),
    "checkpoint.shape",
    "2^53",
  ],
  ["no offsets", tensor('{"dtype":"U8","shape":[4]}'), "checkpoint.tensor", "data_offsets must be two numbers"],
  ["one offset", field('"U8"', "[4]", "[4]"), "checkpoint.tensor", "[begin, end]; got [4]"],
  ["three offsets", field('"U8"', "[4]", "[0,4,4]"), "checkpoint.tensor", "got [0, 4, 4]"],
  ["a negative offset", field('"U8"', "[4]", "[-4,0]"), "checkpoint.tensor", "got [-4, 0]"],
  ["a fractional offset", field('"U8"', "[4]", "[0.5,4.5]"), "checkpoint.tensor", "got [0.5, 4.5]"],
  ["an offset beyond 2^53", field('"U8"', "[4]", "[0,1e300]"), "checkpoint.tensor", "got [0, 1e+300]"],
  [
    "offsets that end before they begin",
    field('"U8"', "[4]", "[4,0]"),
    "checkpoint.tensor",
    "before they begin; got [4, 0]",
  ],
  [
    "a tensor beyond the end",
    field('"U8"', "[5]", "[0,5]"),
    "checkpoint.truncated",
    "inside the file; got data_offsets [0, 5] over 4 bytes",
  ],
  [
    "too few bytes for the shape",
    field('"F32"', "[2]", "[0,4]"),
    "checkpoint.tensor",
    "F32 [2] needs 8 bytes; got 4 from data_offsets [0, 4]",
  ],
  ["too many bytes for the shape", field('"U8"', "[3]", "[0,4]"), "checkpoint.tensor", "U8 [3] needs 3 bytes; got 4"],

  [
    "overlapping tensors",
    safetensors(`{${u8("a", 0, 3)},${u8("b", 2, 4)}}`, 4),
    "checkpoint.tensor",
    'tensor "b": tensors must follow one another without overlaps or holes, so this one begins at data byte 3; got 2, which overlaps "a".',
  ],
  [
    "the same bytes for two tensors",
    safetensors(`{${u8("a", 0, 4)},${u8("b", 0, 4)}}`, 4),
    "checkpoint.tensor",
    "overlaps",
  ],
  [
    "an empty tensor inside another",
    safetensors(`{${u8("a", 0, 4)},${u8("b", 2, 2)}}`, 4),
    "checkpoint.tensor",
    "overlaps",
  ],
  [
    "a hole between tensors",
    safetensors(`{${u8("a", 0, 1)},${u8("b", 2, 4)}}`, 4),
    "checkpoint.tensor",
    'got 2, which leaves a hole after "a".',
  ],
  [
    "a hole before the first tensor",
    safetensors(`{${u8("a", 1, 4)}}`, 4),
    "checkpoint.tensor",
    "leaves a hole after the header",
  ],
  [
    "bytes behind the last tensor",
    safetensors(`{${u8("a", 0, 3)}}`, 4),
    "checkpoint.header",
    "last tensor ends, at byte 64; got 1 more",
  ],
  ["a name with control characters", safetensors(`{"\\u001b[2J":7}`), "checkpoint.tensor", 'tensor "\\u001b[2J":'],
  ["a very long name", safetensors(`{"${"n".repeat(10_000)}":7}`), "checkpoint.tensor", "nnn...: an entry"],
];

test.for(CASES)("refuses %s, and closes the file", async ([, bytes, code, message]) => {
  const source = new MemorySource("file", bytes);
  const error = await openSafetensorsFile(source).catch((error) => error);
  expect(error).toBeInstanceOf(CheckpointError);
  expect(error.code).toBe(code);
  expect(error.message).toContain(message);
  expect(error.message).toMatch(/^file[:,][^\n]*\.$/);
  expect(source.nCloses).toBe(1);
});

test("refuses an overlong header before it reads any of it", async () => {
  const source = new MemorySource("file", safetensors("{}", 0, 100_000_001n));
  await expect(openSafetensorsFile(source)).rejects.toThrow(CheckpointError);
  expect(source.nBytesRead).toBe(8);
});
