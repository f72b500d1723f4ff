/**
 * Runs every case of the native kernels on NEON under emulation, where there is no arm64 machine: compiles the conformance runner
 * with a cross compiler and runs it in qemu (Debian's g++-aarch64-linux-gnu and qemu-user-static).
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeCases } from "../native-cases/write.ts";

const COMPILER = "aarch64-linux-gnu-g++";
const EMULATOR = "qemu-aarch64-static";
const FLAGS = ["-std=c++20", "-ffp-contract=off", "-pthread", "-O1"];
const COMMON = ["cache_pages", "cpu", "engine", "frame", "memory", "pool", "program", "step", "weights"];

const native = join(import.meta.dirname, "..", "..", "native");
const folder = join(native, "build", "conformance", "arm64");
mkdirSync(folder, { recursive: true });

function compile(source: string, name: string, flags: readonly string[] = []): string {
  const object = join(folder, `${name}.o`);
  execFileSync(COMPILER, [...FLAGS, ...flags, "-c", join(native, source), "-o", object], { stdio: "inherit" });
  return object;
}

const objects = [
  ...["portable", "neon"].map((isa) => compile("generated/kernels.cpp", `kernels_${isa}`, [`-DGOLGI_ISA=${isa}`])),
  ...["cases", "conformance"].map((name) => compile(`test/${name}.cpp`, name)),
  ...COMMON.map((name) => compile(`src/${name}.cpp`, name)),
];
const [program, cases] = [join(folder, "conformance"), join(folder, "cases")];
execFileSync(COMPILER, [...FLAGS, "-static", ...objects, "-o", program], { stdio: "inherit" });
await writeCases(cases);
execFileSync(EMULATOR, [program, cases, "--once", "neon"], { stdio: "inherit" });
