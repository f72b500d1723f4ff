/** The rules of the repository's structure, as data and pure functions; `architecture.test.ts` applies them. */

import ts from "typescript";

export interface File {
  /** From the repository's root, with slashes. */
  readonly path: string;
  readonly source: string;
}

/**
 * Who may import whom: the folders of src/, from the smallest part to the largest, each with the folders and files
 * that it may import. Everything may import itself and errors.ts. A folder imports only what stands above it.
 */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  host: [],
  version: [],
  tensor: [],
  config: ["tensor"],
  tape: ["tensor"],
  checkpoint: ["tensor", "host"],
  tokenizer: [],
  weights: ["tensor", "config", "tape", "checkpoint"],
  ops: ["tensor", "tape"],
  nn: ["tensor", "config", "tape", "weights", "ops"],
  points: ["tensor", "tape", "ops", "nn"],
  architectures: ["tensor", "config", "tape", "ops", "nn", "weights"],
  program: ["tensor", "tape"],
  backends: ["host", "tensor", "tape", "ops", "checkpoint", "weights", "program"],
  glass: ["tensor", "tape", "ops", "points"],
  run: [
    ...["host", "tensor", "tokenizer", "config", "tape", "ops", "points", "checkpoint", "weights"],
    ...["architectures", "program", "backends/contract", "glass", "version"],
  ],
  convert: ["host", "tensor", "tokenizer", "config", "tape", "checkpoint", "weights", "architectures", "run"],
  views: ["tensor", "tokenizer", "config", "tape", "weights", "ops", "nn", "points", "architectures", "glass", "run"],
};

/** Outside src/: what of the repository each folder may import beside itself. test/ and scripts/ may import all. */
const mayImportOutside: Readonly<Record<string, readonly string[]>> = {
  node: ["src/index.ts"],
  web: ["src/index.ts"],
  examples: [],
};

/** Third-party packages, by folder; src/ and node/ have no others. */
const packages: Readonly<Record<string, readonly string[]>> = {
  "src/tokenizer": ["@huggingface/tokenizers", "@huggingface/jinja"],
  "src/views/text": ["string-width"],
  "node/cli": ["commander"],
  "node/hub": ["@huggingface/hub"],
  examples: ["golgi"],
};

/** Folders whose packages are free: they are no part of what is published, or have a manifest of their own. */
const anyPackage = ["web", "test", "scripts", "bench", "vitest.config.ts"];

/** A file of src/architectures/ that describes one family, beside the index and the contract that all families keep. */
const isFamily = /^src\/architectures\/(?!(index|architecture)\.ts$)/;

/** Each import that the tables above do not allow, as a sentence. */
export function importViolations(files: readonly File[]): string[] {
  return files.flatMap((file) =>
    importsOf(file).flatMap((specifier) => {
      const reason = refusal(file.path, specifier);
      return reason === undefined ? [] : [`${file.path} imports "${specifier}": ${reason}`];
    }),
  );
}

/** All module specifiers of a file: static, type-only, dynamic and re-exports, and `/// <reference types>`. */
function importsOf(file: File): string[] {
  const { importedFiles, referencedFiles, typeReferenceDirectives } = ts.preProcessFile(file.source);
  const relative = referencedFiles.map(({ fileName }) => (fileName.startsWith(".") ? fileName : `./${fileName}`));
  return [
    ...importedFiles.map(({ fileName }) => fileName),
    ...relative,
    ...typeReferenceDirectives.map((t) => t.fileName),
  ];
}

function refusal(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return packageRefusal(path, specifier);
  const target = resolve(path, specifier);
  const [top = "", part = ""] = path.split("/");
  if (top === "src") return coreRefusal(path, part.replace(/(\.d)?\.ts$/, ""), target);
  const allowed = mayImportOutside[top];
  if (allowed === undefined || isWithin(target, [top, ...allowed])) return undefined;
  return `${top}/ may import only ${["itself", ...allowed].join(" and ")}`;
}

function coreRefusal(path: string, folder: string, target: string): string | undefined {
  if (!target.startsWith("src/")) return "src/ imports nothing outside itself";
  if (isFamily.test(target) && path !== "src/architectures/index.ts") {
    return "one family is one file, known to architectures/index.ts alone";
  }
  if (folder === "index" || target === "src/errors.ts") return undefined;
  const allowed = folder === "errors" ? [] : mayImport[folder];
  if (allowed === undefined) return `src/${folder} has no row in mayImport (test/architecture-rules.ts)`;
  if (isWithin(target, [`src/${folder}`, ...allowed.map((name) => `src/${name}`)])) return undefined;
  return `${folder} may import only ${["errors", ...allowed].join(", ")}`;
}

function packageRefusal(path: string, specifier: string): string | undefined {
  if (isWithin(path, anyPackage)) return undefined;
  if (specifier.startsWith("node:") && isWithin(path, ["node"])) return undefined;
  if (specifier.startsWith("node:") && isWithin(path, ["src"])) return "the core knows no platform; see src/host.ts";
  const allowed = Object.entries(packages).flatMap(([folder, names]) => (isWithin(path, [folder]) ? names : []));
  if (allowed.some((name) => specifier === name || specifier.startsWith(`${name}/`))) return undefined;
  return allowed.length === 0 ? "no package is allowed here" : `only ${allowed.join(", ")} is allowed here`;
}

/** Whether a path is one of these files (with or without `.ts`) or below one of these folders. */
function isWithin(path: string, places: readonly string[]): boolean {
  return places.some((place) => path === place || path === `${place}.ts` || path.startsWith(`${place}/`));
}

function resolve(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** Each file that is too long to be read in one go. */
export function lengthViolations(files: readonly File[], nLinesAtMost: number): string[] {
  return files.flatMap(({ path, source }) => {
    const nLines = source.trimEnd().split("\n").length;
    return nLines > nLinesAtMost ? [`${path} has ${nLines} lines; split it at ${nLinesAtMost}`] : [];
  });
}

/** Each folder `src/ops/<op>/` that lacks its `<op>.ts`, or that the index does not import exactly once. */
export function opViolations(files: readonly File[]): string[] {
  const paths = new Set(files.map(({ path }) => path));
  const ops = new Set([...paths].flatMap((path) => /^src\/ops\/([^/]+)\//.exec(path)?.[1] ?? []));
  const index = files.find(({ path }) => path === "src/ops/index.ts");
  const imported = index === undefined ? [] : importsOf(index).map((specifier) => resolve(index.path, specifier));
  return [...ops].flatMap((op) => {
    const definition = `src/ops/${op}/${op}.ts`;
    if (!paths.has(definition)) return [`src/ops/${op}: has no ${op}.ts`];
    const nImports = imported.filter((path) => path === definition).length;
    return nImports === 1 ? [] : [`${definition}: src/ops/index.ts must import it once; it does so ${nImports} times`];
  });
}

/** Each file whose skips and rows in SKIPS.md differ in number, and each row that gives no reason. */
export function skipViolations(files: readonly File[], skips: string): string[] {
  const rows = [...skips.matchAll(/^\| *`?([\w./-]+\.ts)`? *\|([^|]*)\|([^|]*)\|/gm)];
  const nRowsOf = (path: string) => rows.filter(([, file]) => file === path).length;
  const paths = new Set([...files.map(({ path }) => path), ...rows.map(([, file]) => file ?? "")]);
  const miscounted = [...paths].flatMap((path) => {
    const nSkips = skipsIn(files.find((file) => file.path === path)?.source ?? "");
    return nSkips === nRowsOf(path) ? [] : [`${path}: ${nSkips} skips, but ${nRowsOf(path)} rows in test/SKIPS.md`];
  });
  const unreasoned = rows.filter(([, , what, why]) => !what?.trim() || !why?.trim());
  return [...miscounted, ...unreasoned.map(([, path]) => `${path}: a row in test/SKIPS.md says not what or why`)];
}

/** How often a test file skips, by method (`it.skipIf(x)`, `context.skip()`) or option (`{ skip: true }`). */
function skipsIn(source: string): number {
  const isSkip = (name: ts.Node) => ts.isIdentifier(name) && /^(skip|skipIf|runIf|todo)$/.test(name.text);
  let nSkips = 0;
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && isSkip(node.name)) nSkips++;
    if ((ts.isPropertyAssignment(node) || ts.isBindingElement(node)) && isSkip(node.name)) nSkips++;
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("test.ts", source, ts.ScriptTarget.Latest));
  return nSkips;
}
