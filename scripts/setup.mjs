// Makes a bare clone ready to run: packages, dist/, then the native engine. Says what it does, and nothing where nothing is to do.

import { buildIfStale } from "./build.mjs";
import { tryBuildNative } from "./build-native.mjs";
import { installIfStale } from "./lib/install.mjs";
import { runIfMain } from "./lib/node.mjs";

export function setUp() {
  installIfStale();
  buildIfStale();
  tryBuildNative();
}

await runIfMain(import.meta.url, setUp);
