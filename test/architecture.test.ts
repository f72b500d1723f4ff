import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { importViolations, lengthViolations, mayImport, opViolations, skipViolations } from "./architecture-rules.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const ignored = readFileSync(path.join(root, ".gitignore"), "utf8").split("\n").filter(Boolean);
const paths = filesBelow("");
const typescript = paths.filter((file) => /\.m?ts$/.test(file)).map(read);

/** All files of the repository, by fs rather than by git, which a downloaded archive has no use of. */
function filesBelow(folder: string): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.posix.join(folder, entry.name);
    if (entry.name === ".git" || ignored.some((pattern) => isIgnored(entry.name, pattern))) return [];
    if (entry.isDirectory()) return filesBelow(`${file}/`);
    return entry.isFile() ? [file] : [];
  });
}

/** The two forms that .gitignore uses: `name/` and `*.extension`. */
function isIgnored(name: string, pattern: string): boolean {
  return pattern.startsWith("*") ? name.endsWith(pattern.slice(1)) : name === pattern.replace(/\/$/, "");
}

function read(file: string) {
  return { path: file, source: readFileSync(path.join(root, file), "utf8") };
}

function below(...folders: string[]) {
  return typescript.filter((file) => folders.some((folder) => file.path.startsWith(`${folder}/`)));
}

describe("the repository", () => {
  it("imports in one direction only", () => {
    expect(importViolations(typescript)).toEqual([]);
  });

  it("has no file of more than 400 lines", () => {
    expect(lengthViolations(below("src", "node", "scripts", "test", "bench"), 400)).toEqual([]);
  });

  it("lists each op once in the index, in a file of its own name", () => {
    expect(opViolations(below("src/ops"))).toEqual([]);
  });

  it("gives a reason for each skipped test", () => {
    expect(skipViolations(below("test"), readFileSync(path.join(root, "test/SKIPS.md"), "utf8"))).toEqual([]);
  });

  it("names no path of the machine that it was written on", () => {
    const machinePaths = ["work", "tmp/scratch"].map((folder) => `/${folder}/`);
    const naming = paths.filter((file) => {
      const bytes = readFileSync(path.join(root, file));
      return machinePaths.some((machinePath) => bytes.includes(machinePath));
    });
    expect(naming).toEqual([]);
  });
});

describe("the table of imports", () => {
  it("lets a folder import only what stands above it", () => {
    const folders = Object.keys(mayImport);
    for (const [i, folder] of folders.entries()) {
      const above = folders.slice(0, i);
      expect(above, folder).toEqual(expect.arrayContaining(mayImport[folder]!.map((name) => name.split("/")[0])));
    }
  });

  const one = (file: string, source: string) => importViolations([{ path: file, source }]);

  it.each([
    ["an architecture that imports another", "src/architectures/llama.ts", 'import { gpt2 } from "./gpt2.ts";'],
    ["node: in the core", "src/run/session.ts", 'import { readFileSync } from "node:fs";'],
    ["Node's types in the core", "src/run/session.ts", '/// <reference types="node" />'],
    ["a package in the core", "src/nn/mlp.ts", 'import { z } from "zod";'],
    ["a package out of its place", "src/run/session.ts", 'import { Tokenizer } from "@huggingface/tokenizers";'],
    ["an import against the direction", "src/tensor/shape.ts", 'import { Value } from "../tape/value.ts";'],
    ["a type-only import", "src/tape/value.ts", 'import type { Point } from "../points/point.ts";'],
    ["a re-export", "src/tape/value.ts", 'export * from "../glass/edit.ts";'],
    ["a dynamic import", "src/tape/value.ts", 'const glass = await import("../glass/edit.ts");'],
    ["a family known outside the index", "src/run/open.ts", 'import { llama } from "../architectures/llama.ts";'],
    ["an import type", "src/tape/value.ts", 'type Edit = import("../glass/edit.ts").Edit;'],
    [
      "a run that knows a backend",
      "src/run/session.ts",
      'import { reference } from "../backends/reference/backend.ts";',
    ],
    ["the core knowing a platform", "src/run/session.ts", 'import { openFolder } from "../../node/files.ts";'],
    ["the core going through its own surface", "src/run/session.ts", 'import { open } from "../index.ts";'],
    ["a folder of the core without a row", "src/utils/map.ts", 'import { dtype } from "../tensor/dtype.ts";'],
    ["an error that needs more than itself", "src/errors.ts", 'import { dtype } from "./tensor/dtype.ts";'],
    ["a platform that reaches behind the surface", "node/files.ts", 'import { dtype } from "../src/tensor/dtype.ts";'],
    ["a package beside the command", "node/files.ts", 'import { Command } from "commander";'],
    ["a page that reaches behind the surface", "web/app.ts", 'import { dtype } from "../src/tensor/dtype.ts";'],
    ["an example that reaches inside", "examples/01-run.ts", 'import { open } from "../node/index.ts";'],
    ["an example that needs a package", "examples/01-run.ts", 'import { z } from "zod";'],
  ])("reports %s", (_, file, source) => {
    expect(one(file, source)).toHaveLength(1);
  });

  it.each([
    ["a folder importing itself", "src/ops/swiglu/swiglu.ts", 'import { mul } from "../mul/mul.ts";'],
    ["errors from anywhere", "src/tensor/shape.ts", 'import { TapeError } from "../errors.ts";'],
    ["the index of architectures", "src/architectures/index.ts", 'import { llama } from "./llama.ts";'],
    ["the contract of architectures", "src/architectures/llama.ts", 'import type { Family } from "./architecture.ts";'],
    ["that index from a run", "src/run/open.ts", 'import { architectures } from "../architectures/index.ts";'],
    [
      "a contract without its implementations",
      "src/run/session.ts",
      'import { Backend } from "../backends/contract.ts";',
    ],
    ["the surface naming any part", "src/index.ts", 'export { llama } from "./run/open.ts";'],
    [
      "a platform's own modules",
      "node/cli/main.ts",
      'import { Command } from "commander"; import "node:fs"; import "../files.ts";',
    ],
    ["an example using the package", "examples/01-run.ts", 'import { open } from "golgi";'],
    [
      "an import in a string or a comment",
      "src/tape/value.ts",
      '// import "node:fs";\nconst s = \'import "node:fs"\';',
    ],
  ])("allows %s", (_, file, source) => {
    expect(one(file, source)).toEqual([]);
  });

  it("names the file, what it imports and the rule", () => {
    expect(one("src/tape/value.ts", 'import "../ops/index.ts";')).toEqual([
      'src/tape/value.ts imports "../ops/index.ts": tape may import only errors, tensor',
    ]);
  });
});

describe("the rule on length", () => {
  it("reports the line beyond the last one allowed", () => {
    const file = (nLines: number) => ({ path: "src/a.ts", source: "x;\n".repeat(nLines) });
    expect(lengthViolations([file(400)], 400)).toEqual([]);
    expect(lengthViolations([file(401)], 400)).toEqual(["src/a.ts has 401 lines; split it at 400"]);
  });
});

describe("the rule on ops", () => {
  const add = { path: "src/ops/add/add.ts", source: "" };
  const index = (source: string) => ({ path: "src/ops/index.ts", source });

  it("accepts an op in its own file, listed once", () => {
    expect(opViolations([add, index('import { add } from "./add/add.ts";')])).toEqual([]);
  });

  it("reports an op without a file of its name", () => {
    expect(opViolations([{ path: "src/ops/add/sum.ts", source: "" }])).toEqual(["src/ops/add: has no add.ts"]);
  });

  it("reports ops without an index, an op left out of it, and an op listed twice", () => {
    const twice = 'import { add } from "./add/add.ts";\nexport { add } from "./add/add.ts";';
    for (const files of [[add], [add, index("")], [add, index(twice)]]) expect(opViolations(files)).toHaveLength(1);
  });
});

describe("the rule on skips", () => {
  const test = (source: string) => [{ path: "test/a.test.ts", source }];
  const row = "| `test/a.test.ts` | shared memory | needs two cores |\n";

  it("accepts a skip with its reason, and text that only speaks of skips", () => {
    expect(skipViolations(test('it.skipIf(alone)("shares", f);'), row)).toEqual([]);
    expect(skipViolations(test('const text = "it.skip()"; // it.skip()'), "")).toEqual([]);
  });

  it.each([
    ["a skip", 'it.skip("shares", f);'],
    ["a conditional skip", 'describe.skipIf(alone)("memory", f);'],
    ["a reversed condition", 'it.runIf(many)("shares", f);'],
    ["a test to be written", 'it.todo("shares");'],
    ["a skip from inside", 'it("shares", (context) => context.skip());'],
    ["a skip taken out of the context", 'it("shares", ({ skip }) => skip());'],
    ["a skip by option", 'it("shares", { skip: true }, f);'],
  ])("reports %s without a reason", (_, source) => {
    expect(skipViolations(test(source), "")).toHaveLength(1);
  });

  it("reports a row whose skip is gone, and a row without a reason", () => {
    expect(skipViolations(test(""), row)).toHaveLength(1);
    expect(skipViolations(test("it.skip();"), "| `test/a.test.ts` | shared memory | |\n")).toHaveLength(1);
  });
});
