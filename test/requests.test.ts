/** What a model refuses, with which words, and what stays whole when a call is refused, aborted or overtaken. */

import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import {
  type Backend,
  BackendError,
  CheckpointError,
  type ErrorCode,
  type Host,
  type Model,
  openModel,
  PointError,
  RequestError,
  reference,
} from "../node/index.ts";
import { encodeSafetensors } from "../src/checkpoint/write-safetensors.ts";
import { MemoryFolder, utf8 } from "./checkpoint-files.ts";
import { fixture, goldenTokens, readTensors, stories260K } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { sameRows } from "./support/tensors.ts";

const realHost: Host = { nowMs: () => performance.now(), pause: () => setImmediate() };
const gpt2Directory = fixture("goldens/gpt2");
let gpt2: Model;
let llama: Model;
let tokens: number[];

beforeAll(async () => {
  gpt2 = await open(gpt2Directory);
  llama = await open(fixture("goldens/llama"));
  tokens = await goldenTokens("gpt2");
});
afterAll(async () => {
  await gpt2.close();
  await llama.close();
});

/** A call that types forbid, as JavaScript makes it. */
const untyped = (value: unknown): never => value as never;

type ErrorClass = new (...args: never[]) => Error;
async function expectRefusal(call: () => Promise<unknown>, type: ErrorClass, code: ErrorCode, message: RegExp) {
  const error = await call().then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(type);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
}

describe("tokens", () => {
  it.each([
    ["no tokens", [], /^input: there must be something to run; got \[\]\./],
    ["a batch with an empty sequence", [[1, 2], []], /a sequence needs at least one token; got none\. Give a text/],
    ["a token beyond the vocabulary", [3, 71], /token ids are integers from 0 to 70; got 71/],
    ["a negative token", [-1], /from 0 to 70; got -1/],
    ["half a token", [1, 1.5], /from 0 to 70; got 1\.5/],
    ["a token that is no number", [1, untyped("2")], /from 0 to 70; got 2/],
    ["a token of NaN", [Number.NaN], /from 0 to 70; got NaN/],
  ])("refuses %s", async (_, input, message) => {
    await expectRefusal(() => gpt2.run(input), RequestError, "request.tokens", message);
  });

  it("refuses text for a model without a tokenizer, and says what to give instead", async () => {
    const message = /text needs a tokenizer\.json.*Give token ids instead/;
    await expectRefusal(() => gpt2.run("text"), CheckpointError, "checkpoint.tokenizer", message);
    await expectRefusal(() => gpt2.session().append("text"), CheckpointError, "checkpoint.tokenizer", message);
  });

  it("refuses more tokens than the context holds, those already cached included", async () => {
    const { contextLength } = gpt2.config;
    const full = Array.from({ length: contextLength }, (_, i) => i);
    expect((await gpt2.run(full)).logits.shape).toEqual([contextLength, gpt2.config.vocabSize]);
    const tooLong = /at most 40 tokens \(the model's context length\); got 0 cached and 41 new ones\. Shorten/;
    await expectRefusal(() => gpt2.run([...full, 0]), RequestError, "request.context", tooLong);

    const session = gpt2.session();
    await session.append(full.slice(1));
    const overflow = /got 39 cached and 2 new ones/;
    await expectRefusal(() => session.append([1, 2]), RequestError, "request.context", overflow);
    expect((await session.append([1])).logits.shape[0]).toBe(1);
    session.close();
  });

  it("ends generation where the context is full", async () => {
    const reasons: unknown[] = [];
    const prompt = Array.from({ length: gpt2.config.contextLength - 2 }, () => 5);
    for await (const { finishReason } of gpt2.generate(prompt, { stopTokens: [] })) reasons.push(finishReason);
    expect(reasons).toEqual([undefined, undefined, "context"]);
  });
});

describe("reads", () => {
  it.each([
    ["a misspelt point", "blocks.0.attn.pattren", "point.unknown", /Did you mean blocks\.0\.attn\.pattern\?/],
    ["a layer that is not there", "blocks.2.attn.z", "point.unknown", /^blocks\.2\.attn\.z: .*model\.points\(\) lists/],
    ["part of a name", "blocks.0.attn", "point.unknown", /^blocks\.0\.attn: /],
    ["a glob for nothing", "*.foo", "point.unknown", /^\*\.foo: .*Known: embed/],
    ["something that is no read", untyped(5), "point.unknown", /a point's name or \{ at, positions, before \}; got 5/],
    ["a key that reads have not", untyped({ at: "embed", pos: 3 }), "point.unknown", /got \{"at":"embed","pos":3\}/],
    ["a position after the last token", "embed@20", "point.positions", /^embed: .*rows \[0, 20\); got 20/],
    ["a position before the first token", "embed@-21", "point.positions", /rows \[0, 20\); got -21/],
    ["a range that ends too late", "embed@18:21", "point.positions", /rows \[0, 20\); got \[18,21\]/],
    ["a range that runs backwards", "embed@5:2", "point.positions", /got \[5,2\]/],
    ["positions that are no numbers", "embed@last", "point.positions", /written @7, @-1 or @2:5; got @last/],
    ["half positions", { at: "embed", positions: [0.5, 2] as const }, "point.positions", /got \[0\.5,2\]/],
    ["three positions", { at: "embed", positions: untyped([1, 2, 3]) }, "point.positions", /got \[1,2,3\]/],
    ["a position by name", { at: "embed", positions: untyped("last") }, "point.positions", /got "last"/],
    ["positions of logits", "probs@-1", "point.positions", /those of the logits option.*set logits: "last"/],
  ] as const)("refuses %s", async (_, read, code, message) => {
    await expectRefusal(() => gpt2.run(tokens, { read: [read] }), PointError, code, message);
  });

  it.each([
    ["blocks.0.attn.rotQ", () => gpt2, /positions are learned embeddings, q is not rotated/],
    ["blocks.*.attn.rotK", () => gpt2, /positions are learned embeddings, k is not rotated/],
    ["blocks.1.mlp.hook_pre_linear", () => gpt2, /the MLP is not gated/],
    ["hook_pos_embed", () => llama, /positions enter through the rotary embedding/],
    ["blocks.0.attn.qNorm.out", () => llama, /an architecture without it/],
  ])("says why a model does not have %s", async (read, model, reason) => {
    await expectRefusal(() => model().run([1], { read: [read] }), PointError, "point.absent", reason);
  });

  it("refuses positions that are cached already, and says so", async () => {
    const session = gpt2.session();
    await session.append(tokens.slice(0, 4));
    const message = /computed rows \[4, 6\); got 3\. Positions that are already cached are not computed again/;
    const append = () => session.append(tokens.slice(4, 6), { read: ["embed@3"] });
    await expectRefusal(append, PointError, "point.positions", message);
    expect((await session.append(tokens.slice(4, 6), { read: ["embed@4"] })).get("embed").shape).toEqual([1, 24]);
    session.close();
  });

  it("refuses reads of more than a gibibyte, with their sizes, and reserves no cache for them", async () => {
    const { model, reserved } = await openRecording();
    const many = Array.from({ length: 6000 }, () => [...tokens, ...tokens]);
    const message =
      /at most 1\.00 GiB; got 2\.\d+ GiB \(blocks\.0\.attn\.scores 146\.5 MiB, .*Read fewer points or positions/;
    await expectRefusal(() => model.run(many, { read: ["**"] }), PointError, "point.tooLarge", message);
    await model.run(tokens);
    await model.close();
    expect(reserved).toEqual([2]);
  });

  it("says what a run has instead of a point that was not read, and of which sequence of a batch", async () => {
    const run = await gpt2.run([tokens, tokens], { read: ["blocks.0.attn.z"] });
    expect(() => run.get("blocks.1.attn.z")).toThrow(/reads of blocks\.0\.attn\.z.*Did you mean blocks\.0\.attn\.z\?/);
    expect(() => run.get("blocks.0.attn.z")).toThrow(/a batch needs \{ sequence: i \}/);
    expect(() => run.get("blocks.0.attn.z", { sequence: 2 })).toThrow(/sequence must be 0 to 1; got 2/);
  });
});

describe("options", () => {
  const generate = async (options: object) => gpt2.generate(tokens, options).next();

  it.each([
    ["run", () => gpt2.run(tokens, untyped({ reads: ["embed"] })), /^run: reads: .*known\. Did you mean read\?/],
    ["run", () => gpt2.run(tokens, { logits: untyped("first") }), /must be all, last or none; got "first"/],
    ["run", () => gpt2.run(tokens, { read: untyped("embed") }), /^run: read: must be a list of points; got "embed"/],
    ["append", () => gpt2.session().append(tokens, untyped({ logit: "all" })), /Did you mean logits\?/],
    ["generate", () => generate({ maxToken: 3 }), /^generate: maxToken: .*Did you mean maxTokens\?/],
    ["generate", () => generate({ maxTokens: 0 }), /^maxTokens: must be a positive integer; got 0/],
    ["generate", () => generate({ temperature: -1 }), /^temperature: must be a number from 0 up; got -1/],
    ["generate", () => generate({ seed: 0.5 }), /^seed: must be an integer/],
    ["open", () => open(gpt2Directory, untyped({ dtype: "f64" })), /^open: dtype: the option must be known/],
    ["open", () => open(gpt2Directory, { precision: untyped("f16") }), /must be f32 or f64; got "f16"/],
  ])("of %s are refused where they are not known or make no sense (%#)", async (_, call, message) => {
    await expectRefusal(call, RequestError, "request.option", message);
  });

  it("refuses a backend that is not there", async () => {
    const call = () => open(gpt2Directory, { backend: "abacus" });
    await expectRefusal(call, BackendError, "backend.unsupported", /^backend abacus: .*only .*reference/);
  });
});

/** GPT-2, and the numbers of pages that its steps reserve in the cache. */
async function openRecording() {
  const reserved: number[] = [];
  const recording: Backend = {
    ...reference,
    load: (weights) => {
      const engine = reference.load(weights);
      return {
        compile: (tape) => engine.compile(tape),
        release: (program) => engine.release(program),
        reserve: (nPages) => {
          reserved.push(nPages);
          engine.reserve(nPages);
        },
        copyPages: (copies) => engine.copyPages(copies),
        run: (program, step, signal) => engine.run(program, step, signal),
        close: () => engine.close(),
      };
    },
  };
  return { model: await openModel({ folder: await openFolder(gpt2Directory) }, realHost, [recording]), reserved };
}

/** GPT-2 on a host whose steps pause after every operation; `onPause` is called at the given pause from now on. */
async function openPausing() {
  let [nowMs, nLeft, onPause] = [0, 0, () => {}];
  const host: Host = {
    nowMs: () => (nowMs += 1000),
    pause: async () => {
      if (--nLeft === 0) onPause();
      await setImmediate();
    },
  };
  const model = await openModel({ folder: await openFolder(gpt2Directory) }, host, [reference]);
  const atPause = (n: number, call: () => void): void => {
    [nLeft, onPause] = [n, call];
  };
  return { model, atPause };
}

describe("an aborted call", () => {
  it("rejects with the signal's reason, at once or in the middle, and leaves the session as it was", async () => {
    const reason = new Error("enough");
    const { model, atPause } = await openPausing();
    const session = model.session();
    const before = await session.append(tokens.slice(0, 5));
    const controller = new AbortController();
    atPause(20, () => controller.abort(reason));
    await expect(session.append(tokens.slice(5, 18), { signal: controller.signal })).rejects.toBe(reason);
    await expect(session.append(tokens.slice(5), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(model.run(tokens, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(session.tokens).toEqual(tokens.slice(0, 5));

    const after = await session.append(tokens.slice(5));
    await model.close();
    const whole = await gpt2.run(tokens);
    for (const [t] of tokens.entries()) {
      const row = t < 5 ? before.logits.row(t) : after.logits.row(t - 5);
      expect(sameRows(row, whole.logits.row(t))).toBe(true);
    }
  });

  it("ends generation by the signal's reason", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const seen: number[] = [];
    const generateAll = async () => {
      for await (const { token } of gpt2.generate(tokens, { signal: controller.signal, stopTokens: [] })) {
        if (seen.push(token) === 3) controller.abort(reason);
      }
    };
    await expect(generateAll()).rejects.toBe(reason);
    expect(seen).toHaveLength(3);
  });
});

describe("a closed model", () => {
  it("refuses to run, and leaves whole what it returned", async () => {
    const model = await open(gpt2Directory);
    const session = model.session();
    const run = await session.append(tokens, { read: ["**"] });
    const copies = run.points.map((name) => [name, run.get(name).data.slice()] as const);
    await model.run(tokens.toReversed(), { read: ["**"] });
    await model.close();
    await model.close();
    for (const [name, copy] of copies) expect(run.get(name).data).toEqual(copy);
    const message = /^model: the model must be open; got a closed one\. Open it again/;
    await expectRefusal(() => model.run(tokens), BackendError, "backend.state", message);
    await expectRefusal(() => session.append([1]), BackendError, "backend.state", message);
  });

  it("ends a run that is under way, also one that reads weights", async () => {
    const closedWhile = async (start: (model: Model, atPause: (n: number, call: () => void) => void) => void) => {
      const { model, atPause } = await openPausing();
      const run = model.run(tokens);
      start(model, atPause);
      return run;
    };
    const reading = () => closedWhile((model) => void setImmediate().then(() => model.close()));
    const computing = () => closedWhile((model, atPause) => atPause(20, () => void model.close()));
    for (const call of [reading, computing]) {
      await expectRefusal(call, BackendError, "backend.state", /the model must be open/);
    }
  });
});

describe("a session", () => {
  it("that is closed ends what is under way first, and then refuses to go on", async () => {
    const whole = await gpt2.run(tokens);
    const { model, atPause } = await openPausing();
    const session = model.session();
    atPause(10, () => session.close());
    const [closed, other] = await Promise.all([session.append(tokens), model.run(tokens.toReversed())]);
    expect(sameRows(closed.logits, whole.logits)).toBe(true);
    expect(other.logits.shape).toEqual(whole.logits.shape);
    const message = /^session: the session must be open; got closed/;
    await expectRefusal(() => session.append([1]), RequestError, "request.option", message);
    await model.close();
  });

  it("gives its cache back when it is closed, as a run does when it ends, whatever its end", async () => {
    const { model, reserved } = await openRecording();
    for (let i = 0; i < 3; i++) {
      await model.run(tokens); // 2 pages of 16 tokens
      await expect(model.run(tokens, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
      const session = model.session();
      await session.append(tokens.slice(0, 16));
      await session.append(tokens.slice(16));
      session.close();
    }
    await model.close();
    expect(reserved).toEqual([2, 2, 2, 2, 2, 2, 2, 2, 2]);
  });

  it("runs calls in the order in which they were made, also where nobody waits for one before the next", async () => {
    const session = gpt2.session();
    const calls = tokens.map((token) => session.append([token]));
    const whole = await gpt2.run(tokens);
    for (const [t, call] of calls.entries()) {
      expect(sameRows((await call).logits.row(0), whole.logits.row(t))).toBe(true);
    }
    session.close();
  });
});

describe("tensors", () => {
  it("share no element, also where two points are one value", async () => {
    const run = await llama.run([1, 2, 3], { read: ["**"] });
    const points = run.points.map((name) => run.get(name).data);
    for (const [i, data] of points.entries()) data.fill(i);
    for (const [i, data] of points.entries()) expect(new Set(data)).toEqual(new Set([i]));
  });
});

describe("a tied embedding", () => {
  it.each(["llama-bias-headdim-tied", "qwen2-tied", "qwen3-bias-tied", "gpt2"])(
    "of %s may be stored under the unembedding's name alone",
    async (name) => {
      const directory = fixture(`goldens/${name}`);
      const stored = [...(await readTensors(`${directory}/model.safetensors`))];
      const renamed = stored.map(([tensor, { shape, data }]) => {
        const isEmbedding = /(embed_tokens|wte)\.weight$/.test(tensor);
        return { name: isEmbedding ? "lm_head.weight" : tensor, shape, data: data as Float32Array };
      });
      expect(renamed.filter((tensor) => tensor.name === "lm_head.weight")).toHaveLength(1);
      const config = await (await openFolder(directory)).open("config.json");
      const files = {
        "config.json": (await config?.read(0, config.sizeBytes)) ?? utf8(""),
        "model.safetensors": encodeSafetensors(renamed),
      };
      const model = await openModel({ folder: new MemoryFolder(files) }, realHost, [reference]);
      const original = await open(directory);
      const input = (await goldenTokens(name)).slice(0, 4);
      expect(sameRows((await model.run(input)).logits, (await original.run(input)).logits)).toBe(true);
      await Promise.all([config?.close(), model.close(), original.close()]);
    },
  );
});

describe("an empty text", () => {
  it("runs from the beginning-of-sequence token, once", async () => {
    const model = await open(stories260K);
    const session = model.session();
    const run = await session.append("");
    expect(run.tokens).toEqual([1]);
    await session.append("Once");
    expect(session.tokens.filter((token) => token === 1)).toHaveLength(1);
    await model.close();
  });
});
