/** What may happen to the fields, entries and bytes of a GGUF file. */

import fc from "fast-check";
import { concat, utf8 } from "../checkpoint-files.ts";
import { text, u32, u64, VALUE } from "../support/gguf-files.ts";
import { byteMutation, edgeNumber, type Mutation, mutated } from "./bytes.ts";
import { type GgufParts, putTogether, type TensorPart, type ValuePart } from "./gguf-parts.ts";
import { anyText } from "./json.ts";

const name = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "", "general.alignment", "split.count", "token_embd.weight").map(utf8),
  fc.uint8Array({ maxLength: 70 }),
);

/** The type and the bytes of a value: numbers, text that lies about its length, arrays of what there is not. */
const rest: fc.Arbitrary<Uint8Array> = fc.oneof(
  edgeNumber.map((n) => concat(u32(VALUE.u32), u32(Number(BigInt.asUintN(32, n))))),
  anyText.map((string) => concat(u32(VALUE.string), text(string))),
  edgeNumber.map((n) => concat(u32(VALUE.string), u64(n))),
  fc.tuple(fc.nat(13), edgeNumber, fc.uint8Array({ maxLength: 40 })).map(([type, n, bytes]) => {
    return concat(u32(VALUE.array), u32(type), u64(n), bytes);
  }),
  fc.tuple(fc.nat(13), fc.uint8Array({ maxLength: 9 })).map(([type, bytes]) => concat(u32(type), bytes)),
);

/** One entry of a list changed, left out, repeated or exchanged with another. */
function listMutation<T>(entry: fc.Arbitrary<Mutation<T>>): fc.Arbitrary<Mutation<readonly T[]>> {
  const at = (list: readonly T[], n: number) => n % Math.max(list.length, 1);
  return fc.oneof(
    {
      weight: 5,
      arbitrary: fc.tuple(fc.nat(), entry).map(([n, mutate]) => (list: readonly T[]) => {
        return list.map((item, i) => (i === at(list, n) ? mutate(item) : item));
      }),
    },
    fc.nat().map((n) => (list: readonly T[]) => list.toSpliced(at(list, n), 1)),
    fc.tuple(fc.nat(), fc.nat()).map(([n, m]) => (list: readonly T[]) => {
      return list.length === 0 ? list : list.toSpliced(at(list, m), 0, list[at(list, n)]);
    }),
    fc.tuple(fc.nat(), fc.nat()).map(([n, m]) => (list: readonly T[]) => {
      return list.map((item, i) => (i === at(list, n) ? list[at(list, m)] : item));
    }),
  );
}

const valueMutation: fc.Arbitrary<Mutation<ValuePart>> = fc.oneof(
  name.map((key) => (value: ValuePart) => ({ ...value, key })),
  rest.map((rest) => (value: ValuePart) => ({ ...value, rest })),
  byteMutation.map((mutate) => (value: ValuePart) => ({ ...value, rest: mutate(value.rest) })),
  // The value itself, where it is a number, or the length, where it is text.
  edgeNumber.map((n) => (value: ValuePart) => {
    const [type, bytes] = [value.rest.subarray(0, 4), value.rest.subarray(4)];
    return { ...value, rest: concat(type, u64(n).subarray(0, bytes.length), bytes.subarray(8)) };
  }),
);

const tensorMutation: fc.Arbitrary<Mutation<TensorPart>> = fc.oneof(
  name.map((name) => (tensor: TensorPart) => ({ ...tensor, name })),
  fc.array(edgeNumber, { maxLength: 6 }).map((sizes) => (tensor: TensorPart) => ({ ...tensor, sizes })),
  fc.tuple(fc.nat(3), edgeNumber).map(([axis, size]) => (tensor: TensorPart) => {
    return { ...tensor, sizes: tensor.sizes.map((n, i) => (i === axis ? size : n)) };
  }),
  fc.nat(50).map((type) => (tensor: TensorPart) => ({ ...tensor, type })),
  fc
    .oneof(
      edgeNumber,
      fc.bigInt(0n, 2000n).map((n) => n * 32n),
    )
    .map((offset) => (tensor: TensorPart) => {
      return { ...tensor, offset };
    }),
);

const partsMutation: fc.Arbitrary<Mutation<GgufParts>> = fc.oneof(
  {
    weight: 4,
    arbitrary: listMutation(valueMutation).map((mutate) => (parts: GgufParts) => {
      return { ...parts, values: mutate(parts.values) };
    }),
  },
  {
    weight: 4,
    arbitrary: listMutation(tensorMutation).map((mutate) => (parts: GgufParts) => {
      return { ...parts, tensors: mutate(parts.tensors) };
    }),
  },
  fc.tuple(name, rest).map(([key, rest]) => (parts: GgufParts) => {
    return { ...parts, values: [...parts.values, { key, rest }] };
  }),
  edgeNumber.map((version) => (parts: GgufParts) => ({ ...parts, version: Number(BigInt.asUintN(32, version)) })),
  fc.oneof(edgeNumber, fc.constant(-1n)).map((nTensorsMore) => (parts: GgufParts) => ({ ...parts, nTensorsMore })),
  fc.oneof(edgeNumber, fc.constant(-1n)).map((nValuesMore) => (parts: GgufParts) => ({ ...parts, nValuesMore })),
  fc.nat(12).map((log) => (parts: GgufParts) => {
    const value = { key: utf8("general.alignment"), rest: concat(u32(VALUE.u32), u32(2 ** log)) };
    return { ...parts, alignment: 2 ** log, values: [...parts.values, value] };
  }),
);

/** Files that are right but for a few of their fields, entries or bytes. */
export function damaged(files: fc.Arbitrary<GgufParts>): fc.Arbitrary<Uint8Array> {
  const bytes = fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(byteMutation, { maxLength: 2 }));
  return fc
    .tuple(files, fc.constantFrom(2, 3), fc.array(partsMutation, { maxLength: 3 }), bytes)
    .map(([parts, version, fields, bytes]) => mutated(putTogether(mutated({ ...parts, version }, fields)), bytes));
}
