import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("./peers", import.meta.url));

export type Peer = { readonly version: string } | { readonly missing: string };

/** Installs node-llama-cpp into bench/peers where it is not there yet; says why where it cannot be had. */
export function ensurePeer(onInstall: () => void = () => {}): Peer {
  const wanted = wantedVersion();
  if (installedVersion() === wanted) return { version: wanted };
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
  if (status === 0 && installedVersion() === wanted) return { version: wanted };
  const said = `${stdout ?? ""}${stderr ?? ""}`.split("\n").find((line) => line.startsWith("npm error"));
  return { missing: `npm could not install it: ${error?.message ?? said ?? `exit code ${status}`}` };
}

function wantedVersion(): string {
  return JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")).dependencies["node-llama-cpp"];
}

function installedVersion(): string | undefined {
  const file = path.join(folder, "node_modules", "node-llama-cpp", "package.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
}
