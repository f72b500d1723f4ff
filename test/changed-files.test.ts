/** A model whose file changes while it is open is refused before a step touches what is no longer there. */

import { cp, mkdtemp, rename, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadAddon } from "../node/native/addon.ts";
import { stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";

/** The native backend only where there is a C++ compiler. */
const backends = loadAddon() === undefined ? ["reference"] : ["reference", "native"];

const tokens = [1, 403, 407];
const changed = (message: string) => ({ code: "checkpoint.changed", message: expect.stringContaining(message) });

describe.each(backends)("a model that is open on the %s backend", (backend) => {
  let folder = "";
  let weights = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "golgi-changed-"));
    weights = join(folder, "model.safetensors");
    await cp(stories260K, folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true }));

  const changes: readonly [string, () => Promise<unknown>, string][] = [
    ["is cut to its header", () => truncate(weights, 20_000), "got 20000 bytes instead of"],
    ["is emptied", () => truncate(weights), "got 0 bytes instead of"],
    ["is replaced", () => replace(weights), "got another file in its place"],
    ["is written to", () => touch(weights), "got one that was written to since"],
    ["is deleted", () => rm(weights), "got no file of its name any more"],
  ];

  it.each(changes)("does not run for the first time once its file %s", async (_, change) => {
    const model = await open(folder, { backend });
    await change();
    for (let i = 0; i < 2; i++) {
      // A file that is gone may be missed first by whoever maps it.
      const code = expect.stringMatching(/^checkpoint\.(changed|missing)$/);
      await expect(model.run(tokens)).rejects.toMatchObject({ code });
    }
    await model.close();
  });

  // The reference has decoded its weights by then, and looks at no file.
  if (backend === "native") {
    it.each(changes)("does not go on once its file %s", async (_, change, message) => {
      const model = await open(folder, { backend });
      const session = await model.session();
      await session.append(tokens);
      await change();
      await expect(session.append([5])).rejects.toMatchObject(changed(message));
      expect(session.tokens).toEqual(tokens);
      await expect(model.run(tokens)).rejects.toMatchObject(changed(message));
      await model.close();
    });
  }
});

async function replace(path: string): Promise<void> {
  await writeFile(`${path}.new`, new Uint8Array((await stat(path)).size));
  await rename(`${path}.new`, path);
}

/** Later than any clock of a file system could take for the same time. */
async function touch(path: string): Promise<void> {
  await utimes(path, new Date(), new Date(Date.now() + 5000));
}
