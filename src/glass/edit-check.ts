import { nearest, PointError } from "../errors.ts";
import { scanAddress, scanPositions } from "../points/address-text.ts";
import { Scanner } from "../points/scanner.ts";
import { EDIT_ACTIONS, type EditAction, type EditObject, ROUTING_ACTIONS } from "./edit-spec.ts";

const WITH_ACTION: Readonly<Record<string, readonly EditAction[]>> = {
  times: ["add"],
  sequence: ["patch"],
  anyModel: ["patch", "mean"],
  expert: EDIT_ACTIONS.filter((action) => !ROUTING_ACTIONS.some((routing) => routing === action)),
};
const KEYS: readonly string[] = ["at", "positions", ...EDIT_ACTIONS, ...Object.keys(WITH_ACTION)];

/** Makes the error for a mistake at one key of an edit. */
export type RefuseKey = (key: string, mistake: { expected: string; got: string; remedy: string }) => PointError;

type Checked = Readonly<Record<string, unknown>>;

/**
 * An edit of which everything has been checked that can be without a model: one action, finite numbers, what belongs
 * together. Positions that `at` carries come out as `positions`.
 */
export function checkEdit(edit: unknown, refuse: RefuseKey = refuseObject(edit)): EditObject {
  if (!isRecord(edit)) {
    const remedy = 'Write "L5.N1234 = 0" or { at: "L5.N1234", set: 0 }.';
    throw refuse("", { expected: "an edit is a text or an object", got: shown(edit), remedy });
  }
  const given = Object.fromEntries(Object.entries(edit).filter(([, value]) => value !== undefined));
  for (const key of Object.keys(given)) {
    if (KEYS.includes(key)) continue;
    const close = nearest(key, KEYS);
    const remedy = close === undefined ? `An edit has ${KEYS.join(", ")}.` : `Did you mean ${close}?`;
    throw refuse(key, { expected: "the key must be known", got: key, remedy });
  }
  const action = theAction(given, refuse);
  for (const [key, needed] of Object.entries(WITH_ACTION)) {
    if (given[key] === undefined || needed.includes(action)) continue;
    const expected = `${key} goes with ${needed.join(" and ")} only`;
    throw refuse(key, { expected, got: action, remedy: `Leave ${key} out.` });
  }
  CHECKS[action](given[action], action, refuse);
  checkTimes(given, refuse);
  checkSequence(given, refuse);
  checkAnyModel(given, refuse);
  const { expert, ...others } = given;
  return { ...others, ...ofExpert(placeOf(given, refuse), expert, refuse) };
}

type Place = Pick<EditObject, "at" | "positions">;

/** The address of what one expert holds, where `expert` says which. */
function ofExpert(place: Place, expert: unknown, refuse: RefuseKey): Place {
  if (expert === undefined) return place;
  if (!isExpert(expert)) {
    throw refuse("expert", { expected: "expert is a whole number from 0", got: shown(expert), remedy: "Give 17." });
  }
  const [, block, inBlock = ""] = /^(L(?:\d+|\*)|blocks\.(?:\d+|\*))\.(.*)$/.exec(place.at) ?? [];
  const part =
    inBlock === "router" || inBlock === "router.weights" ? "weight" : /^experts\.([a-zA-Z]+)/.exec(inBlock)?.[1];
  if (block === undefined || part === undefined) {
    throw refuse("expert", {
      expected: "expert goes with what each chosen expert has a place in",
      got: place.at,
      remedy: "Give it with blocks.5.router.weights or blocks.5.experts.post, or name the expert: L5.E17.",
    });
  }
  const index = inBlock.includes("[") ? inBlock.slice(inBlock.indexOf("[")) : "";
  return { ...place, at: `${block}.experts.${expert}.${part}${index}` };
}

function isExpert(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The one thing that an edit does. */
function theAction(given: Checked, refuse: RefuseKey): EditAction {
  const [action, second] = EDIT_ACTIONS.filter((name) => given[name] !== undefined);
  if (action !== undefined && second === undefined) return action;
  throw refuse(second ?? "", {
    expected: "an edit does exactly one thing",
    got: second === undefined ? "no action" : `${action} and ${second}`,
    remedy:
      second === undefined
        ? `Give one of ${EDIT_ACTIONS.join(", ")}.`
        : "Write two edits; they apply one after another.",
  });
}

/** The address without its positions, and the positions from wherever they were given. */
function placeOf(given: Checked, refuse: RefuseKey): Place {
  const { at, positions } = given;
  if (typeof at !== "string") {
    const remedy = 'Add at: "L5.N1234", for instance.';
    throw refuse("at", { expected: "at must be an address", got: shown(at), remedy });
  }
  const scanner = new Scanner(at, "point.edit");
  const { text } = scanAddress(scanner);
  const carried = scanPositions(scanner);
  if (!scanner.isAtEnd) {
    throw scanner.fail({ expected: "the address must end", remedy: "Say what to do by set, add or another action." });
  }
  if (positions === undefined) return carried === undefined ? { at: text } : { at: text, positions: carried };
  if (carried !== undefined) {
    const remedy = "Leave one of the two out.";
    throw refuse("positions", {
      expected: "positions are given once",
      got: `${shown(positions)} beside ${at}`,
      remedy,
    });
  }
  checkPositions(positions, refuse);
  return { at: text, positions };
}

function checkPositions(positions: unknown, refuse: RefuseKey): asserts positions is EditObject["positions"] {
  if (positions === "prompt" || positions === "generated" || positions === "all") return;
  if (Number.isSafeInteger(positions)) return;
  const isRange = Array.isArray(positions) && positions.length === 2 && positions.every(Number.isSafeInteger);
  const [from, to] = isRange ? positions : [];
  if (isRange && (from < to || from < 0 !== to < 0)) return;
  throw refuse("positions", {
    expected: isRange ? "a range must not be empty" : "positions are a position or range",
    got: shown(positions),
    remedy: 'Give 7, -1, [2, 5], "prompt", "generated" or "all".',
  });
}

type CheckAction = (value: unknown, key: EditAction, refuse: RefuseKey) => void;

const CHECKS: Readonly<Record<EditAction, CheckAction>> = {
  set: checkVector,
  add: checkVector,
  scale: checkVector,
  clamp: checkBounds,
  projectOut: checkDirection,
  patch: checkRecording,
  mean: checkRecording,
  call: checkFunction,
  ban: checkExperts,
  force: checkExperts,
  swap: checkSwap,
};

function checkVector(value: unknown, key: EditAction, refuse: RefuseKey): void {
  if (typeof value !== "number") checkDirection(value, key, refuse);
  // A score of −∞ hides a key.
  else if (!Number.isFinite(value) && !(key === "set" && value === Number.NEGATIVE_INFINITY)) {
    throw refuse(key, {
      expected: `${key} takes a finite number`,
      got: shown(value),
      remedy: "Give 0.5, for instance.",
    });
  }
}

/** Numbers, or a tensor of a file. */
function checkDirection(value: unknown, key: EditAction, refuse: RefuseKey): void {
  if (isNumbers(value)) checkFinite(value, key, refuse);
  else if (!hasTexts(value, ["file", "tensor"])) {
    const [kinds, number] = key === "projectOut" ? ["numbers", ""] : ["a number, numbers", "0.5, "];
    throw refuse(key, {
      expected: `${key} takes ${kinds} or a tensor of a file`,
      got: shown(value),
      remedy: `Give ${number}[0.1, 2] or { file: "vec.safetensors", tensor: "v" }.`,
    });
  }
}

function isNumbers(value: unknown): value is ArrayLike<unknown> {
  const isList = Array.isArray(value) || value instanceof Float32Array || value instanceof Float64Array;
  return isList && value.length > 0;
}

function checkFinite(values: ArrayLike<unknown>, key: string, refuse: RefuseKey): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    const expected = `${key} takes finite numbers`;
    throw refuse(key, { expected, got: `${shown(values[i])} at index ${i}`, remedy: "Mend that number." });
  }
}

function checkBounds(value: unknown, key: EditAction, refuse: RefuseKey): void {
  if (Array.isArray(value) && value.length === 2) {
    const [low, high] = value;
    if (typeof low === "number" && typeof high === "number" && low <= high) return;
  }
  const remedy = "Give [-1, 1]; a bound may be infinite.";
  throw refuse(key, { expected: "clamp takes two bounds, the low one first", got: shown(value), remedy });
}

function checkRecording(value: unknown, key: EditAction, refuse: RefuseKey): void {
  const isRecorded = isRecord(value) && typeof value.get === "function" && typeof value.mean === "function";
  if (isRecorded || hasTexts(value, ["file"])) return;
  const remedy = 'Give what model.record gave, or { file: "clean.safetensors" }.';
  throw refuse(key, { expected: `${key} takes a recording`, got: shown(value), remedy });
}

function checkFunction(value: unknown, key: EditAction, refuse: RefuseKey): void {
  if (typeof value === "function") return;
  const remedy = "Give (value, { positions }) => { ... }; text and JSON cannot hold one.";
  throw refuse(key, { expected: "call takes a function", got: shown(value), remedy });
}

function checkExperts(value: unknown, key: EditAction, refuse: RefuseKey): void {
  const experts = [value].flat();
  if (experts.length > 0 && experts.every(isExpert) && new Set(experts).size === experts.length) return;
  const remedy = "Give 17 or [3, 17].";
  throw refuse(key, { expected: `${key} takes an expert or several, each once`, got: shown(value), remedy });
}

function checkSwap(value: unknown, key: EditAction, refuse: RefuseKey): void {
  if (Array.isArray(value) && value.length === 2 && value.every(isExpert) && value[0] !== value[1]) return;
  const remedy = "Give [3, 17]: 17 in the place of 3.";
  throw refuse(key, { expected: "swap takes two experts, the one that goes first", got: shown(value), remedy });
}

function checkTimes({ times }: Checked, refuse: RefuseKey): void {
  if (times === undefined || Number.isFinite(times)) return;
  throw refuse("times", { expected: "times is a finite number", got: shown(times), remedy: "Give 4 or -0.5." });
}

function checkSequence({ sequence }: Checked, refuse: RefuseKey): void {
  if (sequence === undefined || (Number.isSafeInteger(sequence) && Number(sequence) >= 0)) return;
  const remedy = "Give 0 for the recording's first.";
  throw refuse("sequence", { expected: "sequence is a whole number from 0", got: shown(sequence), remedy });
}

function checkAnyModel({ anyModel }: Checked, refuse: RefuseKey): void {
  if (anyModel === undefined || typeof anyModel === "boolean") return;
  throw refuse("anyModel", { expected: "anyModel is true or false", got: shown(anyModel), remedy: "Give true." });
}

function isRecord(value: unknown): value is Checked {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** Whether a value has just these keys, each with a text. */
function hasTexts(value: unknown, keys: readonly string[]): boolean {
  if (!isRecord(value) || Object.keys(value).length !== keys.length) return false;
  return keys.every((key) => typeof value[key] === "string" && value[key] !== "");
}

function refuseObject(edit: unknown): RefuseKey {
  const at = isRecord(edit) && typeof edit.at === "string" ? ` ${edit.at}` : "";
  return (key, mistake) =>
    new PointError("point.edit", { path: `edit${at}${key === "" ? "" : `: ${key}`}`, ...mistake });
}

/** A value for a message, which may be anything; lists and objects are shown one deep. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(shownItem).join(", ")}${value.length > 8 ? ", ..." : ""}]`;
  if (isRecord(value)) return `{ ${Object.keys(value).join(", ")} }`;
  return shownItem(value);
}

function shownItem(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null)
    return Array.isArray(value) ? "[...]" : (value.constructor?.name ?? "an object");
  return String(value);
}
