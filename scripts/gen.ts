/**
 * Writes what follows from the code: docs/points.md from the registry of points; docs/ops.md, the opcodes of programs
 * and the arguments of native kernels from the index of ops.
 * With --check it writes nothing and fails where a file is not what it would write.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OPS } from "../src/ops/all.ts";
import { type Alias, aliasesOf, TOOLS } from "../src/points/aliases.ts";
import { REFUSED } from "../src/points/refused.ts";
import { POINTS } from "../src/points/registry.ts";
import { EXPERT_PARTS, expertPart } from "../src/points/sparse-rows.ts";
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
  const rows = POINTS.map(({ name, axes, formula, derive }) => [
    code(name),
    `[${axes.join(", ")}]`,
    derive === undefined ? formula : `${formula} (derived: exists only while it is read)`,
  ]);
  const parts = EXPERT_PARTS.map(({ part, of }) => [code(expertPart(part)), code(of)]);
  const named = [...POINTS.map(({ name }) => name), ...EXPERT_PARTS.map(({ part }) => expertPart(part))];
  const names = named.map((name) => {
    const aliases = aliasesOf(name);
    return [code(name), ...TOOLS.map((tool) => (aliases[tool] ?? []).map(aliasText).join(" "))];
  });
  const refused = REFUSED.map(({ names, reason, has }) => [
    names.map((name) => aliasText({ name, has })).join(" "),
    reason,
  ]);
  return `${NOTE}

# Points

Everything that can be read in a run, by its canonical name. \`{i}\` is a layer; \`T\` the tokens of a sequence, \`S\` its
keys up to its last position, \`R\` the rows whose logits are wanted. \`model.points()\` lists those of one model with their
sizes.

${table(["point", "shape", "value"], rows)}

Of layers with experts, what a single one of them holds, \`{e}\`: of the point beside it the rows whose tokens went to it,
\`[n, ...]\`, at the positions that \`run.positions\` gives; no rows where no token did.

${table(["part of an expert", "of"], parts)}

## Components

An address names a piece of each row of a point; it stands wherever a point is named.

| address | what it names |
| --- | --- |
| \`L5\` | \`blocks.5.residPost\` |
| \`L5.N1234\` | neuron 1234 of layer 5: \`blocks.5.mlp.post[1234]\` |
| \`L5.H3\` | head 3 of layer 5: \`blocks.5.attn.z[3]\` |
| \`L5.H3.q\` | also \`rotQ\`, \`result\`, \`scores\`, \`pattern\`; \`k\`, \`v\`, \`rotK\` where each head has its own |
| \`L5.H3.pattern[7]\` | the weight of the key at position 7 |
| \`L5.mlp\`, \`L5.attn\` | \`mlp.out\`, \`attn.out\` |
| \`L5.E17\` | what expert 17 adds: \`blocks.5.experts.17.contribution\` |
| \`L5.E17.N200\` | neuron 200 of expert 17: \`blocks.5.experts.17.post[200]\` |
| \`L5.E17.weight\` | its weight; also \`pre\`, \`preLinear\`, \`post\`, \`out\` |
| \`L5.shared\`, \`L5.shared.N3\` | what the shared expert adds, a neuron of it: \`shared.contribution\`, \`shared.post[3]\` |
| \`L5.router\` | \`router.weights\`; for edits the choice of experts |
| \`L5.residMid\`, \`L5.mlp.pre\` | any point of the block |
| \`logits[262]\`, \`mlp_act.5[611]\` | one element of any point, by any of its names |
| \`L*.H3\`, \`blocks.*.mlp.out\` | several: \`*\` is anything within one part of a name, \`**\` anything |
| \`L5@7\`, \`@-1\`, \`@2:5\`, \`@all\` | positions from 0, from the end, from 2 to 4, all of them |
| \`L5@prompt\`, \`@generated\` | for edits: the positions of the prompt, or those generated after it |

## Names in other tools

They are accepted wherever a point is named. A tool gives its own shape to some: the numbers are the same. llama.cpp gives
several tensors one name as it computes them, of which the last counts: \`Qcur\` and \`Kcur\` are what attention reads (each
head's numbers in the order of the Hugging Face checkpoint, not of the GGUF file), and a projection has its bias added.

${table(["point", "TransformerLens", "TransformerBridge", "Hugging Face module", "llama.cpp", "interp-engine", "nnterp"], names)}

## Names without a point

These are refused, with the reason.

${table(["name", "reason"], refused)}
`;
}

function code(name: string): string {
  return `\`${name}\``;
}

/** A name, and in which models it has this meaning. */
function aliasText({ name, has, lacks }: Alias): string {
  const point = (has ?? lacks)?.replace("blocks.{i}.", "");
  return point === undefined ? code(name) : `${code(name)} (${has === undefined ? "without" : "with"} ${point})`;
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
