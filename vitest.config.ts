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

const all = { name: "reference", include: ["test/**/*.test.ts"] };
const native = {
  name: "native",
  include: everyBackend.map((name) => `test/${name}.test.ts`),
  env: { GOLGI_BACKEND: "native" },
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
    projects: [all, ...(existsSync("native/build/Release/golgi.node") ? [native] : [])].map((test) => ({
      extends: true as const,
      test,
    })),
  },
});
