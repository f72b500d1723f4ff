// Exactly what CI runs: every step, even after one has failed, then a closing line with the counts.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { buildIfStale } from "./build.mjs";
import { buildNativeIfStale } from "./build-native.mjs";
import { tryInstallChromium } from "./lib/chromium.mjs";
import { installIfStale } from "./lib/install.mjs";
import { node24, root, runIfMain, SetupError } from "./lib/node.mjs";

const tsc = "node_modules/typescript/bin/tsc";
const biome = "node_modules/@biomejs/biome/bin/biome";
const vitest = "node_modules/vitest/vitest.mjs";

/** Each returns what it counted, and its output where that has not been shown yet. */
const steps = [
  { name: "build", run: runBuild },
  { name: "types of the core, without Node and DOM", run: () => runTool(tsc, "-p", "src") },
  { name: "types of the page, as a browser has them", run: () => runTool(tsc, "-p", "node/html/page") },
  { name: "types of everything", run: () => runTool(tsc) },
  { name: "lint and format", run: () => runTool(biome, "ci", "--error-on-warnings", "--colors=off") },
  { name: "generated files are fresh", run: () => runTool("scripts/gen.ts", "--check") },
  { name: "tests", run: runTests },
];

/** Installs what is missing and checks everything. The last line is the count, even where nothing could be installed. */
export function installAndCheck() {
  let total = failed("");
  try {
    installIfStale();
    tryInstallChromium();
    total = runSteps();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.log(error.message);
  }
  if (total.nFailed > 0) process.exitCode = 1;
  const skipped = total.nSkipped > 0 ? `, ${total.nSkipped} skipped` : "";
  console.log(`\n${total.nPassed} passed, ${total.nFailed} failed${skipped}`);
}

function runSteps() {
  const total = { nPassed: 0, nFailed: 0, nSkipped: 0 };
  for (const { name, run } of steps) {
    const startMs = performance.now();
    const result = run();
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    if (result.nFailed > 0 && result.output !== "") console.log(`\n${result.output.trimEnd()}\n`);
    console.log(`${result.nFailed === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
    for (const key of Object.keys(total)) total[key] += result[key];
  }
  return total;
}

function passed() {
  return { nPassed: 1, nFailed: 0, nSkipped: 0, output: "" };
}

function failed(output) {
  return { nPassed: 0, nFailed: 1, nSkipped: 0, output };
}

/** The command and the examples under test run from dist/, and on the native engine where it can be built. */
function runBuild() {
  try {
    buildIfStale();
    buildNativeIfStale();
    return passed();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return failed(error.message);
  }
}

/** One Node command line that must exit with 0. */
function runTool(...args) {
  const { status, signal, stdout, stderr } = spawnSync(node24(), args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  return status === 0 ? passed() : failed(`${stdout}${stderr}${signal === null ? "" : `ended by ${signal}`}`);
}

/** Shows the tests as they run; counts them from the reporter's file, since the exit code alone says nothing of skips. */
function runTests() {
  const folder = mkdtempSync(path.join(tmpdir(), "golgi-check-"));
  try {
    const report = path.join(folder, "report.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const args = [vitest, "run", "--allowOnly=false", ...reporters];
    const { status } = spawnSync(node24(), args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    return countTests(existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : undefined, status === 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A file that does not load and an error outside any test have no test to count, yet must not pass. */
function countTests(report, exitedWell) {
  const nPassed = report?.numPassedTests ?? 0;
  const nSkipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0);
  const nFailed = report?.numFailedTests ?? 0;
  if (nFailed > 0 || (exitedWell && nPassed > 0)) return { nPassed, nFailed, nSkipped, output: "" };
  return {
    nPassed,
    nFailed: 1,
    nSkipped,
    output: nPassed === 0 ? "No test ran." : "An error outside the tests; see above.",
  };
}

await runIfMain(import.meta.url, installAndCheck);
