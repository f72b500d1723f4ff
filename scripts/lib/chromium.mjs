// The browser in which the tests open golgi's pages: what the machine has, or the system's own package of it.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const APPLICATIONS = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
/** A package system that cannot be reached must not hold up the tests for long. */
const TIMEOUT_MS = 240_000;

/** The path of a Chromium or Chrome; undefined where there is none. */
export function findChromium() {
  const folders = (process.env.PATH ?? "").split(path.delimiter).filter((folder) => folder !== "");
  const onPath = folders.flatMap((folder) => NAMES.map((name) => path.join(folder, name)));
  return [...onPath, ...APPLICATIONS].find((file) => existsSync(file));
}

/** Installs Chromium where it is missing and this is a system that can; says so, and says what is left out where it cannot. */
export function tryInstallChromium() {
  if (findChromium() !== undefined) return;
  const reason = cannotInstall() ?? install();
  if (reason !== undefined) console.log(`No Chromium (${reason}): the tests that open a page in it are skipped.`);
}

function cannotInstall() {
  if (process.getuid?.() !== 0) return "it can be installed by root only";
  return spawnSync("apt-get", ["--version"]).error === undefined ? undefined : "there is no apt-get to install it with";
}

function install() {
  console.log("Installing Chromium, for the tests of pages (once, about a minute) ...");
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", "chromium"]]) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const { status, error, stderr } = spawnSync("apt-get", args, { env, encoding: "utf8", timeout: TIMEOUT_MS });
    if (status !== 0) return `apt-get ${args[0]} failed: ${(error?.message ?? stderr).trim().split("\n").at(-1)}`;
  }
  return findChromium() === undefined ? "its package has no program of that name" : undefined;
}
