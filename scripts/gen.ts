/**
 * Writes what follows from the code: docs/points.md from the registry of points; docs/ops.md, the opcodes of programs
 * and the arguments of native kernels from the index of ops.
 * With --check it writes nothing and fails where a file is not what it would write.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OPS } from "../src/ops/all.ts";
import { POINTS } from "../src/points/registry.ts";
import type { Op } from "../src/tape/op.ts";
import { kernelsHeader, kernelsUnit, opcodesModule } from "./gen-native.ts";

const root = join(import.meta.dirname, "..");
const NOTE = "<!-- Written by `npm run gen`; change the code instead. -->";

const files: Readonly<Record<string, string>> = {
  "docs/points.md": pointsPage(),
  "docs/ops.md": opsPage(),
  "src/program/opcodes.ts": opcodesModule(OPS),
  "native/generated/ops.h": kernelsHeader(OPS, hasKernel),
  "native/generated/kernels.cpp": kernelsUnit(OPS.filter(hasKernel).map(kernelPath)),
};

const isCheck = process.argv.includes("--check");
for (const [path, text] of Object.entries(files)) {
  if (isCheck && read(path) !== text) {
    console.error(`${path} is not what the code says. Run: npm run gen`);
    process.exitCode = 1;
  }
  if (!isCheck) writeFileSync(join(root, path), text);
}

/** A kernel lies beside its op's definition. */
function hasKernel(op: Op): boolean {
  return existsSync(join(root, kernelPath(op)));
}

function kernelPath({ name }: Op): string {
  const kebab = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return `src/ops/${kebab}/${kebab}.cpp`;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    return undefined;
  }
}

function pointsPage(): string {
  const rows = POINTS.map(({ name, axes, formula, aliases, derive }) => [
    `\`${name}\``,
    `[${axes.join(", ")}]`,
    derive === undefined ? formula : `${formula} (derived: exists only while it is read)`,
    aliases.map((alias) => `\`${alias}\``).join(" "),
  ]);
  return `${NOTE}

# Points

Everything that can be read in a run, by its canonical name. \`{i}\` is a layer; \`T\` the tokens of a sequence, \`S\` its
keys up to its last position, \`R\` the rows whose logits are wanted. The names of TransformerLens and interp-engine are
accepted wherever a point is named. \`model.points()\` lists those of one model with their sizes.

${table(["point", "shape", "value", "also known as"], rows)}
`;
}

function opsPage(): string {
  const rows = OPS.map((op) => [`\`${op.name}\``, `\`${op.signature.text}\``, attrs(op), op.doc, kind(op)]);
  return `${NOTE}

# Ops

What tapes are made of. A *primitive* is defined by plain loops, a *composite* by other ops. In a signature, a name is one
size, \`...\` any number of sizes, \`*\` further leading sizes, \`T\` the step's rows, \`P\` the visible (row, key) pairs.

${table(["op", "signature", "attributes", "meaning", "defined by"], rows)}
`;
}

function attrs(op: Op): string {
  return Object.entries(op.attrs)
    .map(([name, kind]) => `${name}: ${typeof kind === "string" ? kind : kind.join(" or ")}`)
    .join("; ");
}

function kind(op: Op): string {
  if (op.kind === "primitive") return "loops";
  return op.innerPoints.length === 0 ? "ops" : `ops, with points ${op.innerPoints.join(", ")}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((c) => c.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
