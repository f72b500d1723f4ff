// `npm test`: what CI runs, on a bare clone too.

import { installAndCheck } from "./check.mjs";
import { runIfMain } from "./lib/node.mjs";

await runIfMain(import.meta.url, installAndCheck);
