import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");
const examples = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts"));

describe("examples", () => {
  it("are numbered without a gap", () => {
    expect(examples.map((name) => Number(name.slice(0, 2)))).toEqual(examples.map((_, i) => i + 1));
  });

  it.each(examples)("%s runs against the built package and prints what it always prints", async (name) => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [join("examples", name)], { cwd: root });
    expect(stderr).toBe("");
    await expect(stdout).toMatchFileSnapshot(`snapshots/examples/${name.replace(".ts", ".txt")}`);
  });
});
