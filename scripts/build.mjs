// Compiles src/ and node/ into dist/.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { installIfStale } from "./lib/install.mjs";
import { node24, root, runIfMain, SetupError } from "./lib/node.mjs";

const dist = path.join(root, "dist");
const stampFile = path.join(dist, ".stamp");

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
    writeFileSync(path.join(fresh, ".stamp"), stamp);
    rmSync(dist, { recursive: true, force: true });
    renameSync(fresh, dist);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Changes whenever a source file is added, removed, renamed or written. */
function sourceStamp() {
  const hash = createHash("sha256");
  const files = ["package-lock.json", ...readdirSync(root).filter((name) => /^tsconfig.*\.json$/.test(name))];
  for (const file of [...files, ...filesBelow("src"), ...filesBelow("node")].sort()) {
    const { mtimeMs, size } = statSync(path.join(root, file));
    hash.update(`${file}\0${mtimeMs}\0${size}\n`);
  }
  return hash.digest("hex");
}

function filesBelow(folder) {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(file) : [file];
  });
}

await runIfMain(import.meta.url, () => {
  installIfStale();
  build();
});
