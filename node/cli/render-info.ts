import { formatBytes, type ModelInfo } from "../index.ts";
import { labelled, paint } from "./terminal.ts";

/** A model's numbers as a list of labelled lines of at most `width` columns; the path stays whole. */
export function renderInfo(path: string, info: ModelInfo, width: number): string {
  const { architecture, config, counts, weightBytes, perToken, ignored } = info;
  const { dModel, vocabSize, contextLength } = config;
  const lines: [string, string][] = [
    ["architecture", architecture],
    ["parameters", parameters(info)],
    ...sparseLines(info),
    ["layers", `${counts.layers}, width ${count(dModel)}`],
    ["heads", heads(info)],
    ["neurons", neurons(info)],
    ["vocabulary", `${count(vocabSize)} tokens`],
    ["context", `${count(contextLength)} tokens`],
    ["weights", weights(weightBytes)],
    ...formats(info).map((text): [string, string] => ["formats", text]),
    ...converted(info).map((text): [string, string] => ["converted", text]),
    ["cache", cache(info)],
    ...perToken.map(({ nCached, flops, weightElements }): [string, string] => [
      nCached === 0 ? "first token" : `token ${count(nCached + 1)}`,
      `${short(flops)}FLOP, reads ${formatBytes(perTokenBytes(info, nCached, weightElements))}`,
    ]),
    ...leftOut(ignored).map((text): [string, string] => ["left out", text]),
  ];
  const labelWidth = 2 + Math.max(...lines.map(([label]) => label.length));
  const list = lines.map(([label, text]) => labelled(paint("dim", label), text, labelWidth, width));
  return [paint("bold", path), ...list].join("\n");
}

function parameters({ counts, config: { nMtpLayers = 0 } }: ModelInfo): string {
  const number = counts.parameters < 1000 ? count(counts.parameters) : inWords(counts.parameters);
  if (nMtpLayers === 0) return number;
  return `${number}, without the ${nMtpLayers === 1 ? "layer" : "layers"} for multi-token prediction`;
}

/** What only models with experts have. */
function sparseLines({ config: { sparse }, counts }: ModelInfo): [string, string][] {
  if (sparse === undefined || counts.sparseLayers === 0) return [];
  const { nExperts, nExpertsPerToken, dExpert, dShared } = sparse;
  const shared = dShared === 0 ? "" : `, and ${count(dShared)} that all tokens share`;
  const where = counts.sparseLayers === 1 ? "one layer" : `each of ${counts.sparseLayers} layers`;
  return [
    ["active", `${inWords(counts.activeParameters)} for each token`],
    [
      "experts",
      `${count(nExperts)} in ${where}, ${nExpertsPerToken} of them for each token; ${count(dExpert)} neurons each${shared}`,
    ],
  ];
}

function heads({ counts, config: { nHeads, nKvHeads, headDim, vHeadDim = headDim } }: ModelInfo): string {
  const values = vHeadDim === headDim ? "" : `, values of size ${vHeadDim}`;
  const shared = nKvHeads === nHeads ? "" : `, ${nKvHeads} key-value heads`;
  return `${count(counts.heads)} (${nHeads} a layer of size ${headDim}${values}${shared})`;
}

function neurons({ counts, config: { dFf } }: ModelInfo): string {
  const own = counts.sparseLayers === 0 ? `${count(dFf)} a layer` : `${count(counts.activeNeurons)} for each token`;
  return `${count(counts.neurons)} (${own})`;
}

function cache({ cacheBytesPerToken: { bits16, bits32 }, config: { contextLength } }: ModelInfo): string {
  const when = `${formatBytes(bits32)} a token, ${formatBytes(bits32 * contextLength)} when full`;
  return `${when}; at 16 bits ${formatBytes(bits16)} a token`;
}

function weights({ stored, bits16, bits32 }: ModelInfo["weightBytes"]): string {
  const plain = `${formatBytes(bits16)} at 16 bits, ${formatBytes(bits32)} at 32 bits`;
  return stored === undefined ? plain : `${formatBytes(stored)} stored (${plain})`;
}

/** How the weights are stored, by their share of the bytes; nothing where only the config is known. */
function formats({ formatBytes: byFormat = {}, weightBytes: { stored = 0 } }: ModelInfo): string[] {
  const shares = Object.entries(byFormat).map(([format, bytes]) => `${format} ${percent(bytes / stored)}`);
  return shares.length === 0 ? [] : [shares.join(", ")];
}

/** Matrices that take memory beside the files, by kind; nothing where all lie in their files as they are multiplied. */
function converted({ converted: { weights: names, bytes } = { weights: [], bytes: 0 } }: ModelInfo): string[] {
  if (names.length === 0) return [];
  const kinds = new Set(names.map((name) => name.replace(/^blocks\.\d+\./, "blocks.*.")));
  const which = names.length === 1 ? "one matrix" : `${count(names.length)} matrices`;
  return [`${which} to f32 on load, ${formatBytes(bytes)} of memory: ${[...kinds].join(", ")}`];
}

/** 62%, and of small shares 0.3%. */
function percent(share: number): string {
  return `${(100 * share).toPrecision(share < 0.0995 ? 1 : share < 0.995 ? 2 : 3)}%`;
}

/** Weights as stored (at 16 bits where only the config is known) and the cached keys and values. */
function perTokenBytes(info: ModelInfo, nCached: number, weightElements: number): number {
  const { counts, weightBytes, cacheBytesPerToken } = info;
  const elementBytes = (weightBytes.stored ?? weightBytes.bits16) / counts.parameters;
  return weightElements * elementBytes + nCached * cacheBytesPerToken.bits32;
}

/** Most names that are listed for one reason; every layer may have its own. */
const MAX_NAMES = 3;

/** What is left out, one text for each reason. */
function leftOut(ignored: ModelInfo["ignored"]): string[] {
  const byReason = Map.groupBy(ignored, ({ reason }) => reason);
  return Array.from(byReason, ([reason, things]) => {
    const names = things.slice(0, MAX_NAMES).map(({ name }) => name);
    const nMore = things.length - names.length;
    return `${names.join(", ")}${nMore > 0 ? ` and ${count(nMore)} more` : ""}: ${reason}`;
  });
}

function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** 8,030,261,248 (8.03 billion). */
function inWords(n: number): string {
  const format = { notation: "compact", compactDisplay: "long", maximumSignificantDigits: 3 } as const;
  return `${count(n)} (${n.toLocaleString("en-US", format)})`;
}

/** 15.0 G, 124 M. */
function short(n: number): string {
  const units = ["", "k", "M", "G", "T", "P"];
  // Rounded first, lest 999.9 k becomes 1000 k.
  let [value, unit] = [Number(n.toPrecision(3)), 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}
