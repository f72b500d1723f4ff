// Makes a bare clone ready to run: packages, then dist/. Says what it does, and nothing where nothing is to do.

import { buildIfStale } from "./build.mjs";
import { installIfStale } from "./lib/install.mjs";
import { runIfMain } from "./lib/node.mjs";

export function setUp() {
  installIfStale();
  buildIfStale();
}

await runIfMain(import.meta.url, setUp);
