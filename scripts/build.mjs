// Compiles src/ and node/ into dist/, and the native engine where a compiler is there.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { buildNativeIfStale } from "./build-native.mjs";
import { filesBelow, stampOf } from "./lib/files.mjs";
import { installIfStale } from "./lib/install.mjs";
import { node24, root, runIfMain, SetupError } from "./lib/node.mjs";

const dist = path.join(root, "dist");
const stampFile = path.join(dist, ".stamp");
/** What node/html puts into its pages as it is. */
const pageFolder = path.join("node", "html", "page");

/** Builds where dist/ is missing or older than its sources. */
export function buildIfStale() {
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === sourceStamp()) return;
  console.log("Building ...");
  build();
}

/** Builds beside dist/ and then renames, so that an aborted or failed build leaves the former dist/ as it was. */
export function build() {
  const stamp = sourceStamp();
  const fresh = path.join(root, `dist.${process.pid}.tmp`);
  const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc");
  try {
    const args = [tsc, "-p", "tsconfig.build.json", "--outDir", fresh];
    const { status, stdout, stderr } = spawnSync(node24(), args, { cwd: root, encoding: "utf8" });
    if (status !== 0) throw new SetupError(`${stdout}${stderr}\nThe build failed; mend the errors above.`);
    for (const file of readdirSync(path.join(root, pageFolder)).filter((name) => /\.(js|css)$/.test(name))) {
      cpSync(path.join(root, pageFolder, file), path.join(fresh, pageFolder, file));
    }
    writeFileSync(path.join(fresh, ".stamp"), stamp);
    rmSync(dist, { recursive: true, force: true });
    renameSync(fresh, dist);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function sourceStamp() {
  const configs = readdirSync(root).filter((name) => /^tsconfig.*\.json$/.test(name));
  return stampOf(["package-lock.json", ...configs, ...filesBelow("src"), ...filesBelow("node")]);
}

await runIfMain(import.meta.url, () => {
  installIfStale();
  build();
  buildNativeIfStale();
});
