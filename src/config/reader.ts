import { ConfigError, suggest } from "../errors.ts";
import { BOOKKEEPING } from "./bookkeeping.ts";

/** A parsed JSON object, as a model's config.json is. */
export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Far beyond any model. */
const MAX_LAYERS = 10_000;

/**
 * Reads a config.json key by key and remembers which ones were read, so that in the end nothing in it was left
 * unread: a key that golgi does not understand is an error, since ignoring it could mean other numbers.
 */
export class ConfigReader {
  readonly fileName: string;
  readonly #json: Json;
  readonly #names: ReadonlyMap<string, string>;
  readonly #read = new Set<string>();

  /** `names`: what the file itself calls a key, for messages, where it does not call it that. */
  constructor(json: Json, fileName = "config.json", names: ReadonlyMap<string, string> = new Map()) {
    this.#json = json;
    this.fileName = fileName;
    this.#names = names;
  }

  /** Everything that it reads from. */
  get json(): Json {
    return this.#json;
  }

  /** The path of errors about a key. */
  pathOf(key: string): string {
    return `${this.fileName}: ${this.#nameOf(key)}`;
  }

  /** Whether the key is there and not null; Hugging Face writes null for "not set". */
  has(key: string): boolean {
    return Object.hasOwn(this.#json, key) && this.#json[key] !== null;
  }

  /** The raw value, undefined where it is absent or null. */
  raw(key: string): unknown {
    this.#read.add(key);
    return this.has(key) ? this.#json[key] : undefined;
  }

  /** A positive integer; the default, if any, stands in for an absent or null key. */
  size(key: string, fallback?: number): number {
    return this.#checked(key, fallback, "a positive integer", (v) => Number.isSafeInteger(v) && (v as number) > 0);
  }

  optionalSize(key: string): number | undefined {
    return this.has(key) ? this.size(key) : this.#absent(key);
  }

  /** A positive integer, or undefined for null ("none"); the default stands in only where the key is absent. */
  sizeOrNull(key: string, fallback: number): number | undefined {
    return Object.hasOwn(this.#json, key) ? this.optionalSize(key) : this.size(key, fallback);
  }

  /** How many layers: bounded, since each takes memory before any weight of it has been found. */
  layerCount(key: string): number {
    return this.#layersWithin(key, this.size(key));
  }

  /** How many layers beside those, from 0 up. */
  furtherLayerCount(key: string, fallback: number): number {
    return this.#layersWithin(key, this.count(key, fallback));
  }

  #layersWithin(key: string, nLayers: number): number {
    if (nLayers > MAX_LAYERS) throw this.invalid(key, `at most ${MAX_LAYERS}`, nLayers);
    return nLayers;
  }

  /** An integer from 0 up. */
  count(key: string, fallback?: number): number {
    return this.#checked(key, fallback, "an integer from 0 up", (v) => Number.isSafeInteger(v) && (v as number) >= 0);
  }

  positive(key: string, fallback?: number): number {
    return this.#checked(key, fallback, "a positive number", (v) => Number.isFinite(v) && (v as number) > 0);
  }

  /** A positive number, or undefined for null ("none"); the default, if any, stands in only where the key is absent. */
  positiveOrNull(key: string, fallback?: number): number | undefined {
    const isGiven = Object.hasOwn(this.#json, key) || fallback === undefined;
    return isGiven && !this.has(key) ? this.#absent(key) : this.positive(key, fallback);
  }

  flag(key: string, fallback?: boolean): boolean {
    return this.#checked(key, fallback, "true or false", (v) => typeof v === "boolean");
  }

  choice<T extends string>(key: string, choices: readonly T[], fallback?: T): T {
    return this.#checked(key, fallback, `one of ${choices.join(", ")}`, (v) => choices.includes(v as T));
  }

  /** An object of its own keys, under the path `key`; undefined where absent or null. */
  object(key: string): ConfigReader | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw this.invalid(key, "an object", value);
    return new ConfigReader(value, this.pathOf(key));
  }

  /** So many positive numbers. */
  positives(key: string, length: number): readonly number[] {
    const isPositive = (v: unknown): boolean => Number.isFinite(v) && (v as number) > 0;
    const fits = (v: unknown): boolean => Array.isArray(v) && v.length === length && v.every(isPositive);
    return this.#checked<readonly number[]>(key, undefined, `${length} positive numbers`, fits);
  }

  /** A key that must have this value where it is set: anything else would change what the model computes. */
  require(key: string, value: boolean | number | string, why: string): void {
    const found = this.raw(key);
    if (found === undefined || found === value) return;
    throw new ConfigError("config.unsupported", {
      path: this.pathOf(key),
      expected: `only ${value} is supported (${why})`,
      got: JSON.stringify(found),
    });
  }

  /** For errors about a key's value. */
  invalid(key: string, expected: string, got: unknown): ConfigError {
    const found = got === undefined ? "nothing" : JSON.stringify(got);
    return new ConfigError("config.value", {
      path: this.pathOf(key),
      expected: `must be ${expected}`,
      got: found.length > 80 ? `${found.slice(0, 77)}...` : found,
    });
  }

  /** Every key must have been read, be bookkeeping, or be in `ignore`; the ignored ones are returned. */
  finish(ignore: readonly string[] = []): string[] {
    const unread = Object.keys(this.#json).filter((key) => !this.#read.has(key) && !Object.hasOwn(BOOKKEEPING, key));
    const unknown = unread.filter((key) => !ignore.includes(key) && this.has(key));
    if (unknown.length > 0) {
      const [key] = unknown;
      throw new ConfigError("config.key", {
        path: `${this.fileName}: ${unknown.map((name) => this.#nameOf(name)).join(", ")}`,
        expected: "every key must be understood, for it may change what the model computes",
        got: JSON.stringify(this.#json[key])?.slice(0, 80),
        remedy: `${suggest(
          key,
          Array.from(this.#read, (name) => this.#nameOf(name)),
        )} If it is harmless, open with ignore: [${unknown.map((k) => `"${k}"`).join(", ")}].`,
      });
    }
    return unread.filter((key) => ignore.includes(key));
  }

  #nameOf(key: string): string {
    return this.#names.get(key) ?? key;
  }

  #absent(key: string): undefined {
    this.#read.add(key);
    return undefined;
  }

  #checked<T>(key: string, fallback: T | undefined, expected: string, fits: (value: unknown) => boolean): T {
    const value = this.raw(key) ?? fallback;
    if (!fits(value)) throw this.invalid(key, expected, value);
    return value as T;
  }
}
