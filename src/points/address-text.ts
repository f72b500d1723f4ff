import { nearest, type PointError } from "../errors.ts";
import type { Positions } from "./read-spec.ts";
import type { Scanner } from "./scanner.ts";
import { EXPERT_PARTS } from "./sparse-rows.ts";

/**
 * The grammar of addresses, without any model: `L5.N1234`, `L5.H3.q[7]`, `blocks.*.mlp.out`, `mlp_act.5[611]`, each
 * perhaps with positions, `@7`.
 */
export interface AddressText {
  /** As it was written, without positions. */
  readonly text: string;
  /** A point's name in any spelling, or a glob. */
  readonly name: string;
  readonly index: readonly number[];
  /** The head of `L5.H3...`, which counts query heads. */
  readonly queryHead: number | undefined;
}

/** Which positions of a sequence an edit reaches: as for reads, or those of the prompt, or those generated after it. */
export type EditPositions = Positions | "prompt" | "generated";

/** Parts of a head, as they are written behind `L5.H3.`. */
const HEAD_PARTS = ["q", "rotQ", "k", "rotK", "v", "z", "result", "scores", "pattern"];

/** Parts of an expert, as they are written behind `L5.E17.`. */
const EXPERT_PART_NAMES = EXPERT_PARTS.map(({ part }) => part);

/** What short names behind `L5.` stand for; others are points of that block by their own names. */
const COMPONENTS = new Map([
  ["mlp", "mlp.out"],
  ["attn", "attn.out"],
  ["router", "router.weights"],
  ["shared", "shared.contribution"],
]);

/** What is written in full for what short names stand for: the names of whole components. */
const LONG = [
  { pattern: /^(blocks\.(?:\*|\d+)\.router)$/, behind: ".weights" },
  { pattern: /^(blocks\.(?:\*|\d+)\.experts\.\d+)$/, behind: ".contribution" },
];

/** What is written behind `L5.` with a number: how, what it is, an example, and the point that it is a piece of. */
const NUMBERED = [
  { pattern: /^N(.*)$/, what: "a neuron", example: "N7", name: "mlp.post" },
  { pattern: /^H([^.]*)$/, what: "a head", example: "H3", name: "attn.z" },
  { pattern: /^shared\.N(.*)$/, what: "a neuron of the shared expert", example: "shared.N7", name: "shared.post" },
];

/** Reads an address up to white space, an operator or `@`. */
export function scanAddress(scanner: Scanner): AddressText {
  const from = scanner.at;
  // In a name * is a glob and - a letter (`l_out-5`), but before = both are operators.
  const text = scanner.match(/(?:\[[^\]]*\]?|[*-](?!=)|[^\s=@+*\-[])*/y);
  if (text === "") {
    throw scanner.fail({ expected: "an address must stand", remedy: "Begin with what to reach, such as L5.N1234." });
  }
  const name = text.replace(/\[[^\]*]*\]?$/, "");
  const bad = /[^\w.*\-[\]]/.exec(name);
  if (bad !== null) {
    const expected = "a name has letters, digits and . _ - * only";
    throw scanner.fail({ at: from + bad.index, expected, remedy: "Write it as L5.N1234 or blocks.5.mlp.out." });
  }
  const index = readIndex(scanner, from + name.length, text.slice(name.length));
  const component = readComponent(scanner, from, name);
  return { text, name: component.name, index: [...component.index, ...index], queryHead: component.queryHead };
}

/** `[3]` or `[3, 7]` at the end of an address, or nothing. */
function readIndex(scanner: Scanner, at: number, text: string): number[] {
  if (text === "") return [];
  const remedy = "Write [3] or [3,7].";
  if (!text.endsWith("]")) throw scanner.fail({ at, expected: "the bracket must close", remedy });
  const parts = text.slice(1, -1).split(",");
  let partAt = at + 1;
  return parts.map((part) => {
    const start = partAt;
    partAt += part.length + 1;
    if (/^\s*\d{1,9}\s*$/.test(part)) return Number(part);
    const expected = "an index is a whole number from 0";
    throw scanner.fail({ at: start, expected, got: JSON.stringify(part.trim()), remedy });
  });
}

interface Component {
  readonly name: string;
  readonly index: readonly number[];
  readonly queryHead?: number;
}

/** `L5`, and what may stand behind it; any other name is itself. */
function readComponent(scanner: Scanner, from: number, name: string): Component {
  const [, letter = "", layer = "", rest] = /^([Ll])(\*|\d+|(?=\.|$))(?:\.(.*))?$/.exec(name) ?? [];
  if (letter === "") return { name: inFull(name), index: [] };
  if (letter === "l" || layer === "") {
    const remedy = `Did you mean L${layer || 5}${rest === undefined ? "" : `.${rest}`}?`;
    throw scanner.fail({ at: from, expected: "a layer is written L and its number", remedy });
  }
  const block = `blocks.${layer === "*" ? layer : Number(layer)}`;
  if (rest === undefined) return { name: `${block}.residPost`, index: [] };
  const at = from + letter.length + layer.length + 1;
  if (rest === "") {
    const remedy = `Write ${name}mlp, ${name}H3 or ${name}N7.`;
    throw scanner.fail({ at, expected: "a component follows the dot", remedy });
  }
  const { name: inBlock, ...which } =
    readHeadPart(scanner, at, rest) ?? readExpertPart(scanner, at, rest) ?? readNumbered(scanner, at, rest);
  return { name: `${block}.${inBlock}`, ...which };
}

function inFull(name: string): string {
  return name + (LONG.find(({ pattern }) => pattern.test(name))?.behind ?? "");
}

/** `H3.q` and its like. */
function readHeadPart(scanner: Scanner, at: number, text: string): Component | undefined {
  const [, digits, part] = /^H([^.]*)\.(.*)$/.exec(text) ?? [];
  if (digits === undefined || part === undefined) return undefined;
  const queryHead = readNumber(scanner, at, digits, { what: "a head", example: "H3" });
  if (HEAD_PARTS.includes(part)) return { name: `attn.${part}`, index: [queryHead], queryHead };
  throw unknownPart(scanner, at + text.length - part.length, part, "a head", HEAD_PARTS);
}

/** `E17`, `E17.N200`, `E17.pre` and their like. */
function readExpertPart(scanner: Scanner, at: number, text: string): Component | undefined {
  const [, digits, part = "contribution"] = /^E([^.]*)(?:\.(.*))?$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const isNeuron = /^N/.test(part);
  const [what, example] = isNeuron ? ["an expert's neuron", "E17.N200"] : ["an expert", "E17"];
  const expert = readNumber(scanner, at, digits, { what, example });
  if (isNeuron) {
    return { name: `experts.${expert}.post`, index: [readNumber(scanner, at, part.slice(1), { what, example })] };
  }
  if (EXPERT_PART_NAMES.some((name) => name === part)) return { name: `experts.${expert}.${part}`, index: [] };
  throw unknownPart(scanner, at + text.length - part.length, part, "an expert", EXPERT_PART_NAMES);
}

function unknownPart(scanner: Scanner, at: number, part: string, of: string, parts: readonly string[]): PointError {
  const close = part === "" ? undefined : nearest(part, parts);
  const has = `${of[0].toUpperCase()}${of.slice(1)} has ${parts.join(", ")}.`;
  const remedy = close === undefined ? has : `Did you mean ${close}?`;
  return scanner.fail({ at, expected: `a part of ${of.replace(/^an? /, "the ")} must follow`, remedy });
}

/** `N7` and its like, a short name, or a point of the block. */
function readNumbered(scanner: Scanner, at: number, text: string): Component {
  for (const { pattern, name, ...form } of NUMBERED) {
    const [, digits] = pattern.exec(text) ?? [];
    if (digits !== undefined) return { name, index: [readNumber(scanner, at, digits, form)] };
  }
  return { name: COMPONENTS.get(text) ?? text, index: [] };
}

function readNumber(scanner: Scanner, at: number, digits: string, form: { what: string; example: string }): number {
  if (/^\d{1,9}$/.test(digits)) return Number(digits);
  const { what, example } = form;
  const meant = /\d+/.exec(digits)?.[0];
  const suggestion = meant === undefined ? example : example.replace(/\d+$/, meant);
  const expected = `${what} is written ${example}, with its number`;
  throw scanner.fail({ at, expected, remedy: `Did you mean ${suggestion}?` });
}

const WORDS = ["prompt", "generated", "all"] as const;

/** Reads `@7`, `@-1`, `@2:5`, `@prompt`, `@generated` or `@all`, or nothing. */
export function scanPositions(scanner: Scanner): EditPositions | undefined {
  if (!scanner.take("@")) return undefined;
  const at = scanner.at;
  const text = scanner.match(/(?:-(?!=)|[^\s=+*@-])*/y);
  const word = WORDS.find((known) => known === text);
  if (word !== undefined) return word;
  const [, from, to] = /^(-?\d{1,9})(?::(-?\d{1,9}))?$/.exec(text) ?? [];
  if (from === undefined) {
    const close = text === "" ? undefined : nearest(text, WORDS);
    const remedy =
      close === undefined ? "Write @7, @-1, @2:5, @prompt, @generated or @all." : `Did you mean @${close}?`;
    throw scanner.fail({ at, expected: "positions must follow the @", got: JSON.stringify(text), remedy });
  }
  if (to === undefined) return Number(from);
  const range = [Number(from), Number(to)] as const;
  if (range[0] >= range[1] && range[0] < 0 === range[1] < 0) {
    const remedy = "A range does not hold its end: @2:5 is 2, 3 and 4.";
    throw scanner.fail({ at, expected: "a range must not be empty", got: JSON.stringify(text), remedy });
  }
  return range;
}
