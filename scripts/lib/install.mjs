import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { findNode24, node24, packagedNode, root, SetupError } from "./node.mjs";

/** As much of npm's output as a failure shows; npm names the cause first, and may end with pages of usage. */
const nLines = 25;

/** Installs the packages with `npm ci` where node_modules is missing, half done or not what package-lock.json asks for. */
export function installIfStale() {
  const installed = readPackages("node_modules/.package-lock.json");
  if (installed !== undefined && matchesLock(installed) && findNode24() !== undefined) return;
  console.log(`Installing packages (${installed === undefined ? "first run" : "package-lock.json changed"}) ...`);
  install();
  checkNode();
}

/**
 * Whether what npm noted down as installed is what the lock asks for on this platform. npm writes its note last, so an
 * aborted installation has none; a node_modules copied from another platform holds packages that do not fit.
 */
function matchesLock(installed) {
  for (const [name, wanted] of Object.entries(readPackages("package-lock.json") ?? {})) {
    if (name === "") continue;
    const found = installed[name];
    if (found === undefined && !wanted.optional) return false;
    if (found === undefined) continue;
    if (found.version !== wanted.version || found.integrity !== wanted.integrity) return false;
    if (!fits(found.os, process.platform) || !fits(found.cpu, process.arch)) return false;
  }
  return true;
}

/** npm's rule for `os` and `cpu`: a list of names, or of exclusions like "!win32". */
function fits(list, name) {
  if (list === undefined || list.includes(name)) return true;
  return list.every((entry) => entry.startsWith("!") && entry !== `!${name}`);
}

function readPackages(lockFile) {
  const file = path.join(root, lockFile);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).packages : undefined;
}

function install() {
  const { status, error, stdout, stderr } = spawnSync(
    process.platform === "win32" ? "npm.cmd" : "npm",
    ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=notice"],
    // npm.cmd is a batch file, which only a shell can run.
    { cwd: root, env: environment(), encoding: "utf8", shell: process.platform === "win32", maxBuffer: 2 ** 28 },
  );
  if (status === 0) return;
  const lines = `${stdout ?? ""}${stderr ?? ""}`.trimEnd().split("\n");
  const errors = lines.filter((line) => line.startsWith("npm error"));
  const said = errors.length > 0 ? errors.slice(0, nLines) : lines.slice(-nLines);
  throw new SetupError(
    `${error?.message ?? said.join("\n")}\n\nnpm ci failed${status === null ? "" : ` with exit code ${status}`}. ` +
      "The cause stands above; `npm ping` tells whether npm reaches its registry. Then run the same command again.",
  );
}

/** Without node_modules/.bin on the path: npm must not run on the very Node that `npm ci` deletes. */
function environment() {
  const key = Object.keys(process.env).find((name) => name.toUpperCase() === "PATH") ?? "PATH";
  const folders = (process.env[key] ?? "").split(path.delimiter);
  const kept = folders.filter((folder) => path.resolve(folder) !== path.join(root, "node_modules", ".bin"));
  return { ...process.env, [key]: kept.join(path.delimiter) };
}

/** A packaged Node can be there and yet not run, for example on a Linux without glibc. */
function checkNode() {
  const node = node24();
  if (node !== packagedNode) return;
  const { stdout, stderr, error } = spawnSync(node, ["--version"], { encoding: "utf8" });
  if (/^v(2[4-9]|[3-9]\d)\./.test(stdout ?? "")) return;
  const got = error?.message ?? `${stdout}${stderr}`.trim();
  throw new SetupError(`The packaged Node 24 does not run on this machine: ${got}\nInstall Node 24 from nodejs.org.`);
}
