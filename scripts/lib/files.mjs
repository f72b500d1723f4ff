import { readdirSync } from "node:fs";
import path from "node:path";
import { root } from "./node.mjs";

/** All files below a folder of the repository, from its root. */
export function filesBelow(folder) {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(file) : [file];
  });
}
