import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What must hold on every backend, not only on the one that specifies it. */
const everyBackend = [
  ...["goldens", "known-outputs", "properties", "requests", "tiny", "sessions", "gguf-models"],
  ...["fp8-model", "latent-attention", "moe", "moe-edits", "moe-reads", "view-router"],
  ...["attribution", "edits", "edits-generate", "explain", "lens", "moe-edits", "moe-reads", "patch"],
  ...["view-attention", "view-diff", "view-head", "view-neuron", "view-residual"],
];

/** What replaces modules of golgi, or has to do with processes: each file has modules of its own. */
const apart = [
  ...["program", "cli*", "chat-cli", "sampling-cli", "hub*", "html", "examples", "bench", "native-*"],
  ...["architecture", "changed-files", "fuzz/*"],
].map((name) => `test/${name}.test.ts`);

/** All others share theirs: loading modules for each took a fifth of the time. */
const shared = { name: "reference", include: ["test/**/*.test.ts"], exclude: apart, isolate: false };
const own = { name: "apart", include: apart };
const native = {
  name: "native",
  include: everyBackend.map((name) => `test/${name}.test.ts`),
  env: { GOLGI_BACKEND: "native" },
  isolate: false,
};

/** Begins with what takes longest, which builds the native engine once more, so that the rest runs beside it. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith("/native-sanitizers.test.ts");
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    sequence: { sequencer: LongestFirst },
    // One more than cores, since some files wait for servers and child processes.
    maxWorkers: availableParallelism() + 1,
    // The native engine is there wherever a C++ compiler is.
    projects: [shared, own, ...(existsSync("native/build/Release/golgi.node") ? [native] : [])].map((test) => ({
      extends: true as const,
      test,
    })),
  },
});
