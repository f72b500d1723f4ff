/** Values of a GGUF file that are right as the format has it, and hostile to whoever reads a model from them. */

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { CheckpointError, ConfigError } from "../src/errors.ts";
import { Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { concat, MemoryFolder, utf8 } from "./checkpoint-files.ts";
import { putTogether, takeApart } from "./fuzz/gguf-parts.ts";
import { runModel } from "./fuzz/sound.ts";
import { fixture } from "./support/fixtures.ts";
import { u32, u64, VALUE } from "./support/gguf-files.ts";

const llama = takeApart(new Uint8Array(readFileSync(fixture("gguf/llama.gguf"))));

it.each(["llama.block_count", "llama.tempo", "llama.rope.scaling.type"])(
  "a list of a million for %s is refused",
  async (key) => {
    const others = llama.values.filter((value) => new TextDecoder().decode(value.key) !== key);
    const list = concat(u32(VALUE.array), u32(VALUE.u8), u64(1_000_000), new Uint8Array(1_000_000));
    const bytes = putTogether({ ...llama, values: [...others, { key: utf8(key), rest: list }] });
    const running = runModel(new MemoryFolder({ "m.gguf": bytes }));
    await expect(running).rejects.toThrow(ConfigError);
    await expect(running).rejects.toThrow(`${key}: must be at most 4096 long; got 1000000.`);
  },
);

it.each([
  ["text longer than a string can be as JSON", "\u0001".repeat(100_000_000)],
  ["a list that is longer still", Array(100).fill("\u0001".repeat(10_000_000))],
  ["numbers that JSON does not know", new BigUint64Array(1000)],
])("a tokenizer of %s is refused in few words", (_, value) => {
  const open = () => Tokenizer.fromGguf(new Map([["tokenizer.ggml.model", { value }]]), "m.gguf");
  expect(open).toThrow(CheckpointError);
  expect(open).toThrow(/^m.gguf: tokenizer.ggml.model: .{1,300}$/);
});
