import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadAddon } from "../node/native/addon.ts";
import { writeCases } from "../scripts/native-cases/write.ts";
import { OPS } from "../src/ops/all.ts";
import { buildConformance, buildSanitized, findCompiler, hasSanitizers } from "./native-support/conformance.ts";

/** Builds take a minute on two cores, where nothing else runs. */
const TIMEOUT_MS = 600_000;

const compiler = findCompiler();
const [bestIsa = "portable"] = loadAddon()?.isas() ?? [];
const folder = mkdtempSync(join(tmpdir(), "golgi-cases-"));
const cases = join(folder, "cases");
let names: string[] = [];

beforeAll(async () => {
  names = await writeCases(cases);
}, TIMEOUT_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the runner printed, and whether it found nothing. */
function runCases(program: string, flags: readonly string[] = []): Promise<{ found: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(program, [cases, ...flags], { encoding: "utf8", maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      resolve({ found: error, output: `${stdout}${stderr}` });
    });
  });
}

describe("the cases for native kernels", () => {
  it("include every op that computes something", () => {
    const computing = OPS.filter((op) => op.kind === "composite" || !op.movesNoData).map(({ name }) => name);
    expect(computing.filter((op) => !names.some((name) => name.startsWith(`${op} `)))).toEqual([]);
  });

  it("have names of their own", () => {
    expect(new Set(names).size).toBe(names.length);
  });
});

// Nothing is registered where there is nothing to build with.
if (compiler !== undefined) {
  describe("the native kernels", () => {
    it(
      "agree with the reference on every ISA of this CPU, with the same bits on 1, 2 and 3 threads",
      async () => {
        const { found, output } = await runCases(await buildConformance(compiler));
        expect(found, output).toBeNull();
        for (const isa of loadAddon()?.isas() ?? [])
          expect(output).toContain(`${isa}: ${names.length} cases, 0 failed`);
      },
      TIMEOUT_MS,
    );
  });
}

if (compiler !== undefined && hasSanitizers(compiler)) {
  describe("the native engine", () => {
    it(
      "touches only memory that is its own, and does nothing that C++ leaves undefined",
      async () => {
        const isas = [...new Set(["portable", bestIsa])];
        const program = await buildSanitized(compiler, isas);
        const results = await Promise.all(isas.map((isa) => runCases(program, ["--once", isa])));
        for (const [i, { found, output }] of results.entries()) {
          expect(found, output).toBeNull();
          expect(output).toContain(`${isas[i]}: ${names.length} cases, 0 failed`);
        }
      },
      TIMEOUT_MS,
    );
  });
}
