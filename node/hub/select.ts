/** Which files of a repository, or of its copy in the cache, make the model that a name means. */

import { CheckpointError, formatBytes } from "../../src/index.ts";
import type { HubName } from "./name.ts";

export interface ListedFile {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface Selection<F extends ListedFile> {
  /** Small files that describe the model. */
  readonly texts: readonly F[];
  readonly weights: readonly F[];
  /** One of `texts`; it names further weights. */
  readonly index?: F;
  /** What to open below the root: a weights file, or the root itself where undefined. */
  readonly opens?: string;
}

const CONFIG = "config.json";
const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const TEXTS = [
  ...["generation_config.json", "tokenizer.json", "tokenizer_config.json"],
  ...["chat_template.jinja", "chat_template.json"],
];

const PART = /-(\d{5})-of-(\d{5})\.(gguf|safetensors)$/i;
/** GGUF files that are no language model of their own: vision projectors, importance matrices. */
const NO_MODEL = /(^|[/._-])(mmproj|imatrix)[._-]/i;
/** Safetensors beside a model: the same weights in their makers' own layout, and adapters. */
const OTHER_LAYOUT = /^(consolidated|adapter_model)[.-]/;
const PICKLED = /\.(bin|pth|pt|ckpt)$/i;

/** The files to have; `where` says in messages whose list this is. Refuses what leaves a choice open. */
export function selectFiles<F extends ListedFile>(name: HubName, files: readonly F[], where: string): Selection<F> {
  if (name.file === undefined && isWholeFolder(files)) return wholeFolder(files, where);
  const choices = weightsFiles(files);
  const file =
    name.file === undefined ? onlyChoice(choices, files, where) : namedChoice(name.file, choices, files, where);
  const isGguf = /\.gguf$/i.test(file.path);
  const texts = textsBeside(file, files, isGguf ? TEXTS : [CONFIG, ...TEXTS]);
  if (!isGguf) requireConfig(texts, where);
  return { texts, weights: isGguf ? partsOf(file, files, where) : [file], opens: file.path };
}

/** Whether the files are one model in the layout of Hugging Face, as `open` takes a folder. */
export function isWholeFolder(files: readonly ListedFile[]): boolean {
  return files.some(({ path }) => path === SINGLE || path === INDEX);
}

/** The models among the files, each of which can be named: GGUF files (of several parts the first) and safetensors. */
export function weightsFiles<F extends ListedFile>(files: readonly F[]): F[] {
  return files.filter(({ path }) => {
    const [, index = "00001"] = PART.exec(path) ?? [];
    if (/\.gguf$/i.test(path)) return index === "00001" && !NO_MODEL.test(path);
    return /^[^/]+\.safetensors$/i.test(path) && !PART.test(path) && !OTHER_LAYOUT.test(path);
  });
}

/** The shards that an index names, which must all be there. */
export function selectShards<F extends ListedFile>(index: unknown, files: readonly F[], where: string): F[] {
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null) {
    throw new CheckpointError("checkpoint.header", {
      path: `${where}: ${INDEX}`,
      expected: "it must have a weight_map",
    });
  }
  const names = new Set(Object.values(map).map(String));
  const shards = files.filter(({ path }) => /^[^/]+\.safetensors$/.test(path));
  return findAll([...names].sort(), shards, where);
}

/** All parts of a GGUF model, by the first one's name. */
function partsOf<F extends ListedFile>(file: F, files: readonly F[], where: string): F[] {
  const nParts = Number(PART.exec(file.path)?.[2] ?? 1);
  if (nParts === 1) return [file];
  const count = `${nParts}`.padStart(5, "0");
  const names = Array.from({ length: nParts }, (_, i) =>
    file.path.replace(PART, `-${`${i + 1}`.padStart(5, "0")}-of-${count}.$3`),
  );
  return findAll(names, files, where);
}

function wholeFolder<F extends ListedFile>(files: readonly F[], where: string): Selection<F> {
  const texts = files.filter(({ path }) => path === CONFIG || TEXTS.includes(path));
  requireConfig(texts, where);
  const single = files.filter(({ path }) => path === SINGLE);
  if (single.length > 0) return { texts, weights: single };
  const index = files.find(({ path }) => path === INDEX) as F;
  return { texts: [...texts, index], weights: [], index };
}

function textsBeside<F extends ListedFile>(file: F, files: readonly F[], names: readonly string[]): F[] {
  const folder = file.path.slice(0, file.path.lastIndexOf("/") + 1);
  return files.filter(({ path }) => path.startsWith(folder) && names.includes(path.slice(folder.length)));
}

function onlyChoice<F extends ListedFile>(choices: readonly F[], files: readonly F[], where: string): F {
  if (choices.length === 1) return choices[0];
  const expected = "it must hold one model, as safetensors or as a GGUF file";
  if (choices.length > 1) {
    throw refuse(where, expected, list(choices, choices, files), "Name one of them behind a colon: org/name:file.");
  }
  const pickled = files.filter(({ path }) => PICKLED.test(path));
  if (pickled.length > 0) {
    const got = `only ${pickled.map(({ path }) => path).join(", ")}`;
    const remedy = "Look for the model in safetensors or GGUF, or convert it: these formats can hold programs.";
    throw refuse(where, expected, got, remedy);
  }
  throw refuse(where, expected, "no weights", "Check the name.");
}

/** The file of that name; else the only one with that part between separators (Q4_0), else with it anywhere. */
function namedChoice<F extends ListedFile>(part: string, choices: readonly F[], files: readonly F[], where: string): F {
  const wanted = part.toLowerCase();
  const escaped = wanted.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const delimited = new RegExp(`(^|[/.-])${escaped}($|[/.-])`);
  const short = shortNames(choices);
  const tests: ((path: string, i: number) => boolean)[] = [
    (path) => path === wanted,
    (_, i) => short[i].toLowerCase() === wanted,
    (path) => delimited.test(path),
    (path) => path.includes(wanted),
  ];
  const matches = tests
    .map((test) => choices.filter(({ path }, i) => test(path.toLowerCase(), i)))
    .find((found) => found.length > 0);
  if (matches?.length === 1) return matches[0];
  const expected = `${JSON.stringify(part)} must tell one of its models from the others`;
  throw refuse(where, expected, list(matches ?? choices, choices, files), "Name one of them.");
}

function findAll<F extends ListedFile>(names: readonly string[], files: readonly F[], where: string): F[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const missing = names.filter((name) => !byPath.has(name));
  if (missing.length === 0) return names.map((name) => byPath.get(name) as F);
  const shown = missing.slice(0, 4).join(", ");
  const got = `${missing.length} of ${names.length} missing: ${shown}${missing.length > 4 ? ", ..." : ""}`;
  throw refuse(where, "all parts of the model must be there", got, "Pull it again.");
}

function requireConfig(texts: readonly ListedFile[], where: string): void {
  if (texts.some(({ path }) => path === CONFIG)) return;
  throw refuse(where, `${CONFIG} must be there beside the safetensors`, "none", "Check the name.");
}

/** Some of the choices, as they can be named, with the sizes of all their parts. */
function list<F extends ListedFile>(some: readonly F[], choices: readonly F[], files: readonly F[]): string {
  if (some.length === 0) return "none";
  const short = shortNames(choices);
  const models = some.map((choice) => {
    const { path } = choice;
    const model = path.replace(PART, "");
    const parts = files.filter(
      (file) => file.path === path || (PART.test(file.path) && file.path.replace(PART, "") === model),
    );
    return `${short[choices.indexOf(choice)]} (${formatBytes(parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))})`;
  });
  return `${some.length}: ${models.join(", ")}`;
}

/** What tells files from one another: their names without the beginning that they share, nor the ending of GGUF files. */
function shortNames(files: readonly ListedFile[]): string[] {
  const names = files.map(({ path }) => path.replace(/(-\d{5}-of-\d{5})?\.gguf$/i, ""));
  const [first = "", last = ""] = [names.toSorted()[0], names.toSorted().at(-1)];
  let nShared = 0;
  while (nShared < first.length && first[nShared] === last[nShared]) nShared++;
  const prefix = /^.*[/.-]/.exec(first.slice(0, nShared))?.[0] ?? "";
  return files.length < 2 ? names : names.map((name) => name.slice(prefix.length));
}

function refuse(path: string, expected: string, got: string, remedy: string): CheckpointError {
  return new CheckpointError("checkpoint.missing", { path, expected, got, remedy });
}
