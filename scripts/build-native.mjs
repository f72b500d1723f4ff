// Compiles native/ and the kernels beside the ops into native/build/Release/golgi.node, where a compiler is there.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { filesBelow, stampOf } from "./lib/files.mjs";
import { installIfStale } from "./lib/install.mjs";
import { node24, root, runIfMain, SetupError } from "./lib/node.mjs";

const buildFolder = path.join(root, "native", "build");
const addon = path.join(buildFolder, "Release", "golgi.node");
/** Which sources the addon was built from. */
const stampFile = path.join(buildFolder, ".stamp");
/** Of which sources a build failed. */
const failedFile = path.join(buildFolder, ".failed");
/** What was said about a missing tool, so that it is said once. */
const saidFile = path.join(buildFolder, ".said");
/** As much of the build's output as a failure shows. */
const nLines = 40;

/** Builds where the addon is missing or older than its sources, and the tools to build it are there. */
export function buildNativeIfStale() {
  if (isFresh()) return;
  const missing = missingTool();
  if (missing !== undefined) {
    // One of other sources would not fit the programs of today's.
    rmSync(addon, { force: true });
    return sayOnce(missing);
  }
  rmSync(saidFile, { force: true });
  console.log("Building the native engine (once, about a minute) ...");
  buildNative();
}

/** As `buildNativeIfStale`; where the compiler fails, golgi goes on without, and the next try waits for other sources. */
export function tryBuildNative() {
  if (existsSync(failedFile) && readFileSync(failedFile, "utf8") === sourceStamp()) return;
  try {
    buildNativeIfStale();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.log(
      `${error.message}\nUntil then golgi runs on the reference backend, slowly; npm run build tries again.\n`,
    );
  }
}

function isFresh() {
  return existsSync(addon) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === sourceStamp();
}

function buildNative() {
  const stamp = sourceStamp();
  // An aborted build must not pass for a finished one, nor a former addon for one of these sources.
  for (const file of [stampFile, failedFile, addon]) rmSync(file, { force: true });
  const nodeGyp = path.join(root, "node_modules", "node-gyp", "bin", "node-gyp.js");
  const args = ["configure", "build", "-C", "native", "--release", `--nodedir=${headersFolder()}`];
  const { status, error, stdout, stderr } = spawnSync(
    node24(),
    [nodeGyp, ...args, "--jobs", String(availableParallelism())],
    { cwd: root, env: environment(), encoding: "utf8", maxBuffer: 2 ** 28 },
  );
  if (status !== 0) {
    const log = `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`.trimEnd().split("\n");
    const said = log.filter((line) => !line.startsWith("gyp info"));
    // The first error is the cause; the end says where the build stood.
    const first = said.findIndex((line) => /\berror\b/i.test(line));
    const shown = said.length - first <= nLines ? said.slice(first) : [said[first], "...", ...said.slice(-nLines)];
    mkdirSync(buildFolder, { recursive: true });
    writeFileSync(failedFile, stamp);
    throw new SetupError(`${shown.join("\n")}\n\nThe native engine did not compile; the errors stand above.`);
  }
  writeFileSync(stampFile, stamp);
}

/** What this machine lacks to compile, and what to do about it; undefined where nothing is lacking. */
function missingTool() {
  // The package "node" has no import library for Windows, and nothing may be downloaded during a build.
  if (process.platform === "win32") return ["way to build on Windows", "it on Linux or macOS"];
  if (headersFolder() === undefined)
    return ["headers of Node (npm install removes them)", "all packages anew with npm ci"];
  const compiler = findCompiler();
  if (compiler === undefined) return ["C++ compiler", "g++ or clang"];
  if (!knowsCpp20(compiler)) return ["C++ compiler that knows C++20", "g++ 11 or clang 14, or a later one,"];
  if (!runs("make")) return ["make", "make"];
  return runs(process.env.PYTHON ?? "python3") ? undefined : ["python3, which builds need,", "python3"];
}

function findCompiler() {
  return [process.env.CXX, "g++", "clang++", "c++"].find((name) => name !== undefined && runs(name));
}

function runs(command) {
  // On a bare Mac the compilers are shims that open a dialogue to install them.
  if (process.platform === "darwin" && spawnSync("xcode-select", ["-p"]).status !== 0) return false;
  return spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;
}

function knowsCpp20(compiler) {
  const source =
    "#include <bit>\n#include <span>\n#include <version>\nint main() { return std::bit_cast<int>(0.0f); }\n";
  const { status } = spawnSync(compiler, ["-std=c++20", "-fsyntax-only", "-x", "c++", "-"], {
    input: source,
    stdio: ["pipe", "ignore", "ignore"],
  });
  return status === 0;
}

function sayOnce([what, remedy]) {
  const line = `No ${what} found: golgi runs on the reference backend, slowly. Install ${remedy} to change that.`;
  if (existsSync(saidFile) && readFileSync(saidFile, "utf8") === line) return;
  console.log(line);
  mkdirSync(buildFolder, { recursive: true });
  writeFileSync(saidFile, line);
}

/** A folder with Node's headers, which the package "node" brings along; Node-API is the same in all versions. */
function headersFolder() {
  const packaged = path.join(root, "node_modules", "node", "node_modules");
  const platformPackages = existsSync(packaged) ? readdirSync(packaged).map((name) => path.join(packaged, name)) : [];
  const installations = [process.execPath, node24()].map((node) => path.dirname(path.dirname(node)));
  return [...platformPackages, ...installations].find((folder) =>
    existsSync(path.join(folder, "include", "node", "node_api.h")),
  );
}

/** With the compiler that was found, and without npm's configuration, which node-gyp would prefer to its arguments. */
function environment() {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  return { ...Object.fromEntries(kept), CXX: findCompiler() };
}

function sourceStamp() {
  const kernels = filesBelow("src/ops").filter((file) => /\.(cpp|h)$/.test(file));
  const native = filesBelow("native").filter((file) => !/^native[\\/](build|node_modules|test)[\\/]/.test(file));
  return `${process.platform} ${process.arch} ${stampOf(["package-lock.json", ...kernels, ...native])}`;
}

await runIfMain(import.meta.url, () => {
  installIfStale();
  buildNativeIfStale();
});
