/** Downloads from a Hub that cuts, stalls, refuses and lies: the bytes are right in the end, or the error says what to do. */

import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Pulled } from "../node/hub/locate.ts";
import { type HubOptions, type HubProgress, pullFrom } from "../node/hub/pull.ts";
import type { HubSettings } from "../node/hub/settings.ts";
import { GolgiError } from "../node/index.ts";
import { FakeHub, type Fault, type Seen, settingsOf } from "./support/fake-hub.ts";

const REPOSITORY = "org/model";
const weights = Buffer.from(Array.from({ length: 60_000 }, (_, i) => (i * i) % 251));
const sha256 = createHash("sha256").update(weights).digest("hex");
const files = { "config.json": '{"model_type":"llama"}', "tokenizer.json": "{}", "model.safetensors": weights };

let root: string;
let cache: string;
let hub: FakeHub;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "golgi-hub-"));
});
beforeEach(async () => {
  cache = mkdtempSync(join(root, "cache-"));
  hub = await FakeHub.start();
  hub.put(REPOSITORY, { files });
});
afterEach(() => hub.close());
afterAll(() => rmSync(root, { recursive: true }));

function pull(options: HubOptions = {}, settings: Partial<HubSettings> = {}): Promise<Pulled> {
  return pullFrom(settingsOf(hub, cache, settings), { repository: REPOSITORY, revision: "main" }, options);
}

async function refusal(work: Promise<unknown>): Promise<GolgiError> {
  const error = await work.then(
    () => undefined,
    (cause) => cause,
  );
  expect(error).toBeInstanceOf(GolgiError);
  return error;
}

/** The first `n` requests that match get this fault. */
function faulty(n: number, isMeant: (seen: Seen) => boolean, fault: Fault): void {
  let nLeft = n;
  hub.fault = (seen) => (isMeant(seen) && nLeft-- > 0 ? fault : undefined);
}

const inStorage = ({ where }: Seen): boolean => where === "storage";
const ranges = (): (string | undefined)[] => hub.requests.filter(inStorage).map(({ range }) => range);
/** Cuts the connection once so many bytes of the weights have come. */
const cutAt =
  (...sizes: readonly number[]) =>
  ({ file, doneBytes }: HubProgress): void => {
    if (file === "model.safetensors" && sizes.includes(doneBytes)) hub.cut();
  };
const blob = (): string => join(cache, "models--org--model", "blobs", sha256);
const partial = (): string => `${blob()}.golgi.incomplete`;
const expectWhole = ({ path }: Pulled): void => {
  expect(readFileSync(join(path, "model.safetensors")).equals(weights)).toBe(true);
  expect(existsSync(partial())).toBe(false);
};

describe("a download", () => {
  it("goes on where the connection was cut, by Range, and has the right bytes", async () => {
    faulty(2, inStorage, { silentAfter: 20_000 });
    expectWhole(await pull({ onProgress: cutAt(20_000, 40_000) }));
    expect(ranges()).toEqual([undefined, "bytes=20000-", "bytes=40000-"]);
  });

  it("goes on where another run was stopped, and counts what was there", async () => {
    const controller = new AbortController();
    const reason = new Error("stopped");
    faulty(1, inStorage, { silentAfter: 30_000 });
    const onProgress = ({ file, doneBytes }: HubProgress): void => {
      if (file === "model.safetensors" && doneBytes > 0) controller.abort(reason);
    };
    await expect(pull({ onProgress, signal: controller.signal })).rejects.toBe(reason);
    const kept = statSync(partial()).size;
    expect(kept).toBeGreaterThan(0);
    expect(existsSync(blob())).toBe(false);

    hub.requests.length = 0;
    const seen: HubProgress[] = [];
    expectWhole(await pull({ onProgress: (progress) => seen.push(progress) }));
    expect(ranges()).toEqual([`bytes=${kept}-`]);
    expect(hub.downloads()).toEqual(["model.safetensors"]);
    expect(seen[0]).toEqual({ file: "model.safetensors", doneBytes: kept, totalBytes: 60_000 });
    expect(seen.at(-1)!.doneBytes).toBe(60_000);
  });

  it("starts anew where the server takes no notice of Range", async () => {
    await pull();
    rmSync(blob());
    writeFileSync(partial(), weights.subarray(0, 1000));
    faulty(1, inStorage, { ignoreRange: true });
    expectWhole(await pull());
  });

  it("takes a partial file that is whole without a request for it, and starts anew where one is too long", async () => {
    await pull();
    for (const [content, nRequests] of [
      [weights, 0],
      [Buffer.concat([weights, weights]), 1],
    ] as const) {
      rmSync(blob());
      writeFileSync(partial(), content);
      hub.requests.length = 0;
      expectWhole(await pull());
      expect(ranges()).toHaveLength(nRequests);
    }
  });

  it("brings a file again whose size is not that of the listing", async () => {
    await pull();
    writeFileSync(blob(), "short");
    expectWhole(await pull());
  });

  it("asks for no file that is here", async () => {
    await pull();
    hub.requests.length = 0;
    const onProgress = (): never => expect.unreachable("nothing is downloaded");
    expectWhole(await pull({ onProgress }));
    expect(hub.downloads()).toEqual([]);
  });

  it("waits as long as Retry-After says and no longer, and sends API requests again too", async () => {
    const waits = ["0", new Date(0).toUTCString(), "0"];
    hub.fault = ({ path }) => {
      const wait = path.includes("/api/") ? waits.shift() : undefined;
      return wait === undefined ? undefined : { status: 429, headers: { "retry-after": wait } };
    };
    expectWhole(await pull({}, { retry: { nAttempts: 4, delayMs: 1e6, maxDelayMs: 1e6, silenceMs: 5000 } }));
    expect(waits).toEqual([]);
  });

  it("does not wait for a server that asks for too long", async () => {
    faulty(1, () => true, { status: 429, headers: { ratelimit: '"api";r=0;t=300' } });
    expect((await refusal(pull())).message).toContain("the Hub must send what is asked for; got 429");
    expect(hub.requests).toHaveLength(1);
  });

  it("takes silence for a cut", async () => {
    faulty(1, inStorage, { silentAfter: 10_000 });
    const retry = { nAttempts: 2, delayMs: 1, maxDelayMs: 1000, silenceMs: 200 };
    expectWhole(await pull({}, { retry }));
  });

  it("is given up after some failures in a row, and keeps what has come", async () => {
    hub.fault = (seen) => {
      if (!inStorage(seen)) return undefined;
      return seen.range === undefined ? { silentAfter: 9_000 } : { status: 502 };
    };
    const { code, message } = await refusal(pull({ onProgress: cutAt(9_000) }));
    expect(code).toBe("checkpoint.download");
    expect(message).toMatch(/got 502 of 127\.0\.0\.1:\d+\. Try again: what has come is kept\./);
    expect(ranges()).toEqual([undefined, "bytes=9000-", "bytes=9000-"]);
    expect(statSync(partial()).size).toBe(9_000);
  });

  it("asks the endpoint for a new address where the storage's has grown too old", async () => {
    faulty(1, inStorage, { status: 403 });
    expectWhole(await pull());
    expect(hub.downloads().filter((path) => path === "model.safetensors")).toHaveLength(2);
  });

  it.each(["model.safetensors", "tokenizer.json"] as const)(
    "refuses %s with a wrong hash, and deletes it",
    async (name) => {
      const wrong = Buffer.from(files[name]);
      wrong[1] ^= 1;
      const isMeant = (seen: Seen) => (name === "model.safetensors" ? inStorage(seen) : seen.path.endsWith(name));
      faulty(1, isMeant, { body: wrong });
      const { code, message } = await refusal(pull());
      expect(code).toBe("checkpoint.download");
      expect(message).toMatch(new RegExp(`${name} must have the hash [0-9a-f]+; got [0-9a-f]+, which is deleted\\.`));
      expect(readdirSync(join(cache, "models--org--model", "blobs")).filter((n) => n.includes("incomplete"))).toEqual(
        [],
      );
      expectWhole(await pull());
    },
  );

  it("refuses a file that is longer or shorter than the listing says", async () => {
    faulty(1, inStorage, { body: Buffer.concat([weights, weights]) });
    expect((await refusal(pull())).message).toContain(
      "must be as long as the listing says; got more than its 60000 bytes",
    );
    faulty(9, inStorage, { body: weights.subarray(0, 100) });
    expect((await refusal(pull())).message).toContain("got 416");
    hub.fault = () => undefined;
    expectWhole(await pull());
  });

  it("stops the other files where one fails", async () => {
    faulty(1, ({ path }) => path.endsWith("tokenizer.json"), { body: "[]" });
    await refusal(pull());
    expect(hub.downloads()).not.toContain("model.safetensors");
    expect(readdirSync(join(cache, ".locks", "models--org--model"))).toEqual([]);
  });
});

describe("the access token", () => {
  const token = "hf_secret";

  it("goes to the endpoint alone: not to where it redirects, nor where its listing goes on", async () => {
    const other = await FakeHub.start();
    other.put(REPOSITORY, { files });
    const listing = `/api/models/${REPOSITORY}/tree/${hub.commitOf(REPOSITORY)}?recursive=true&expand=false`;
    faulty(1, ({ path }) => path.includes("/tree/"), { headers: { link: `<${other.url}${listing}>; rel="next"` } });
    expectWhole(await pull({ token }));
    const own = hub.requests.filter(({ where }) => where === "endpoint");
    expect(own.map(({ authorization }) => authorization)).toEqual(own.map(() => `Bearer ${token}`));
    expect(hub.requests.filter(inStorage).map(({ authorization }) => authorization)).toEqual([undefined]);
    expect(other.requests.map(({ authorization }) => authorization)).toEqual([undefined]);
    await other.close();
  });

  it("opens what is private or gated, from the option or the environment", async () => {
    hub.put(REPOSITORY, { files, privateTo: token });
    expectWhole(await pull({ token }));
    rmSync(cache, { recursive: true });
    hub.put(REPOSITORY, { files, gatedTo: token });
    expectWhole(await pull({}, { token }));
  });

  it("is in no message", async () => {
    hub.put(REPOSITORY, { files, privateTo: "another" });
    const error = await refusal(pull({ token }));
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(token);
  });
});

describe("what is refused", () => {
  it.each([
    [
      "gated",
      { files, gatedTo: "hf_x" },
      undefined,
      "checkpoint.access",
      /licence must be accepted .* 401 \(GatedRepo\)\. Accept it on .*org\/model, and set HF_TOKEN/,
    ],
    [
      "gated",
      { files, gatedTo: "hf_x" },
      "hf_y",
      "checkpoint.access",
      /403 \(GatedRepo\)\. Accept it on .*, and use a token of that account/,
    ],
    [
      "private",
      { files, privateTo: "hf_x" },
      undefined,
      "checkpoint.access",
      /must exist.* 401 .*a private repository needs HF_TOKEN, a local path must exist/,
    ],
    [
      "private",
      { files, privateTo: "hf_x" },
      "hf_y",
      "checkpoint.missing",
      /must exist.* 404 .*a private repository needs a token that may read it/,
    ],
    ["pickled", { files: { "pytorch_model.bin": "" } }, undefined, "checkpoint.missing", /got only pytorch_model\.bin/],
    [
      "foreign",
      { files: { ...files, "config.json": '{"model_type":"bloom"}' } },
      undefined,
      "config.unsupported",
      /config\.json: model_type/,
    ],
  ] as const)("a %s repository: %#", async (_, repository, token, code, message) => {
    hub.put(REPOSITORY, repository);
    const error = await refusal(pull({ token }));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(hub.requests.filter(inStorage)).toEqual([]);
  });

  it("a token that is not valid", async () => {
    faulty(1, () => true, { status: 401 });
    expect((await refusal(pull({ token: "hf_old" }))).message).toMatch(
      /the access token must be valid .* got 401\. Check HF_TOKEN/,
    );
  });

  it("a revision that is not there", async () => {
    const { code, message } = await refusal(pull({ revision: "v9" }));
    expect(code).toBe("checkpoint.missing");
    expect(message).toContain("the revision must be a branch, a tag or a commit of it; got 404 (RevisionNotFound)");
  });

  it.each([
    ["no JSON", "<html>"],
    ["no commit", '{"sha":"../../x"}'],
  ])("an endpoint that answers with %s", async (_, body) => {
    faulty(1, ({ path }) => path.includes("/revision/"), { body });
    expect((await refusal(pull())).message).toContain("the endpoint must answer as the Hub does");
  });

  it.each([
    ["an etag that is no hash", { oid: "../../../evil" }],
    ["a size that is none", { size: -1 }],
    ["a name with control characters", { path: "\u001b[31m.safetensors" }],
  ])("a listing with %s", async (_, wrong) => {
    const entry = { type: "file", path: "model.safetensors", size: 1, oid: "a".repeat(40), ...wrong };
    faulty(1, ({ path }) => path.includes("/tree/"), { body: JSON.stringify([entry]) });
    expect((await refusal(pull())).message).toContain("the endpoint must answer as the Hub does; got a file");
  });

  it.each(["../../../evil.gguf", "/evil.gguf", "a/../../evil.gguf", "a\\..\\evil.gguf", "C:evil.gguf", "a//evil.gguf"])(
    "the file name %s",
    async (path) => {
      hub.put(REPOSITORY, { files: { [path]: "GGUF" } });
      expect((await refusal(pull())).message).toContain("its files must have plain names");
      expect(readdirSync(root).filter((name) => name.includes("evil"))).toEqual([]);
      expect(hub.downloads()).toEqual([]);
    },
  );

  it("a cache that cannot be written", async () => {
    writeFileSync(join(cache, "models--org--model"), "a file in its way");
    const { code, message } = await refusal(pull());
    expect(code).toBe("checkpoint.write");
    expect(message).toMatch(/the cache must be readable and writable; got E\w+\. .*HF_HUB_CACHE/);
  });
});

describe("several at once", () => {
  it("download each file once, and all have it", async () => {
    const pulled = await Promise.all([pull(), pull(), pull(), pull()]);
    for (const one of pulled) expectWhole(one);
    expect(ranges()).toEqual([undefined]);
  });

  it("do not wait for a lock that a killed process left behind", async () => {
    const locks = join(cache, ".locks", "models--org--model");
    mkdirSync(locks, { recursive: true });
    const lock = join(locks, `${sha256}.golgi.lock`);
    writeFileSync(lock, "");
    utimesSync(lock, 0, 0);
    expectWhole(await pull());
    expect(readdirSync(locks)).toEqual([]);
  });

  it("stop waiting where they are aborted", async () => {
    const locks = join(cache, ".locks", "models--org--model");
    mkdirSync(locks, { recursive: true });
    writeFileSync(join(locks, `${sha256}.golgi.lock`), "");
    await expect(pull({ signal: AbortSignal.timeout(300) })).rejects.toMatchObject({ name: "TimeoutError" });
  });
});
