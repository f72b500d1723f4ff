import type { Backend } from "../backends/contract.ts";
import { BackendError, RequestError } from "../errors.ts";
import type { Host } from "../host.ts";
import { PointCatalog } from "../points/catalog.ts";
import type { Precision } from "../tensor/dtype.ts";
import { ChatTemplate } from "../tokenizer/chat-template.ts";
import { type Bindings, bindWeights, hasWeight, type IgnoredTensors } from "../weights/bind.ts";
import { namedWeights, type WeightTree } from "../weights/schema.ts";
import { type ModelFiles, type OpenFiles, openFiles } from "./files.ts";
import { Model } from "./model.ts";
import { once } from "./once.ts";
import { checkChoice, checkOptions } from "./options.ts";
import { Runtimes } from "./runtime.ts";

export interface OpenOptions {
  /** What computes: "native" (C++) or "reference" (plain loops); the first that is here where undefined. */
  readonly backend?: string;
  /** How numbers are stored between ops; f64 serves as a measuring rod. f32 unless asked otherwise. */
  readonly precision?: Precision;
  /** Keys of the config and tensors of the checkpoint to leave out, though golgi does not know what they mean. */
  readonly ignore?: readonly string[];
}

/** Opens a model's files: reads config, tokenizer and the weights' headers, but no weights yet. */
export async function openModel(
  { folder, weightsFile }: ModelFiles,
  host: Host,
  backends: readonly Backend[],
  options: OpenOptions = {},
): Promise<Model> {
  checkOptions("open", options, ["backend", "precision", "ignore"]);
  const { backend: backendName, precision = "f32", ignore = [] } = options;
  checkChoice("open: precision", precision, ["f32", "f64"]);
  const backend = findBackend(backendName, precision, backends);
  const files = await openFiles({ folder, weightsFile }, ignore);
  const { architecture, config, ignoredKeys, checkpoint, texts } = files;
  try {
    const { tree, bindings } = bindFiles(files, ignore);
    const catalog: () => PointCatalog = once(
      () => new PointCatalog(runtimes.get("f32").modelTape.tape, config.nLayers, architecture.absentPoints, backend),
    );
    const weights = { bindings: bindings.weights, checkpoint, precision, host };
    const runtimes: Runtimes = new Runtimes(backend, architecture, config, tree, weights, catalog);
    return new Model({
      name: weightsFile === undefined ? folder.name : `${folder.name}/${weightsFile}`,
      config,
      architecture: architecture.name,
      runtimes,
      bindings,
      checkpoint,
      catalog,
      texts,
      host,
      chatTemplate: new ChatTemplate(texts.chatTemplates, host.localTime),
      backend: backend.name,
      ignoredKeys,
      close: async () => {
        await runtimes.close();
        await checkpoint.close();
      },
    });
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Binds the weights that the config declares; each name in `ignore` must leave out a key or a tensor. */
export function bindFiles(files: OpenFiles, ignore: readonly string[]): { tree: WeightTree; bindings: Bindings } {
  const { architecture, config, ignoredKeys, checkpoint, usedTensors: used } = files;
  const { prefix } = architecture;
  const tree = architecture.weights(config, (spec) => hasWeight(checkpoint, spec, prefix));
  const ignored: IgnoredTensors[] = [
    ...architecture.ignoredTensors,
    ...(architecture.ignoredBy?.(config) ?? []),
    ...ignore.map(exactly),
  ];
  const bindings = bindWeights(namedWeights(tree), checkpoint, { prefix, ignored, used });
  checkIgnored(ignore, [...ignoredKeys, ...bindings.ignored.map(({ tensor }) => tensor)]);
  return { tree, bindings };
}

/** The backend of that name, or the best one that computes in this precision. */
function findBackend(name: string | undefined, precision: Precision, backends: readonly Backend[]): Backend {
  const backend = backends.find((b) => (name === undefined ? b.precisions.includes(precision) : b.name === name));
  if (backend === undefined) {
    throw new BackendError("backend.unsupported", {
      path: `backend ${name}`,
      expected: "the backend must be available here",
      got: `only ${backends.map((b) => b.name).join(", ")}`,
      remedy: name === "native" ? "It is built by npm run build where there is a C++ compiler." : undefined,
    });
  }
  if (backend.precisions.includes(precision)) return backend;
  throw new BackendError("backend.unsupported", {
    path: `backend ${backend.name}`,
    expected: `it computes in ${backend.precisions.join(" or ")}`,
    got: precision,
    remedy: 'Open with { backend: "reference" } for f64.',
  });
}

/** A name that leaves nothing out is a mistake. */
function checkIgnored(ignore: readonly string[], found: readonly string[]): void {
  const idle = ignore.find((name) => !found.includes(name));
  if (idle === undefined) return;
  throw new RequestError("request.option", {
    path: `open: ignore "${idle}"`,
    expected: "each name must be a key of the config or a tensor that the model does not use",
    got: "neither",
    remedy: "Drop it.",
  });
}

function exactly(name: string): IgnoredTensors {
  const pattern = new RegExp(`^${name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);
  return { pattern, reason: "left out on request" };
}
