/**
 * Writes the cases of native/test/conformance.cpp: programs around single ops, with inputs of many sizes, weights in
 * every format, and the reference's results in float64.
 *
 *     node scripts/native-cases.ts <file>
 */
import { writeCases } from "./native-cases/write.ts";

const path = process.argv[2];
if (path === undefined) {
  console.error("usage: node scripts/native-cases.ts <file>");
  process.exitCode = 2;
} else {
  const names = await writeCases(path);
  console.log(`${names.length} cases`);
}
