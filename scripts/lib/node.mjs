// Which Node runs what. These scripts themselves run on any Node that a fresh machine may have (20 or newer);
// golgi and its tools need 24, which package.json brings along as the package "node".

import { existsSync, realpathSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** An error whose message is all that the user needs: printed without a stack, exit code 1. */
export class SetupError extends Error {}

/** The Node 24 that package.json brings along; it exists once the packages are installed. */
export const packagedNode = path.join(
  root,
  "node_modules",
  "node",
  "bin",
  process.platform === "win32" ? "node.exe" : "node",
);

/** The path of a Node 24 or newer: the running one, else the packaged one, else undefined. */
export function findNode24() {
  if (Number.parseInt(process.versions.node, 10) >= 24 && existsSync(process.execPath)) return process.execPath;
  return existsSync(packagedNode) ? packagedNode : undefined;
}

/** The path of a Node 24 or newer; throws where there is none. */
export function node24() {
  const found = findNode24();
  if (found === undefined) {
    throw new SetupError(
      `golgi needs Node 24 or newer; this is ${process.version}, and the package "node" brought none along.\n` +
        "If npm is set to ignore install scripts, run `npm ci --ignore-scripts=false`; else install Node 24 from nodejs.org.",
    );
  }
  return found;
}

/** Runs `run` where the module at `moduleUrl` is the script that Node was started with, and not merely imported. */
export async function runIfMain(moduleUrl, run) {
  if (process.argv[1] === undefined || realpathSync(process.argv[1]) !== fileURLToPath(moduleUrl)) return;
  try {
    await run();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
