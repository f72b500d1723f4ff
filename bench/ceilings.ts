import { type CeilingKind, defaultThreads, loadAddon, type NativeAddon } from "../node/native/addon.ts";
import { mean, type Spread, spread } from "./stats.ts";

const PROBE_SECONDS = 0.2;

/** What this machine can do at most, asked again and again between the figures: on shared machines it changes. */
export class Ceilings {
  readonly #addon: NativeAddon | undefined;
  readonly #samples = new Map<string, number[]>();
  readonly #instructions = new Map<CeilingKind, string>();
  readonly threads: number;

  /** `threads`: as many as golgi takes by itself where undefined. */
  constructor(threads: number | undefined, defaultCores: number) {
    this.#addon = loadAddon();
    this.threads = threads ?? (this.#addon === undefined ? defaultCores : defaultThreads(this.#addon));
  }

  get isa(): string | undefined {
    return this.#addon?.isas()[0];
  }

  /** Bytes or operations of a second; undefined where the CPU has no such instruction, or nothing can measure it. */
  measure(kind: CeilingKind, threads = this.threads): number | undefined {
    const ceiling = this.#addon?.probe(kind, threads, PROBE_SECONDS);
    if (ceiling === undefined) return undefined;
    this.#instructions.set(kind, ceiling.instruction);
    const key = `${kind} ${threads}`;
    this.#samples.set(key, [...(this.#samples.get(key) ?? []), ceiling.perSecond]);
    return ceiling.perSecond;
  }

  /** Runs something with the ceiling measured before and after it. */
  async beside<T>(kind: CeilingKind, run: () => Promise<T>): Promise<{ result: T; ceiling: number | undefined }> {
    const before = this.measure(kind);
    const result = await run();
    const after = this.measure(kind);
    return { result, ceiling: before === undefined || after === undefined ? undefined : mean([before, after]) };
  }

  /** Milliseconds to map a file and to read each of its bytes once. */
  touchMs(file: string): number | undefined {
    const seconds = this.#addon?.touch(file, this.threads);
    return seconds && seconds * 1000;
  }

  /** Those that no figure is divided by, once a round. */
  measureRest(): void {
    for (const kind of ["read", "f32"] as const) if (this.threads > 1) this.measure(kind, 1);
    for (const kind of ["int8", "bf16"] as const) this.measure(kind);
  }

  /** All that was measured. */
  get rows(): CeilingRow[] {
    return [...this.#samples].map(([key, samples]) => {
      const [kind, threads] = key.split(" ") as [CeilingKind, string];
      return {
        kind,
        threads: Number(threads),
        instruction: this.#instructions.get(kind) ?? "",
        perSecond: spread(samples) as Spread,
      };
    });
  }
}

export interface CeilingRow {
  readonly kind: CeilingKind;
  readonly threads: number;
  readonly instruction: string;
  readonly perSecond: Spread;
}
