// `npm start` and `npm start -- "a prompt"`: sets up what is missing, then traces the prompt.

import path from "node:path";
import { pathToFileURL } from "node:url";
import { root, runIfMain } from "./lib/node.mjs";
import { setUp } from "./setup.mjs";

await runIfMain(import.meta.url, async () => {
  setUp();
  const golgi = path.join(root, "bin", "golgi.js");
  process.argv = [process.argv[0], golgi, "trace", ...process.argv.slice(2)];
  await import(pathToFileURL(golgi).href);
});
