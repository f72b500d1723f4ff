import type { EngineSettings, MeasuredEngine } from "./engine.ts";

/**
 * llama.cpp as npm has it, by node-llama-cpp: the binary of this CPU and the package's defaults (float16 cache, flash
 * attention where it helps). Its own folder of packages is bench/peers.
 */
export async function openLlamaCpp(settings: EngineSettings): Promise<MeasuredEngine> {
  const { getLlama, LlamaLogLevel } = await importPeer();
  const { modelPath, threads, contextLength } = settings;
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
  let sequence: PeerSequence | undefined;

  /** Milliseconds until each token of a greedy continuation of an empty context. */
  async function continueAfter(prompt: readonly number[], nTokens: number): Promise<number[]> {
    if (sequence === undefined) throw new Error("load comes first");
    await sequence.clearHistory();
    const times: number[] = [];
    let start = performance.now();
    for await (const _token of sequence.evaluate([...prompt], { temperature: 0, yieldEogToken: true })) {
      const now = performance.now();
      times.push(now - start);
      start = now;
      if (times.length >= nTokens) break;
    }
    return times;
  }

  return {
    async load() {
      const start = performance.now();
      const model = await llama.loadModel({ modelPath });
      const size = { contextSize: contextLength, batchSize: Math.min(contextLength, 512) };
      const context = await model.createContext({ ...size, threads: { ideal: threads, min: threads } });
      sequence = context.getSequence();
      await continueAfter([1], 1);
      return { loadMs: performance.now() - start };
    },
    prefill: async (tokens) => (await continueAfter(tokens, 1))[0],
    decode: async (prompt, nTokens) => (await continueAfter(prompt, nTokens + 1)).slice(1),
    close: () => llama.dispose(),
  };
}

/** As much of node-llama-cpp's interface as is used; its types are there only where it is installed. */
interface Peer {
  readonly LlamaLogLevel: { readonly error: string };
  getLlama(options: object): Promise<PeerLlama>;
}

interface PeerLlama {
  loadModel(options: { modelPath: string }): Promise<{ createContext(options: object): Promise<PeerContext> }>;
  dispose(): Promise<void>;
}

interface PeerContext {
  getSequence(): PeerSequence;
}

interface PeerSequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: number[], options: { temperature: number; yieldEogToken: boolean }): AsyncIterable<number>;
}

async function importPeer(): Promise<Peer> {
  const module = new URL("../peers/node_modules/node-llama-cpp/dist/index.js", import.meta.url);
  return (await import(module.href)) as Peer;
}
