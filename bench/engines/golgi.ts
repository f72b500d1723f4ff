import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import { openFolder } from "../../node/files.ts";
import { nativeBackend } from "../../node/native/backend.ts";
import { describeModel, type Host, type Model, openModel, type Run, reference, type Session } from "../../src/index.ts";
import type { EngineSettings, GlassRequest, GlassResult, GlassStep, MeasuredEngine } from "./engine.ts";

const host: Host = { nowMs: () => performance.now(), pause: () => setImmediate() };

/** golgi as its users have it, but with a chosen number of threads. */
export async function openGolgi(settings: EngineSettings): Promise<MeasuredEngine> {
  const { engine, modelPath, threads } = settings;
  const backend = engine === "golgi reference" ? reference : nativeBackend({ threads });
  if (backend === undefined) throw new Error("the native engine is not built; run npm run build");
  let opened: Model | undefined;
  const model = (): Model => {
    if (opened === undefined) throw new Error("load comes first");
    return opened;
  };

  return {
    async load() {
      const start = performance.now();
      const isFolder = (await stat(modelPath)).isDirectory();
      const folder = await openFolder(isFolder ? modelPath : dirname(modelPath));
      const weightsFile = isFolder ? undefined : basename(modelPath);
      opened = await openModel({ folder, weightsFile }, host, [backend], { backend: backend.name });
      await model().run([1], { logits: "last" });
      const loadMs = performance.now() - start;
      return { loadMs, perToken: describeModel(model()).perToken };
    },

    async prefill(tokens) {
      const session = newSession(model(), settings);
      const start = performance.now();
      const run = await session.append(tokens, { logits: "last" });
      const ms = performance.now() - start;
      if (!run.logits.data.every(Number.isFinite)) throw new Error("logits must be finite");
      session.close();
      return ms;
    },

    async decode(prompt, nTokens) {
      const session = newSession(model(), settings);
      const times: number[] = [];
      let start = performance.now();
      const options = { temperature: 0, maxTokens: nTokens + 1, stopTokens: [] };
      for await (const _step of session.generate(prompt, options)) {
        const now = performance.now();
        times.push(now - start);
        start = now;
      }
      session.close();
      return times.slice(1);
    },

    glass: (request) => measureReads(model(), newSession(model(), settings), request),
    close: async () => opened?.close(),
  };
}

function newSession(model: Model, { contextLength }: EngineSettings): Session {
  return model.session({ contextLength: Math.min(contextLength, model.config.contextLength) });
}

/** Runs each position three times over, so that what is compared is one token at one place, moments apart. */
async function measureReads(model: Model, session: Session, request: GlassRequest): Promise<GlassResult> {
  const { nCached, nSteps } = request;
  const read = model
    .points()
    .filter(({ name, availability }) => availability === "stored" && name.startsWith("blocks."))
    .map(({ name }) => name);
  const token = (i: number): number => (i * 7919) % model.config.vocabSize;
  await session.append(Array.from({ length: nCached }, (_, i) => token(i)));
  let [values, sizeBytes] = [0, 0];

  /** Until every value that was read can be used in JavaScript. */
  async function step(position: number, names: readonly string[]): Promise<number> {
    const start = performance.now();
    const run = await session.append([token(position)], { read: names, logits: "last" });
    const sum = names.reduce((total, name) => total + Number(run.get(name).data[0]), 0);
    const ms = performance.now() - start;
    if (Number.isNaN(sum)) throw new Error("what was read must be numbers");
    if (names.length > 0) [values, sizeBytes] = sizeOf(run, names);
    await session.truncate(position);
    return ms;
  }

  const steps: GlassStep[] = [];
  const nWarm = 3;
  for (let i = -nWarm; i < nSteps; i++) {
    const position = session.tokens.length;
    // Who goes first changes, since the first finds the caches as something else left them.
    const order: ("plain" | "reads" | "again")[] =
      i % 2 === 0 ? ["plain", "reads", "again"] : ["again", "reads", "plain"];
    const times = { plain: 0, reads: 0, again: 0 };
    for (const name of order) times[name] = await step(position, name === "reads" ? read : []);
    if (i >= 0) steps.push(times);
    await session.append([token(position)], { logits: "none" });
  }
  session.close();
  return { points: read.length, values, sizeBytes, steps };
}

function sizeOf(run: Run, names: readonly string[]): [number, number] {
  const tensors = names.map((name) => run.get(name).data);
  return [
    tensors.reduce((sum, { length }) => sum + length, 0),
    tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
  ];
}
