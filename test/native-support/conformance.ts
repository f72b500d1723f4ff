/** Builds native/test/conformance.cpp around the kernels, as they are or with sanitizers, where a compiler is there. */

import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..", "..");
const native = join(root, "native");
/** What `npm run build` made: static libraries of the kernels of each ISA, among others. */
const libraries = join(native, "build", "Release");
const ISAS = process.arch === "arm64" ? ["portable", "neon"] : ["portable", "avx2", "avx512"];

/** As in native/binding.gyp. */
const ISA_FLAGS: Readonly<Record<string, readonly string[]>> = {
  portable: [],
  neon: [],
  avx2: ["-mavx2", "-mfma", "-mf16c"],
  avx512: ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"],
};
const FLAGS = ["-std=c++20", "-ffp-contract=off", "-pthread"];
/** Without optimisation, since the sanitizers' checks take longest to optimise. */
const SANITIZER_FLAGS = [
  ...["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"],
];
/**
 * Checks of pointers that all kernels' shared code passes in the portable build already: with them an ISA's kernels take
 * twice as long to compile. Addresses are checked all the same.
 */
const FIRST_ISA_ONLY = "-fno-sanitize=null,alignment,object-size,pointer-overflow";
/** What the engine consists of without the layer to JavaScript. */
const COMMON = ["cache_pages", "cpu", "engine", "frame", "memory", "pool", "program", "step", "weights"];
const TESTS = ["cases", "conformance"];

const run = promisify(execFile);

/** A C++ compiler that has built the engine's libraries, or one that can link with them. */
export function findCompiler(): string | undefined {
  if (process.platform === "win32" || !existsSync(join(libraries, "golgi_portable.a"))) return undefined;
  return [process.env.CXX, "g++", "clang++"].find((name) => name !== undefined && spawnSync(name, ["-v"]).status === 0);
}

/** Whether the compiler has sanitizers, and programs made with them run here. */
export function hasSanitizers(compiler: string): boolean {
  const file = join(workFolder("probe"), "probe");
  const args = [...SANITIZER_FLAGS, "-x", "c++", "-", "-o", file];
  const built = spawnSync(compiler, args, { input: "int main() { return 0; }" });
  return built.status === 0 && spawnSync(file).status === 0;
}

/** The runner with the kernels as the engine has them; returns its path. */
export function buildConformance(compiler: string): Promise<string> {
  const units = TESTS.map((name) => unit(join("test", `${name}.cpp`), name, ["-O1"]));
  return build(compiler, workFolder("plain"), units, ["common", ...ISAS], []);
}

/** The runner with sanitizers, in which kernels of these ISAs are checked. */
export function buildSanitized(compiler: string, isas: readonly string[]): Promise<string> {
  const units = [
    // The slowest first.
    ...isas.map((isa, i) => {
      const flags = [`-DGOLGI_ISA=${isa}`, ...ISA_FLAGS[isa], ...SANITIZER_FLAGS, ...(i > 0 ? [FIRST_ISA_ONLY] : [])];
      return unit(join("generated", "kernels.cpp"), `kernels_${isa}`, flags);
    }),
    ...TESTS.map((name) => unit(join("test", `${name}.cpp`), name, SANITIZER_FLAGS)),
    ...COMMON.map((name) => unit(join("src", `${name}.cpp`), name, SANITIZER_FLAGS)),
  ];
  const others = ISAS.filter((isa) => !isas.includes(isa));
  return build(compiler, workFolder(`sanitized-${isas.join("-")}`), units, others, SANITIZER_FLAGS);
}

interface Unit {
  readonly source: string;
  readonly object: string;
  readonly flags: readonly string[];
}

function unit(source: string, name: string, flags: readonly string[]): Unit {
  return { source, object: `${name}.o`, flags };
}

/** Compiles all units, unless nothing has changed since, and links them with libraries of the engine. */
async function build(
  compiler: string,
  folder: string,
  units: readonly Unit[],
  linked: readonly string[],
  linkFlags: readonly string[],
): Promise<string> {
  const [program, stampFile] = [join(folder, "conformance"), join(folder, "stamp")];
  const stamp = `${compiler}\n${sourceStamp()}`;
  if (existsSync(program) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return program;
  const waiting = [...units];
  const compileSome = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { source, object, flags } = next;
      await run(compiler, [...FLAGS, ...flags, "-c", join(native, source), "-o", join(folder, object)]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, compileSome));
  const objects = units.map(({ object }) => join(folder, object));
  // From the plainest ISA to the richest: a linker keeps the first copy of an inline function.
  const archives = linked.map((name) => join(libraries, `golgi_${name}.a`));
  await run(compiler, [...FLAGS, ...linkFlags, ...objects, ...archives, "-o", program]);
  writeFileSync(stampFile, stamp);
  return program;
}

function workFolder(name: string): string {
  const folder = join(native, "build", "conformance", name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Changes with every C++ file. */
function sourceStamp(): string {
  const folders = ["native/src", "native/test", "native/generated", "src/ops"];
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file)),
  );
  return [...files.filter((file) => /\.(cpp|h)$/.test(file)), join("native", "build", ".stamp")]
    .sort()
    .map((file) => {
      const { mtimeMs, size } = statSync(join(root, file));
      return `${file} ${mtimeMs} ${size}`;
    })
    .join("\n");
}
