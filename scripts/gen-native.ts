import { layoutOf } from "../src/program/layout.ts";
import type { AttrKind, Op } from "../src/tape/op.ts";

const NOTE = "// Written by `npm run gen` from the ops' definitions; change those instead.";

/** The opcodes of all ops, in the order of the index. */
export function opcodesModule(ops: readonly Op[]): string {
  const lines = ops.map(({ name }, i) => `  ${name}: ${i},`);
  return `${NOTE}

/** The number by which a program names each op; the same in native/generated/ops.h. */
export const OPCODES: Readonly<Record<string, number>> = {
${lines.join("\n")}
};
`;
}

/** C++: for each op with a kernel its arguments as a struct, how they are decoded, and a table of kernels per ISA. */
export function kernelsHeader(ops: readonly Op[], hasKernel: (op: Op) => boolean): string {
  const withKernel = ops.filter(hasKernel);
  return `${NOTE}
#pragma once

#include "../src/frame.h"
#include "../src/kernel.h"

namespace golgi {

constexpr int32_t n_opcodes = ${ops.length};

${withKernel.map(argsStruct).join("\n\n")}

}  // namespace golgi

#define GOLGI_KERNELS(X) \\
${withKernel.map((op) => `  X(${ops.indexOf(op)}, ${snake(op.name)}, ${argsName(op)})`).join(" \\\n")}
`;
}

/**
 * C++: all kernels and the table of them as one translation unit, which is compiled once per ISA: most of the time that
 * a small kernel takes to compile goes into the headers.
 */
export function kernelsUnit(paths: readonly string[]): string {
  return `${NOTE}
${paths.map((path) => `#include "../../${path}"`).join("\n")}

#include "../src/kernel_table.cpp"
`;
}

function argsStruct(op: Op): string {
  const layout = layoutOf(op);
  const fields: string[] = [];
  const decode: string[] = [];
  let word = 2;
  for (const { name, type, optional } of op.signature.inputs) {
    const cpp = op.matrices.includes(name) ? "const Weight*" : INPUT_TYPES[type];
    fields.push(`${cpp} ${name};${optional ? "  ///< null where absent" : ""}`);
    decode.push(`${name} = f.${op.matrices.includes(name) ? "weight" : INPUT_READERS[type]}(words[${word++}]);`);
  }
  for (const { name, type } of op.signature.outputs) {
    if (type === "cache") word++;
    else {
      fields.push(`${type === "int" ? "int32_t*" : "float*"} ${outName(op, name)};`);
      decode.push(`${outName(op, name)} = f.${type === "int" ? "ints_out" : "floats_out"}(words[${word++}]);`);
    }
  }
  for (const name of layout.taps) {
    fields.push(`float* ${snake(name)};  ///< null unless somebody reads it`);
    decode.push(`${snake(name)} = f.floats_out(words[${word++}]);`);
  }
  for (const name of layout.dims) {
    fields.push(`int64_t ${dimName(name)};`);
    decode.push(`${dimName(name)} = f.size(words[${word}], words[${word + 1}]);`);
    word += 2;
  }
  for (const [name, kind] of layout.attrs) {
    fields.push(attrField(name, kind));
    const cast = typeof kind === "string" ? attrType(kind) : enumName(name);
    decode.push(`${snake(name)} = static_cast<${cast}>(f.number(words + ${word}));`);
    word += 2;
  }
  return `/// ${op.doc}
/// ${op.signature.text}
struct ${argsName(op)} {
${layout.attrs.flatMap(([name, kind]) => (typeof kind === "string" ? [] : [`  ${enumOf(name, kind)}`])).join("\n")}
${fields.map((field) => `  ${field}`).join("\n")}

  static constexpr int32_t n_words = ${layout.nWords};

  ${argsName(op)}(const int32_t* words, const Frame& f) {
${decode.map((line) => `    ${line}`).join("\n")}
  }
};`.replace("{\n\n", "{\n");
}

const INPUT_TYPES = {
  float: "const float*",
  int: "const int32_t*",
  rows: "const Rows*",
  cache: "const Cache*",
} as const;
const INPUT_READERS = { float: "floats", int: "ints", rows: "rows", cache: "cache" } as const;

function attrField(name: string, kind: AttrKind): string {
  if (typeof kind !== "string") return `${enumName(name)} ${snake(name)};`;
  return `${attrType(kind)} ${snake(name)};${kind.endsWith("?") ? "  ///< 0 where absent" : ""}`;
}

function attrType(kind: AttrKind): string {
  return kind === "size" || kind === "size?" ? "int64_t" : "double";
}

function enumOf(name: string, values: readonly string[]): string {
  return `enum class ${enumName(name)} { ${values.map(snake).join(", ")} };`;
}

function enumName(name: string): string {
  return name[0].toUpperCase() + name.slice(1);
}

function argsName(op: Op): string {
  return `${enumName(op.name)}Args`;
}

/** Outputs may not hide an input of the same name. */
function outName(op: Op, name: string): string {
  return op.signature.inputs.some((input) => input.name === name) ? `${name}_out` : snake(name);
}

/** Sizes keep the signature's one-letter names; attributes and longer names are in snake case. */
function dimName(name: string): string {
  return /^n[A-Z]/.test(name) ? snake(name) : `n_${snake(name)}`;
}

/** camelCase to snake_case. */
export function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter, at) => (at === 0 ? letter : `_${letter.toLowerCase()}`));
}
