import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("./peers", import.meta.url));

export type Peer = { readonly version: string } | { readonly missing: string };

/** Installs what golgi is compared with into bench/peers where `name` is not there yet; says why where it cannot be had. */
export function ensurePeer(name: "node-llama-cpp" | "tokenizers", onInstall: () => void = () => {}): Peer {
  const wanted = wantedVersion(name);
  if (installedVersion(name) === wanted) return { version: wanted };
  const platform = `${process.platform}-${process.arch}`;
  if (platform !== "linux-x64")
    return { missing: `bench/peers has its binary for linux-x64 alone; this is ${platform}` };
  onInstall();
  const { status, stdout, stderr, error } = spawnSync(
    "npm",
    // Not `npm ci`, which wants even those optional packages of the lock that a registry does not have.
    ["install", "--no-save", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"],
    { cwd: folder, env: { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true" }, encoding: "utf8", timeout: 180_000 },
  );
  if (status === 0 && installedVersion(name) === wanted) return { version: wanted };
  const said = `${stdout ?? ""}${stderr ?? ""}`.split("\n").find((line) => line.startsWith("npm error"));
  return { missing: `npm could not install it: ${error?.message ?? said ?? `exit code ${status}`}` };
}

function wantedVersion(name: string): string {
  return JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")).dependencies[name];
}

function installedVersion(name: string): string | undefined {
  const file = path.join(folder, "node_modules", name, "package.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
}
