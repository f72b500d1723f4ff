#!/usr/bin/env node
// The command `golgi`. Plain JavaScript that an old Node can parse, so that it can say what is missing.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const packageRoot = fileURLToPath(new URL("..", import.meta.url));
const main = new URL("../dist/node/cli/main.js", import.meta.url);
const packagedNode = path.join(
  packageRoot,
  "node_modules/node/bin",
  process.platform === "win32" ? "node.exe" : "node",
);

if (majorOf(process.versions.node) >= 24) runHere();
else if (hasPackagedNode24()) runOn(packagedNode);
else
  fail(
    `golgi needs Node 24 or newer (this is ${process.version}). Install it from nodejs.org, or run \`npm start\` in a clone.`,
  );

function runHere() {
  if (!existsSync(main)) {
    fail("golgi: dist/ is missing. In a clone, run `npm run build`.");
    return;
  }
  // A reader that has seen enough (`| head`) closes the pipe; that is no failure.
  process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 1));
  import(main.href)
    .then((cli) => cli.main(process.argv.slice(2)))
    .then((exitCode) => {
      process.exitCode = exitCode;
    });
}

/** A clone brings its own Node 24 along; the comparison keeps that Node from calling itself for ever. */
function hasPackagedNode24() {
  if (!existsSync(packagedNode) || realpathSync(packagedNode) === realpathSync(process.execPath)) return false;
  const manifest = path.join(packageRoot, "node_modules/node/package.json");
  return majorOf(JSON.parse(readFileSync(manifest, "utf8")).version) >= 24;
}

/** Runs the same command on another Node: it gets our signals and the terminal, we take its end for ours. */
function runOn(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
  const forward = (signal) => {
    // Ctrl-C in a terminal reaches the child by itself.
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, forward);
  child.on("error", (error) =>
    fail(`golgi: ${node} does not start (${error.message}). Install Node 24 from nodejs.org.`),
  );
  child.on("exit", (exitCode, signal) => {
    for (const name of signals) process.off(name, forward);
    if (signal === null) process.exitCode = exitCode;
    else process.kill(process.pid, signal);
  });
}

function majorOf(version) {
  return Number.parseInt(version, 10);
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}
