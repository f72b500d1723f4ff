import { nearest } from "../errors.ts";
import { scanAddress, scanPositions } from "../points/address-text.ts";
import { Scanner } from "../points/scanner.ts";
import { checkEdit } from "./edit-check.ts";
import { parseEditJson } from "./edit-json.ts";
import {
  EDIT_ACTIONS,
  type EditAction,
  type EditObject,
  type EditSpec,
  type Experts,
  type RecordingRef,
  ROUTING_ACTIONS,
  type RoutingAction,
  type Vector,
  type VectorRef,
} from "./edit-spec.ts";

/**
 * Edits as text: an address, an operator and a value, as in `L5.N1234 = 0`, `L3.residPost += 4 * vec.safetensors:v @generated`,
 * `L2.mlp *= 0.5`, `L4.H1@7 = patch(clean.safetensors, 2)`. Files and tensors with unusual names stand in double quotes.
 * What is done to a router's choice is a word: `L5.router ban 17`, `L5.router@7 force [3, 17]`, `L5.router swap 3 -> 17`.
 */

/** What an edit says, in whichever of its three forms it is given, checked as far as it can be without a model. */
export function readEdit(spec: EditSpec): EditObject {
  if (typeof spec !== "string") return checkEdit(spec);
  return spec.trimStart().startsWith("{") ? parseEditJson(spec) : parseEditText(spec);
}

type Parts = Omit<EditObject, "at" | "positions">;

function parseEditText(text: string): EditObject {
  const scanner = new Scanner(text, "point.edit");
  scanner.skipSpace();
  const { text: at } = scanAddress(scanner);
  const before = scanPositions(scanner);
  scanner.skipSpace();
  const readParts = readRoutingAction(scanner) ?? OPERATORS[readOperator(scanner)];
  scanner.skipSpace();
  const valueAt = scanner.at;
  const parts = readParts(scanner);
  scanner.skipSpace();
  const positionsAt = scanner.at;
  const after = scanPositions(scanner);
  if (before !== undefined && after !== undefined) {
    const remedy = "Leave one of the two out.";
    throw scanner.fail({ at: positionsAt, expected: "positions must stand once", remedy });
  }
  scanner.skipSpace();
  if (!scanner.isAtEnd) throw scanner.fail({ expected: "the edit must end", remedy: remedyForRest(scanner) });
  const positions = before ?? after;
  return checkEdit({ at, ...(positions !== undefined && { positions }), ...parts }, (_, mistake) =>
    scanner.fail({ at: valueAt, ...mistake }),
  );
}

type Operator = "=" | "+=" | "-=" | "*=";

const OPERATORS: Readonly<Record<Operator, (scanner: Scanner) => Parts>> = {
  "=": (scanner) => readCall(scanner) ?? { set: readInfinity(scanner) ?? readVector(scanner) },
  "+=": (scanner) => readTimes(scanner, 1),
  "-=": (scanner) => readTimes(scanner, -1),
  "*=": (scanner) => ({ scale: readVector(scanner) }),
};

const ROUTING: Readonly<Record<RoutingAction, (scanner: Scanner) => Parts>> = {
  ban: (scanner) => ({ ban: readExperts(scanner) }),
  force: (scanner) => ({ force: readExperts(scanner) }),
  swap: (scanner) => {
    const from = readExpert(scanner);
    scanner.skipSpace();
    if (!scanner.take("->")) throw scanner.fail({ expected: "-> must stand", remedy: "Write swap 3 -> 17." });
    scanner.skipSpace();
    return { swap: [from, readExpert(scanner)] };
  },
};

/** What is done to a router, where its word comes next. */
function readRoutingAction(scanner: Scanner): ((scanner: Scanner) => Parts) | undefined {
  const at = scanner.at;
  const word = scanner.match(/[A-Za-z]+(?![\w(])/y);
  const action = ROUTING_ACTIONS.find((name) => name === word);
  if (action !== undefined) return ROUTING[action];
  const close = word === "" ? undefined : nearest(word, ROUTING_ACTIONS);
  if (close !== undefined) {
    throw scanner.fail({ at, expected: "an operator must follow the address", remedy: `Did you mean ${close}?` });
  }
  scanner.at = at;
  return undefined;
}

/** `17` or `[3, 17]` */
function readExperts(scanner: Scanner): Experts {
  if (!scanner.take("[")) return readExpert(scanner);
  const experts: number[] = [];
  do {
    scanner.skipSpace();
    experts.push(readExpert(scanner));
    scanner.skipSpace();
  } while (scanner.take(","));
  if (scanner.take("]")) return experts;
  throw scanner.fail({ expected: "a comma or ] must stand", remedy: "Write [3, 17]." });
}

function readExpert(scanner: Scanner): number {
  const digits = scanner.match(/\d{1,9}(?![\w.])/y);
  if (digits !== "") return Number(digits);
  throw scanner.fail({ expected: "an expert's number must stand", remedy: "Write it as 17." });
}

/** What somebody may have meant by other marks. */
const NEAR_OPERATORS: Readonly<Record<string, string>> = {
  "": "Write = 0, for instance, or +=, -= or *=.",
  "/": "Multiply by the inverse: *= 0.5.",
  "/=": "Multiply by the inverse: *= 0.5.",
  "+": "Did you mean +=?",
  "-": "Did you mean -=?",
  "*": "Did you mean *=?",
};

function readOperator(scanner: Scanner): Operator {
  const at = scanner.at;
  const text = scanner.match(/[-+*/:]?=+|[-+*/:]/y);
  if (text in OPERATORS) return text as Operator;
  const remedy = NEAR_OPERATORS[text] ?? "Did you mean =?";
  throw scanner.fail({ at, expected: "an operator must follow the address", remedy });
}

const NUMBER = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i;
const INFINITE = /^[-+]?inf(?:inity)?$/i;
/** A number or an unquoted name of a file or tensor. */
const WORD = /[^\s,()[\]="@*]*/y;

/** `vector`, or `number * vector`, for an addition; `sign` is that of the operator. */
function readTimes(scanner: Scanner, sign: 1 | -1): Parts {
  const at = scanner.at;
  const first = readVector(scanner);
  scanner.skipSpace();
  const starAt = scanner.at;
  if (!scanner.take("*")) return sign === 1 ? { add: first } : { add: first, times: -1 };
  if (typeof first !== "number") {
    const remedy = "Write 4 * vec.safetensors:v.";
    throw scanner.fail({ at, expected: "a number must stand before *", remedy });
  }
  scanner.skipSpace();
  if (scanner.isAtEnd) {
    throw scanner.fail({ at: starAt, expected: "a vector must follow *", remedy: "Add it, or drop the *." });
  }
  return { add: readVector(scanner), times: sign * first };
}

/** `-Infinity`, a score that hides its key. */
function readInfinity(scanner: Scanner): number | undefined {
  return scanner.match(/-(?:Infinity|inf)(?![\w.:])/y) === "" ? undefined : Number.NEGATIVE_INFINITY;
}

function readVector(scanner: Scanner): Vector {
  if (scanner.text[scanner.at] === "[") return readNumbers(scanner);
  const at = scanner.at;
  const word = scanner.match(WORD);
  if (NUMBER.test(word)) return finite(scanner, at, word);
  scanner.at = at;
  return readTensor(scanner);
}

function finite(scanner: Scanner, at: number, word: string): number {
  if (Number.isFinite(Number(word))) return Number(word);
  throw scanner.fail({ at, expected: "a finite number must stand", remedy: "Give one below 1e308." });
}

/** `[0.1, 2]` */
function readNumbers(scanner: Scanner): number[] {
  const numbers: number[] = [];
  const open = scanner.at;
  scanner.take("[");
  do {
    scanner.skipSpace();
    numbers.push(readNumber(scanner));
    scanner.skipSpace();
  } while (scanner.take(","));
  if (scanner.take("]")) return numbers;
  const remedy = scanner.isAtEnd ? `Close the bracket of character ${open}.` : "Write [0.1, 2].";
  throw scanner.fail({ expected: "a comma or ] must stand", remedy });
}

function readNumber(scanner: Scanner, isInfiniteToo = false): number {
  const at = scanner.at;
  const word = scanner.match(WORD);
  if (NUMBER.test(word)) return Number(word);
  if (isInfiniteToo && INFINITE.test(word)) return Number(`${word.startsWith("-") ? "-" : ""}Infinity`);
  throw scanner.fail({ at, expected: "a number must stand", remedy: "Write it as 0.5, -2 or 1e-3." });
}

/** `vec.safetensors:v`, each of the two perhaps in double quotes. */
function readTensor(scanner: Scanner): VectorRef {
  const at = scanner.at;
  if (isQuote(scanner)) {
    const file = readQuoted(scanner);
    if (scanner.take(":")) return { file, tensor: readName(scanner, "the tensor's name") };
    const remedy = `Say which tensor of the file: ${JSON.stringify(file)}:name.`;
    throw scanner.fail({ at, expected: "a value must stand", remedy });
  }
  const word = scanner.match(WORD);
  const colon = word.lastIndexOf(":");
  if (colon < 1 || /^[-+]/.test(word)) {
    throw scanner.fail({ at, expected: "a value must stand", remedy: remedyForValue(word) });
  }
  return { file: word.slice(0, colon), tensor: word.slice(colon + 1) || readName(scanner, "the tensor's name") };
}

function isQuote(scanner: Scanner): boolean {
  return scanner.text[scanner.at] === '"';
}

function remedyForValue(word: string): string {
  if (INFINITE.test(word) || /^[-+]?nan$/i.test(word)) return "Give a finite number.";
  if (/^[-+]/.test(word) && word.includes(":")) return `Write -= to subtract, or -1 * ${word.slice(1)}.`;
  if (/\.safetensors$/.test(word)) return `Say which tensor of the file: ${word}:name.`;
  const close = word === "" ? undefined : nearest(word, Object.keys(FUNCTIONS));
  if (close !== undefined) return `Did you mean ${FUNCTIONS[close]?.example}?`;
  return "Write a number, [0.1, 2], vec.safetensors:v, clamp(-1, 1), projectOut(...), patch(...) or mean(...).";
}

/** A name as a word or in double quotes. */
function readName(scanner: Scanner, what: string): string {
  const name = isQuote(scanner) ? readQuoted(scanner) : scanner.match(WORD);
  if (name !== "") return name;
  throw scanner.fail({ expected: `${what} must stand`, remedy: "Put an unusual name in double quotes." });
}

function readQuoted(scanner: Scanner): string {
  const at = scanner.at;
  const quoted = scanner.match(/"(?:[^"\\]|\\.)*"/suy);
  try {
    return JSON.parse(quoted);
  } catch {
    const remedy = 'Close the quotes; within them, write \\" and \\\\.';
    throw scanner.fail({ at, expected: "a name in double quotes is one of JSON", remedy });
  }
}

interface CallForm {
  readonly example: string;
  readonly readArguments: (scanner: Scanner) => Parts;
}

const FUNCTIONS: Readonly<Record<string, CallForm>> = {
  clamp: {
    example: "clamp(-1, 1)",
    readArguments: (scanner) => {
      const low = readNumber(scanner, true);
      readComma(scanner);
      return { clamp: [low, readNumber(scanner, true)] };
    },
  },
  projectOut: {
    example: "projectOut(vec.safetensors:v)",
    readArguments: (scanner) => ({ projectOut: readVector(scanner) }),
  },
  patch: {
    example: "patch(clean.safetensors)",
    readArguments: (scanner) => {
      const patch = readRecording(scanner);
      scanner.skipSpace();
      if (scanner.text[scanner.at] !== ",") return { patch };
      readComma(scanner);
      return { patch, sequence: readNumber(scanner) };
    },
  },
  mean: {
    example: "mean(corpus.safetensors)",
    readArguments: (scanner) => ({ mean: readRecording(scanner) }),
  },
};

/** A function with its arguments, where one comes next. */
function readCall(scanner: Scanner): Parts | undefined {
  const at = scanner.at;
  const name = scanner.match(/[A-Za-z_]\w*(?=\s*\()/y);
  if (name === "") return undefined;
  const form = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (form === undefined) {
    const names = Object.keys(FUNCTIONS);
    const close = nearest(name, names);
    const known = `There are ${names.join(", ")}.`;
    const remedy = close === undefined ? known : `Did you mean ${FUNCTIONS[close]?.example}?`;
    throw scanner.fail({ at, expected: "the function must be known", remedy });
  }
  scanner.skipSpace();
  scanner.take("(");
  scanner.skipSpace();
  const parts = form.readArguments(scanner);
  scanner.skipSpace();
  if (scanner.take(")")) return parts;
  throw scanner.fail({ expected: `${name}( must close`, remedy: `Write ${form.example}.` });
}

function readComma(scanner: Scanner): void {
  scanner.skipSpace();
  if (!scanner.take(",")) throw scanner.fail({ expected: "a comma must stand", remedy: "Write clamp(-1, 1)." });
  scanner.skipSpace();
}

function readRecording(scanner: Scanner): RecordingRef {
  return { file: readName(scanner, "a recording's file") };
}

function remedyForRest(scanner: Scanner): string {
  const next = scanner.text[scanner.at];
  if (next === "*") return "A factor goes with += and -= only: += 4 * vec.safetensors:v.";
  if (next === "(") return "A function follows = only: = patch(clean.safetensors).";
  if (next === "," || next === ";") return "Give several edits one by one.";
  return "Put names with spaces in double quotes; positions are written @7.";
}

/**
 * An edit as text that reads back as the same edit, but for what a text cannot hold: long vectors are cut short, recordings
 * in memory are `patch(recording)`, functions `call`.
 */
export function formatEdit(edit: EditObject): string {
  const { at, positions } = edit;
  const place =
    positions === undefined ? at : `${at}@${typeof positions === "object" ? positions.join(":") : positions}`;
  const action = EDIT_ACTIONS.find((name) => edit[name] !== undefined);
  return action === undefined ? place : `${place} ${FORMATS[action](edit)}`;
}

const FORMATS: Readonly<Record<EditAction, (edit: EditObject) => string>> = {
  set: ({ set }) => `= ${formatVector(set)}`,
  add: ({ add, times }) => formatTimes(formatVector(add), times),
  scale: ({ scale }) => `*= ${formatVector(scale)}`,
  clamp: ({ clamp = [] }) => `= clamp(${clamp.map(formatNumber).join(", ")})`,
  projectOut: ({ projectOut }) => `= projectOut(${formatVector(projectOut)})`,
  patch: ({ patch, sequence }) =>
    `= patch(${[formatRecording(patch), ...(sequence === undefined ? [] : [sequence])].join(", ")})`,
  mean: ({ mean }) => `= mean(${formatRecording(mean)})`,
  call: () => "= call",
  ban: ({ ban }) => `ban ${formatExperts(ban)}`,
  force: ({ force }) => `force ${formatExperts(force)}`,
  swap: ({ swap = [] }) => `swap ${swap.join(" -> ")}`,
};

function formatExperts(experts: Experts = []): string {
  return typeof experts === "number" ? `${experts}` : `[${experts.join(", ")}]`;
}

function formatTimes(vector: string, times: number | undefined): string {
  if (times === undefined) return `+= ${vector}`;
  if (times === -1) return `-= ${vector}`;
  const isNegative = times < 0 || Object.is(times, -0);
  return `${isNegative ? "-=" : "+="} ${formatNumber(Math.abs(times))} * ${vector}`;
}

/** The most numbers that are written out. */
const MAX_NUMBERS = 16;

function formatVector(vector: Vector | undefined): string {
  if (typeof vector === "number") return formatNumber(vector);
  if (vector === undefined) return "";
  if ("file" in vector) return `${formatName(vector.file)}:${formatName(vector.tensor)}`;
  if (vector.length <= MAX_NUMBERS) return `[${Array.from(vector, formatNumber).join(", ")}]`;
  return `[${Array.from(vector.slice(0, 3), formatNumber).join(", ")}, ... ${vector.length} numbers]`;
}

function formatNumber(x: number): string {
  return Object.is(x, -0) ? "-0" : `${x}`;
}

function formatRecording(recording: EditObject["patch"]): string {
  return recording !== undefined && "file" in recording ? formatName(recording.file) : "recording";
}

function formatName(name: string): string {
  return /^[^\s,()[\]="@*:+-][^\s,()[\]="@*:]*$/.test(name) ? name : JSON.stringify(name);
}
