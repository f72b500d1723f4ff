/** safetensors files and folders of shards that are right but for parts of their header, index, config or bytes. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { openSafetensors, openSafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { DTYPE_SIZE_BYTES, type Dtype } from "../../src/tensor/dtype.ts";
import { numel } from "../../src/tensor/shape.ts";
import { concat, entry, safetensors as fileOf, utf8 } from "../checkpoint-files.ts";
import { fixture } from "../support/fixtures.ts";
import { u64 } from "../support/gguf-files.ts";
import { byteMutation, mutated } from "./bytes.ts";
import { anyText, jsonMutation, jsonText, textMutation } from "./json.ts";
import { putTogether, type TensorPart, takeApart, tensorMutation } from "./safetensors-parts.ts";
import { type Files, outcomeOf, readAll, runModel } from "./sound.ts";

type Specs = readonly { name: string; dtype: Dtype; shape: number[] }[];

const specs: fc.Arbitrary<Specs> = fc.uniqueArray(
  fc.record({
    name: fc.oneof(anyText, fc.constantFrom("__proto__", "constructor", '"', "\\")),
    dtype: fc.constantFrom(...(Object.keys(DTYPE_SIZE_BYTES) as Dtype[])),
    shape: fc.array(fc.nat(4), { maxLength: 3 }),
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 5 },
);

function headerOf(tensors: Specs): { header: string; nDataBytes: number } {
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape }) => {
    const begin = end;
    end += numel(shape) * DTYPE_SIZE_BYTES[dtype];
    return entry(name, dtype.toUpperCase(), shape, begin, end);
  });
  return { header: `{"__metadata__":{"format":"pt"},${entries}}`, nDataBytes: end };
}

const lengthError = fc.oneof({ weight: 4, arbitrary: fc.constant(0n) }, fc.bigInt(-9n, 9n), fc.bigInt(0n, 2n ** 63n));

const alone = fc
  .record({
    tensors: specs,
    text: fc.array(textMutation, { maxLength: 2 }),
    lengthError,
    bytes: fc.array(byteMutation, { maxLength: 1 }),
  })
  .map(({ tensors, text, lengthError, bytes }): Files => {
    const { header, nDataBytes } = headerOf(tensors);
    const spelt = utf8(mutated(header, text));
    const length = BigInt.asUintN(64, BigInt(spelt.length) + lengthError);
    return { "model.safetensors": mutated<Uint8Array>(fileOf(spelt, nDataBytes, length), bytes) };
  });

const sharded = fc.tuple(specs, specs, fc.array(textMutation, { maxLength: 2 })).map(([one, two, text]): Files => {
  const others = two.filter(({ name }) => one.every((tensor) => tensor.name !== name));
  const entries = [one, others].flatMap((tensors, i) =>
    tensors.map(({ name }) => `${JSON.stringify(name)}:"${i}.safetensors"`),
  );
  const shards = [one, others.length > 0 ? others : two].map((tensors) => headerOf(tensors));
  return {
    "model.safetensors.index.json": utf8(mutated(`{"weight_map":{${entries}}}`, text)),
    "0.safetensors": fileOf(shards[0].header, shards[0].nDataBytes),
    "1.safetensors": fileOf(shards[1].header, shards[1].nDataBytes),
  };
});

const goldens = ["llama", "gpt2", "llama3-rope", "mistral-window"].map((name) => {
  const bytes = new Uint8Array(readFileSync(fixture(`goldens/${name}/model.safetensors`)));
  const headerSizeBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  return {
    config: readFileSync(fixture(`goldens/${name}/config.json`), "utf8"),
    header: new TextDecoder().decode(bytes.subarray(8, 8 + headerSizeBytes)),
    data: bytes.subarray(8 + headerSizeBytes),
  };
});

/** A real model with a header, a config's text or a config's values changed. */
const model = fc
  .record({
    golden: fc.constantFrom(...goldens),
    header: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(textMutation, { maxLength: 1 })),
    values: fc.array(jsonMutation, { maxLength: 2 }),
    text: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(textMutation, { maxLength: 1 })),
  })
  .map(({ golden, header, values, text }): Files => {
    const spelt = utf8(mutated(golden.header, header));
    const config = jsonText(mutated(JSON.parse(golden.config), values));
    return {
      "config.json": utf8(mutated(config, text)),
      "model.safetensors": concat(u64(spelt.length), spelt, golden.data),
    };
  });

const stacks = ["fp8", "goldens/mixtral-window-tied", "goldens/qwen3-moe-packed", "goldens/gpt-oss-mxfp4"].map(
  (name) => ({
    config: readFileSync(fixture(`${name}/config.json`)),
    tensors: takeApart(readFileSync(fixture(`${name}/model.safetensors`))),
  }),
);

/** A real model with experts, some in fp8 or MXFP4 with scales apart, and some of its tensors others. */
const stacked = fc
  .record({ model: fc.constantFrom(...stacks), changes: fc.array(tensorMutation, { maxLength: 2 }) })
  .map(
    ({ model, changes }): Files => ({
      "config.json": model.config,
      "model.safetensors": putTogether(mutated<readonly TensorPart[]>(model.tensors, changes)),
    }),
  );

export const safetensors = {
  name: "safetensors",
  cases: fc.oneof({ weight: 2, arbitrary: alone }, sharded, model, stacked),
  async run(files: Files) {
    const outcome = await outcomeOf(files, async (folder) => {
      const single = files["config.json"] === undefined ? await folder.open("model.safetensors") : undefined;
      return readAll(single === undefined ? await openSafetensors(folder) : await openSafetensorsFile(single));
    });
    if (outcome !== "opened" || files["config.json"] === undefined) return outcome;
    return `opened, model ${await outcomeOf(files, (folder) => runModel(folder))}`;
  },
};
