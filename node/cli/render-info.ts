import { formatBytes, type ModelInfo } from "../index.ts";
import { padEnd, paint } from "./terminal.ts";

/** A model's numbers as a list of labelled lines. */
export function renderInfo(path: string, info: ModelInfo): string {
  const { architecture, config, counts, weightBytes, cacheBytesPerToken, perToken, ignored } = info;
  const { nHeads, nKvHeads, headDim, dModel, dFf, vocabSize, contextLength } = config;
  const shared = nKvHeads === nHeads ? "" : `, ${nKvHeads} key-value heads`;
  const lines: [string, string][] = [
    ["architecture", architecture],
    ["parameters", `${count(counts.parameters)} (${short(counts.parameters)})`],
    ["layers", `${counts.layers}, width ${count(dModel)}`],
    ["heads", `${count(counts.heads)} (${nHeads} a layer of size ${headDim}${shared})`],
    ["neurons", `${count(counts.neurons)} (${count(dFf)} a layer)`],
    ["vocabulary", `${count(vocabSize)} tokens`],
    ["context", `${count(contextLength)} tokens`],
    ["weights", weights(weightBytes)],
    [
      "cache",
      `${formatBytes(cacheBytesPerToken)} a token, ${formatBytes(cacheBytesPerToken * contextLength)} when full`,
    ],
    ...perToken.map(({ nCached, flops, weightElements }): [string, string] => [
      nCached === 0 ? "first token" : `token ${count(nCached + 1)}`,
      `${short(flops)}FLOP, reads ${formatBytes(perTokenBytes(info, nCached, weightElements))}`,
    ]),
    ...ignored.map(({ name, reason }): [string, string] => ["left out", `${name}: ${reason}`]),
  ];
  return [paint("bold", path), ...lines.map(([label, text]) => `${paint("dim", padEnd(label, 14))}${text}`)].join("\n");
}

function weights({ stored, bits16, bits32 }: ModelInfo["weightBytes"]): string {
  const plain = `${formatBytes(bits16)} at 16 bits, ${formatBytes(bits32)} at 32 bits`;
  return stored === undefined ? plain : `${formatBytes(stored)} as stored (${plain})`;
}

/** Weights as stored (at 16 bits where only the config is known) and the cached keys and values. */
function perTokenBytes(info: ModelInfo, nCached: number, weightElements: number): number {
  const { counts, weightBytes, cacheBytesPerToken } = info;
  const elementBytes = (weightBytes.stored ?? weightBytes.bits16) / counts.parameters;
  return weightElements * elementBytes + nCached * cacheBytesPerToken;
}

function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** 8.03 G, 124 M. */
function short(n: number): string {
  const units = ["", "k", "M", "G", "T"];
  let [value, unit] = [n, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toPrecision(3)} ${units[unit]}`;
}
