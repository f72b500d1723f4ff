import { GolgiError } from "../../src/index.ts";
import { type CachedRepository, cachedRepositories } from "./cache.ts";
import { locateCached, readJson } from "./locate.ts";
import { isWholeFolder, type ListedFile, weightsFiles } from "./select.ts";
import type { HubSettings } from "./settings.ts";

/** A model that the cache holds, or of which it holds a part. */
export interface CachedModel {
  /** What `open` takes. */
  readonly name: string;
  readonly repository: string;
  readonly commit: string | undefined;
  /** Branches and tags that stood for the commit when they were last asked. */
  readonly revisions: readonly string[];
  readonly format: "safetensors" | "gguf" | undefined;
  /** Of the weights, as config.json or the file's name tells it. */
  readonly type: string | undefined;
  readonly sizeBytes: number;
  readonly complete: boolean;
  /** Its folder or its weights file; undefined where it is not complete. */
  readonly path: string | undefined;
}

/** The types that files are named after: Q4_K_M, IQ2_XXS, UD-Q4_K_XL, BF16. */
const TYPE_IN_NAME = /(?:^|[/._-])((?:UD-)?(?:I?Q\d\w*|TQ\d_\d|MXFP4\w*|BF16|F16|F32|FP16|FP32))(?=[.-]|$)/i;

/** As config.json writes types. */
const TYPES: Readonly<Record<string, string>> = { float32: "f32", float16: "f16", bfloat16: "bf16" };

/** All models in the cache that golgi may open, by repository; what else is there is left out. */
export async function listCachedModels(settings: HubSettings): Promise<CachedModel[]> {
  const lists = await Promise.all((await cachedRepositories(settings)).map(listModels));
  return lists.flat();
}

async function listModels(cache: CachedRepository): Promise<CachedModel[]> {
  const refs = await cache.refs();
  const models: CachedModel[] = [];
  for (const commit of await cache.snapshots()) {
    const snapshot = { cache, commit, revisions: refs.get(commit) ?? [], files: await cache.listSnapshot(commit) };
    for (const file of modelFiles(snapshot.files)) models.push(await describe(snapshot, file));
  }
  const partialBytes = await cache.allPartialBytes();
  if (partialBytes === 0 || models.some(({ complete }) => !complete)) return models;
  const { repository } = cache;
  // Which file of which commit is on its way is written nowhere.
  const unknown = { commit: undefined, revisions: [], format: undefined, type: undefined, path: undefined };
  return [...models, { name: repository, repository, ...unknown, sizeBytes: partialBytes, complete: false }];
}

interface Snapshot {
  readonly cache: CachedRepository;
  readonly commit: string;
  readonly revisions: readonly string[];
  readonly files: readonly ListedFile[];
}

/** The weights files that stand for one model each; undefined for the one of the whole folder. */
function modelFiles(files: readonly ListedFile[]): (string | undefined)[] {
  const choices = weightsFiles(files).map(({ path }) => path);
  return isWholeFolder(files) ? [undefined, ...choices.filter(isGguf)] : choices;
}

async function describe({ cache, commit, revisions, files }: Snapshot, file: string | undefined): Promise<CachedModel> {
  const { repository } = cache;
  const revision = revisions.includes("main") ? "main" : (revisions[0] ?? commit.slice(0, 12));
  const name = `${repository}${revision === "main" ? "" : `@${revision}`}${file === undefined ? "" : `:${file}`}`;
  const format = isGguf(file) ? ("gguf" as const) : ("safetensors" as const);
  const type = isGguf(file) ? TYPE_IN_NAME.exec(file)?.[1] : await configType(cache, commit);
  const common = { name, repository, commit, revisions, format, type };
  try {
    const { path, sizeBytes } = await locateCached(cache, { repository, revision, file }, commit, files);
    return { ...common, sizeBytes, complete: true, path };
  } catch (error) {
    if (!(error instanceof GolgiError)) throw error;
    const ofFormat = files.filter(({ path }) => path.endsWith(`.${format}`));
    const sizeBytes = ofFormat.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { ...common, sizeBytes, complete: false, path: undefined };
  }
}

async function configType(cache: CachedRepository, commit: string): Promise<string | undefined> {
  try {
    const config = await readJson(cache, commit, "config.json");
    const { dtype, torch_dtype, quantization_config } = config as Record<string, unknown>;
    const type = (quantization_config as { quant_method?: unknown } | undefined)?.quant_method ?? dtype ?? torch_dtype;
    return typeof type === "string" ? (TYPES[type] ?? type) : undefined;
  } catch {
    // The type is a courtesy; what is wrong with the file, `open` says.
    return undefined;
  }
}

function isGguf(path: string | undefined): path is string {
  return path?.toLowerCase().endsWith(".gguf") === true;
}
