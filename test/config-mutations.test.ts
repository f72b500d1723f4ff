/** Configs of every family with experts, latents or norms of their own, with each value changed: understood or refused in words. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { BOOKKEEPING } from "../src/config/bookkeeping.ts";
import { CheckpointError, ConfigError } from "../src/errors.ts";
import { openModel, reference } from "../src/index.ts";
import { describeConfig } from "../src/views/info.ts";
import { MemoryFolder, utf8 } from "./checkpoint-files.ts";
import { fixture } from "./support/fixtures.ts";

const NAMES = [
  ...["mixtral-window-tied", "qwen2-moe", "qwen3-moe-packed", "olmoe", "gpt-oss", "gpt-oss-mxfp4"],
  ...["deepseek-v2", "deepseek-v3", "gemma", "gemma2", "gemma3", "phi3-longrope-short", "olmo2"],
];

const DELETED = Symbol("deleted");
const VALUES = [0, -1, 1.5, 7, 1e12, 1e300, Number.NaN, null, true, "x", [], {}, DELETED];

/** Sentences of what holds between sizes, which name none of the keys. */
const BETWEEN_SIZES =
  /^config\.json: (a token must go to no more experts|all layers together|the query heads must|the width must)/;

/** Keys that an error may name though no config here has them: other names of one, or what follows from others. */
const OTHER_NAMES = ["num_experts", "rope_scaling", "head_dim"];

type Json = Record<string, unknown>;
type Path = readonly string[];

const folderOf = (name: string): string => fixture(`goldens/${name}`);
const configOf = (name: string): Json => JSON.parse(readFileSync(`${folderOf(name)}/config.json`, "utf8"));

/** Every key, and every key and element within it. */
function pathsOf(json: object): Path[] {
  return Object.entries(json).flatMap(([key, value]): Path[] => [
    [key],
    ...(typeof value === "object" && value !== null ? pathsOf(value).map((path) => [key, ...path]) : []),
  ]);
}

function changed(json: Json, path: Path, value: unknown): Json {
  const result = structuredClone(json);
  const holder = path.slice(0, -1).reduce((object, key) => object[key] as Json, result);
  const key = path[path.length - 1] as string;
  if (value !== DELETED) holder[key] = value;
  else if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
  return result;
}

const written = (path: Path, value: unknown): string =>
  `${path.join(".")}: ${value === DELETED ? "deleted" : Number.isNaN(value) ? "NaN" : JSON.stringify(value)}`;

function mutations(name: string): { what: string; path: Path; json: Json }[] {
  const json = configOf(name);
  return pathsOf(json).flatMap((path) =>
    VALUES.map((value) => ({ what: written(path, value), path, json: changed(json, path, value) })),
  );
}

/** Undefined where the config makes a model; it is no model that anything is known of, but all its shapes fit. */
function refusal(json: Json): unknown {
  try {
    describeConfig(json, "config.json");
    return undefined;
  } catch (error) {
    return error;
  }
}

describe.each(NAMES)("%s", (name) => {
  it("is a model, or is refused with the key that is at fault", () => {
    // What goes with a key may be at fault as well.
    const keys = new Set([...pathsOf(configOf(name)).flat(), ...OTHER_NAMES]);
    for (const { what, json } of mutations(name)) {
      const error = refusal(json);
      if (error === undefined) continue;
      expect(error, what).toBeInstanceOf(ConfigError);
      const { message } = error as ConfigError;
      const [file, ...parts] = message.split(": ");
      expect(file, what).toBe("config.json");
      expect(BETWEEN_SIZES.test(message) || parts.some((part) => keys.has(part)), `${what}: ${message}`).toBe(true);
    }
  });

  it("opens with its weights and runs, or is refused by what they lack", async () => {
    const files = readdirSync(folderOf(name)).filter((file) => file.startsWith("model"));
    const weights = Object.fromEntries(files.map((file) => [file, readFileSync(`${folderOf(name)}/${file}`)]));
    const host = { nowMs: () => performance.now(), pause: async () => undefined };
    let nOpened = 0;
    const making = mutations(name).filter(({ path: [key] }) => !Object.hasOwn(BOOKKEEPING, key as string));
    // Running takes longest, so of those that make a model every third is run.
    const models = making.filter(({ json }) => refusal(json) === undefined).filter((_, i) => i % 3 === 0);
    for (const { what, json } of models) {
      const folder = new MemoryFolder({ ...weights, "config.json": utf8(JSON.stringify(json)) });
      const model = await openModel({ folder }, host, [reference]).catch((error: unknown) => error);
      if (model instanceof Error) {
        expect(model instanceof CheckpointError || model instanceof ConfigError, `${what}: ${model.message}`).toBe(
          true,
        );
        continue;
      }
      const opened = model as Awaited<ReturnType<typeof openModel>>;
      await opened.run([1, 2, 3]);
      await opened.close();
      nOpened++;
    }
    expect(nOpened).toBeGreaterThan(3);
  });
});
