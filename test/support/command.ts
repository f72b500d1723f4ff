/** The command `golgi`, run as its users run it. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text as readText } from "node:stream/consumers";
import { vi } from "vitest";
import { main } from "../../node/cli/main.ts";
import { widthOf } from "../../node/index.ts";

const golgiScript = join(import.meta.dirname, "../../bin/golgi.js");

/** Starts the command where no terminal is and the environment asks for no width and no colours. */
export function start(
  args: readonly string[],
  env: Record<string, string> = {},
): ChildProcessByStdio<null, Readable, Readable> {
  const { FORCE_COLOR: _force, NO_COLOR: _no, COLUMNS: _columns, ...inherited } = process.env;
  return spawn(process.execPath, [golgiScript, ...args], {
    env: { ...inherited, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command to its end. */
export async function golgi(args: readonly string[], env?: Record<string, string>): Promise<Ended> {
  const child = start(args, env);
  const [stdout, stderr, [code]] = await Promise.all([
    readText(child.stdout),
    readText(child.stderr),
    once(child, "close"),
  ]);
  return { code, stdout, stderr };
}

let last: Promise<unknown> = Promise.resolve();

/** As `golgi`, in this process, which takes a tenth of the time; one after another, since they share stdout. */
export function golgiHere(args: readonly string[]): Promise<Ended> {
  const ended = last.then(() => captured(args));
  last = ended;
  return ended;
}

async function captured(args: readonly string[]): Promise<Ended> {
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written[stream] += text;
      return true;
    }),
  );
  vi.stubEnv("NO_COLOR", "1").stubEnv("FORCE_COLOR", undefined).stubEnv("COLUMNS", undefined);
  try {
    return { code: await main(args), ...written };
  } finally {
    vi.unstubAllEnvs();
    for (const spy of spies) spy.mockRestore();
  }
}

export const lines = (text: string): string[] => text.trimEnd().split("\n");
export const widest = (text: string): number => Math.max(...lines(text).map((line) => widthOf(line)));
export const ESC = "\u001b";
