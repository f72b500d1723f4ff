/** GGUF files, whole and in parts. */

import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { openGguf } from "../../src/checkpoint/gguf.ts";
import { TYPE_IDS } from "../../src/checkpoint/gguf-types.ts";
import { blockOf, type Format } from "../../src/tensor/format.ts";
import { utf8 } from "../checkpoint-files.ts";
import { fixture } from "../support/fixtures.ts";
import { damaged } from "./gguf-mutations.ts";
import { type GgufParts, takeApart } from "./gguf-parts.ts";
import { type Files, outcomeOf, readAll, runModel } from "./sound.ts";

const partsOf = (path: string) => takeApart(new Uint8Array(readFileSync(fixture(path))));

/** Small files with tensors of every type. */
const drawn: fc.Arbitrary<GgufParts> = fc
  .array(
    fc.record({
      format: fc.constantFrom(...(Object.keys(TYPE_IDS) as (keyof typeof TYPE_IDS)[])),
      nBlocks: fc.nat(2),
      sizes: fc.array(fc.nat(3), { maxLength: 3 }),
    }),
    { maxLength: 5 },
  )
  .map((tensors) => {
    let offset = 0;
    const entries = tensors.map(({ format, nBlocks, sizes }, i) => {
      const { nElements, sizeBytes } = blockOf(format as Format);
      const entry = {
        name: utf8(`t${i}`),
        sizes: [nBlocks * nElements, ...sizes].map(BigInt),
        type: TYPE_IDS[format],
        offset: BigInt(offset),
      };
      offset += Math.ceil((sizes.reduce((n, size) => n * size, nBlocks) * sizeBytes) / 32) * 32;
      return entry;
    });
    const data = Uint8Array.from({ length: offset }, (_, i) => i * 37);
    return { version: 3, nTensorsMore: 0n, nValuesMore: 0n, values: [], tensors: entries, alignment: 32, data };
  });

const models = ["llama", "gpt2", "qwen3", "llama3-rope"].map((name) => partsOf(`gguf/${name}.gguf`));
const official = partsOf("gguf/tensors.gguf");
const splitNames = readdirSync(fixture("gguf-split")).filter((name) => name.endsWith(".gguf"));

const whole = damaged(fc.oneof(drawn, fc.constant(official), fc.constantFrom(...models))).map(
  (bytes): Files => ({ "model.gguf": bytes }),
);

/** One part damaged, and now and then one of them missing or under the name of another. */
const inParts = fc
  .record({
    sound: fc.constant(splitNames.map((name) => new Uint8Array(readFileSync(fixture(`gguf-split/${name}`))))),
    damaged: fc.tuple(...splitNames.map((name) => damaged(fc.constant(partsOf(`gguf-split/${name}`))))),
    which: fc.nat(2),
    shift: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(2)),
    isComplete: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.boolean()),
  })
  .map(({ sound, damaged, which, shift, isComplete }): Files => {
    const parts = sound.map((bytes, i) => (i === which ? damaged[i] : bytes));
    const named = splitNames.map((name, i) => [name, parts[(i + shift) % parts.length]] as const);
    return Object.fromEntries(isComplete ? named : named.toSpliced(shift, 1));
  });

export const gguf = {
  name: "gguf",
  cases: fc.oneof({ weight: 3, arbitrary: whole }, inParts),
  async run(files: Files) {
    const fileName = Object.keys(files)[0];
    const outcome = await outcomeOf(files, async (folder) => readAll(await openGguf(folder, fileName)));
    if (outcome !== "opened") return outcome;
    return `opened, model ${await outcomeOf(files, (folder) => runModel(folder, fileName))}`;
  },
};
