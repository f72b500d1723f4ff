import { afterAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { type Backend, openModel, RequestError, reference } from "../node/index.ts";
import { fixture, goldenTokens, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, sameBits, sameRows } from "./support/tensors.ts";

const directory = fixture("goldens/mistral-window");
const tokens = await goldenTokens("mistral-window");
const model = await open(directory);
const stories = await open(stories260K);

afterAll(async () => {
  await model.close();
  await stories.close();
});

describe("a session", () => {
  it("forks: both go on as the whole would, whatever the other does", async () => {
    const whole = await model.run(tokens);
    const first = model.session();
    await first.append(tokens.slice(0, 9));
    const second = await first.fork();
    await first.append([3, 4, 5, 6, 7, 8, 9, 10]);
    const rest = await second.append(tokens.slice(9));
    for (const [i, token] of tokens.slice(9).entries()) {
      expect(second.tokens[9 + i]).toBe(token);
      expect(sameRows(rest.logits.row(i), whole.logits.row(9 + i))).toBe(true);
    }
    expect(first.tokens.length).toBe(17);
    first.close();
    second.close();
  });

  it("forks: identical steps give identical bits on both sides", async () => {
    const first = model.session();
    await first.append(tokens.slice(0, 5));
    const second = await first.fork();
    for (const token of tokens.slice(5, 9)) {
      const [a, b] = [await first.append([token]), await second.append([token])];
      expect(sameBits(a.logits, b.logits)).toBe(true);
    }
  });

  it("truncates: what follows is as if the rest had never been there", async () => {
    const whole = await model.run(tokens);
    const session = model.session();
    await session.append([...tokens.slice(0, 6), 7, 7, 7, 7, 7]);
    await session.truncate(6);
    expect(session.tokens).toEqual(tokens.slice(0, 6));
    const rest = await session.append(tokens.slice(6));
    expect(sameRows(rest.logits.row(-1), whole.logits.row(-1))).toBe(true);
    await expect(session.truncate(1000)).rejects.toThrow(/^truncate: the length must be from 0 to/);
  });

  it("reuses the beginning that a new text shares with the cached one, and always leaves a token to run", async () => {
    const session = model.session();
    await session.append(tokens.slice(0, 8));
    expect(await session.reuse([...tokens.slice(0, 5), 1, 2])).toEqual([1, 2]);
    expect(session.tokens).toEqual(tokens.slice(0, 5));
    expect(await session.reuse(tokens.slice(0, 3))).toEqual([tokens[2]]);
    expect(session.tokens.length).toBe(2);
  });

  it("holds at most its own context, which is at most the model's", async () => {
    const session = model.session({ contextLength: 4 });
    await session.append([1, 2, 3]);
    await expect(session.append([4, 5])).rejects.toThrow(/at most 4 tokens \(the session's context length\)/);
    const steps = await Array.fromAsync(session.generate([4]));
    expect(steps.at(-1)?.finishReason).toBe("context");
    expect(() => model.session({ contextLength: 1e9 })).toThrow(RequestError);
    expect(() => model.session({ contextLength: 0.5 })).toThrow(/contextLength: must be an integer from 1/);
  });

  it("chooses the frequencies of longrope once, by the length that it may come to", async () => {
    const longrope = await open(fixture("goldens/llama-longrope-short"));
    const [short, long] = await Promise.all(
      ["llama-longrope-short", "llama-longrope-long"].map((name) => goldenTokens(name)),
    );
    const run = await longrope.run(short);
    for (const [contextLength, isSame] of [
      [24, true],
      [25, false],
    ] as const) {
      const session = longrope.session({ contextLength });
      const { logits } = await session.append(short);
      expect(sameRows(logits, run.logits)).toBe(isSame);
      session.close();
    }
    // What is generated counts too, so that the text does not outgrow its frequencies.
    const first = async (maxTokens: number) => {
      const options = { maxTokens, stopTokens: [], read: ["blocks.0.attn.rotK"] };
      for await (const step of longrope.generate(short.slice(0, 20), options)) return step.get("blocks.0.attn.rotK");
      throw new Error("there must be a step");
    };
    const [four, five] = [await first(4), await first(5)];
    expect(sameRows(four, five)).toBe(false);
    // In one step, sequences of both kinds.
    const batch = await longrope.run([short, long]);
    const alone = await longrope.run(long);
    expect(sameRows(batch.get("logits", { sequence: 0 }), run.logits)).toBe(true);
    expect(sameRows(batch.get("logits", { sequence: 1 }), alone.logits)).toBe(true);
    await longrope.close();
  });

  it("caches keys and values in f16 on request, which rounds them where they are read", async () => {
    const session = model.session({ kv: "f16" });
    const exact = await model.run(tokens, { read: ["blocks.0.attn.v", "blocks.0.attn.rotK"] });
    const run = await session.append(tokens, { read: ["blocks.0.attn.v", "blocks.0.attn.rotK"] });
    for (const point of ["blocks.0.attn.v", "blocks.0.attn.rotK"]) {
      const rounded = Float16Array.from(exact.get(point).data);
      expect([...run.get(point).data]).toEqual([...rounded]);
    }
    const difference = deviation(run.logits, exact.logits);
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.05);
    const steps = model.session({ kv: "f16" });
    for (const [i, token] of tokens.entries()) {
      const step = await steps.append([token]);
      expect(deviation(step.logits.row(0), run.logits.row(i))).toBeLessThan(1e-4);
    }
  });
});

describe("the scheduler", () => {
  it("lets many generations share steps, and gives each what it gets alone", async () => {
    const { counting, calls } = countingBackend();
    const shared = await openModel({ folder: await openFolder(stories260K) }, host, [counting]);
    const prompts = ["Once upon a time", "Tom had a red ball. He", "The dog", "One day, Lily went", "Ben saw a"];
    const alone = await Promise.all(
      prompts.map(async (prompt) => {
        let text = "";
        for await (const step of stories.generate(prompt, { maxTokens: 12 })) text += step.text;
        return text;
      }),
    );
    const together = await Promise.all(
      prompts.map(async (prompt) => {
        let text = "";
        for await (const step of shared.generate(prompt, { maxTokens: 12 })) text += step.text;
        return text;
      }),
    );
    expect(together).toEqual(alone);
    expect(calls.length).toBeLessThan(2 * 12);
    expect(Math.max(...calls)).toBe(prompts.length);
    await shared.close();
  });

  it("refuses one request of a shared step without harm to the others", async () => {
    const [good, bad] = [model.session(), model.session()];
    const results = await Promise.allSettled([good.append(tokens), bad.append([1e6]), good.append([5])]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(good.tokens.length).toBe(tokens.length + 1);
  });

  it("ends an aborted generation within one step and gives its pages back", async () => {
    const { counting, calls } = countingBackend();
    const own = await openModel({ folder: await openFolder(directory) }, host, [counting]);
    const controller = new AbortController();
    const read = async () => {
      for await (const _ of own.generate(tokens, { signal: controller.signal, stopTokens: [] })) controller.abort();
    };
    await expect(read()).rejects.toThrow(/abort/i);
    expect(calls.length).toBe(1);
    await own.run(tokens);
    expect(reservedPages(counting)).toBe(2);
    await own.close();
  });
});

const host = { nowMs: () => performance.now(), pause: () => new Promise<void>((resolve) => setImmediate(resolve)) };

const reservations = new WeakMap<Backend, number[]>();

/** The most pages that a counting backend was ever asked for. */
function reservedPages(backend: Backend): number {
  return Math.max(...(reservations.get(backend) ?? []));
}

/** The reference backend, and the number of sequences of each step that it runs. */
function countingBackend(): { counting: Backend; calls: number[] } {
  const calls: number[] = [];
  const counting: Backend = {
    ...reference,
    load: (weights) => {
      const engine = reference.load(weights);
      return {
        compile: (tape) => engine.compile(tape),
        release: (program) => engine.release(program),
        reserve: (nPages) => {
          reservations.get(counting)?.push(nPages);
          engine.reserve(nPages);
        },
        copyPages: (copies) => engine.copyPages(copies),
        run: (program, step, signal) => {
          calls.push(step.rows.sequences.length);
          return engine.run(program, step, signal);
        },
        close: () => engine.close(),
      };
    },
  };
  reservations.set(counting, []);
  return { counting, calls };
}
