/**
 * Jinja as transformers runs it, on the parser and interpreter of @huggingface/jinja: with Python's meaning where the
 * library has JavaScript's, and with limits, since a template is a program from a file that nobody vouches for.
 */
import {
  LibraryInterpreter,
  type Node,
  newScope,
  parseTemplate,
  type Scope,
  toValue,
  type Value,
} from "./jinja-library.ts";
import {
  areEqual,
  isIterable,
  isList,
  isMapping,
  isNothing,
  isString,
  items,
  MAX_ITEMS,
  STRING_METHODS,
  str,
  strip,
} from "./jinja-python.ts";

/** The longest known template has 17,000 characters. */
const MAX_SOURCE_LENGTH = 2 ** 17;

/** The library looks at each character of white space once for each one before it. */
const MAX_WHITE_SPACE = 1024;

/** Seconds at most. Chats of 4000 messages pass, save where a template goes through all messages for each message. */
const MAX_STEPS = 2 ** 21;

/** Characters that are read or written in the time of a step, the evaluation of one node. */
const CHARACTERS_PER_STEP = 64;

/** The same where the library makes a list of characters first. */
const SLICED_CHARACTERS_PER_STEP = 8;

/** Steps that a round of a loop takes beside those of its body. */
const STEPS_PER_ROUND = 4;

/** Characters and items of one value, everything within it counted. */
const MAX_VALUE_SIZE = 2 ** 23;

/** A template, parsed once. */
export class JinjaTemplate {
  readonly #program: Node;
  readonly #places = new Places();

  /** @throws Error for what is no template, and for one that is too long. */
  constructor(source: string) {
    if (source.length > MAX_SOURCE_LENGTH) throw new Error(`it has more than ${MAX_SOURCE_LENGTH} characters`);
    if (new RegExp(`\\s{${MAX_WHITE_SPACE}}`).test(source)) throw new Error("it has a whole page of white space");
    this.#program = parseTemplate(source);
    this.#places.visit(this.#program);
  }

  /**
   * Renders with these variables; functions among them are called with plain values.
   * @throws Error where the template refuses what it is given, is wrong, or does more than the limits allow. A single filter
   * may still make one text of up to 2^29 characters before the limit on values sees it.
   */
  render(variables: Readonly<Record<string, unknown>>): string {
    const scope = newScope();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) scope.set(name, value);
    return new PythonInterpreter(scope, this.#places).run(this.#program).value as string;
  }
}

const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  raise_exception: (message: unknown) => {
    throw new Error(`${message}`);
  },
};

function range(...given: number[]): number[] {
  const [start, stop, step = 1] = given.length === 1 ? [0, given[0] as number] : (given as [number, number, number?]);
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_ITEMS)) throw new Error(`range() may have at most ${MAX_ITEMS} items`);
  return Array.from({ length }, (_, i) => start + i * step);
}

const STATEMENTS = ["Set", "If", "For", "Macro", "CallStatement", "FilterStatement", "Break", "Continue", "Comment"];

/** What a node's place in the tree says of it. */
class Places {
  /** Expressions whose value becomes text of the output. */
  readonly printed = new WeakSet<object>();
  /** What a loop goes over. */
  readonly iterated = new WeakSet<object>();
  /** The first node of a loop's body, with the names that each round begins with. */
  readonly roundStarts = new WeakMap<object, ReadonlySet<string>>();

  visit(node: unknown): void {
    if (Array.isArray(node)) for (const one of node) this.visit(one);
    else if (node instanceof Map) this.visit([...node].flat());
    else if (typeof node === "object" && node !== null) {
      this.#note(node as Node);
      this.visit(Object.values(node));
    }
  }

  #note(node: Node): void {
    for (const block of [node.body, node.alternate, node.defaultBlock]) {
      if (!Array.isArray(block)) continue;
      for (const child of block) if (!STATEMENTS.includes(child.type)) this.printed.add(child);
    }
    if (node.type !== "For") return;
    const iterable = node.iterable as Node;
    this.iterated.add(iterable.type === "SelectExpression" ? (iterable.lhs as object) : iterable);
    const [first] = node.body as object[];
    const target = node.loopvar as Node;
    const names = target.type === "TupleLiteral" ? (target.value as Node[]).map((n) => n.value) : [target.value];
    if (first !== undefined) this.roundStarts.set(first, new Set(["loop", ...(names as string[])]));
  }
}

/** Nodes whose text shares the memory of those that it was joined from or taken from. */
const SHARING = ["BinaryExpression", "MemberExpression"];

class PythonInterpreter extends LibraryInterpreter {
  readonly #places: Places;
  readonly #sizes = new WeakMap<object, number>();
  #nStepsLeft = MAX_STEPS;

  constructor(scope: Scope, places: Places) {
    super(scope);
    this.#places = places;
  }

  override evaluate(node: Node | undefined, scope: Scope): Value {
    if (node?.type === "Evaluated") return node.result as Value;
    this.#spend(1);
    if (node === undefined) return super.evaluate(node, scope);
    this.#startRound(node, scope);
    const value = this.#evaluate(node, scope);
    if (node.type !== "Identifier") this.#count(value, SHARING.includes(node.type));
    if (this.#places.printed.has(node) && !isString(value)) return toValue(str(value));
    return this.#places.iterated.has(node) ? this.#iterated(value) : value;
  }

  /** What a loop goes over; the library makes a scope for each item before the first round. */
  #iterated(value: Value): Value {
    const iterable = isList(value) ? value : (list(items(value)) ?? value);
    if (isList(iterable)) this.#spend(iterable.value.length * STEPS_PER_ROUND);
    return iterable;
  }

  /** Variables that a round of a loop sets end with it; the library keeps them for the next one. */
  #startRound(node: Node, scope: Scope): void {
    const kept = this.#places.roundStarts.get(node);
    if (kept === undefined) return;
    for (const name of scope.variables.keys()) if (!kept.has(name)) scope.variables.delete(name);
  }

  #evaluate(node: Node, scope: Scope): Value {
    switch (node.type) {
      case "TupleLiteral":
        return this.#library({ ...node, type: "ArrayLiteral" }, scope);
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "FilterExpression":
        return this.#filter(node, scope);
      case "TestExpression":
        return this.#test(node, scope);
      case "CallExpression":
        return this.#call(node, scope);
      case "MemberExpression":
        return this.#member(node, scope);
      default:
        return this.#library(node, scope);
    }
  }

  #library(node: Node, scope: Scope): Value {
    return super.evaluate(node, scope);
  }

  /** The value of what is read from end to end. */
  #operand(node: unknown, scope: Scope, nCharactersPerStep = CHARACTERS_PER_STEP): Value {
    const value = this.evaluate(node as Node, scope);
    if (isString(value) || isList(value)) this.#spend(value.value.length / nCharactersPerStep);
    return value;
  }

  #binary(node: Node, scope: Scope): Value {
    const { value: operator } = node.operator as { value: string };
    if (operator === "and" || operator === "or") return this.#library(node, scope);
    const [left, right] = [this.evaluate(node.left as Node, scope), this.evaluate(node.right as Node, scope)];
    // Texts that are put together share their memory; all else goes over both from end to end.
    const isJoining = (operator === "+" || operator === "~") && isString(left) && isString(right);
    if (!isJoining) this.#spend((this.#sizeOf(left) + this.#sizeOf(right)) / CHARACTERS_PER_STEP);
    switch (operator) {
      case "==":
        return toValue(areEqual(left, right));
      case "!=":
        return toValue(!areEqual(left, right));
      case "~":
        return toValue(str(left) + str(right));
      case "in":
      case "not in":
        if (!isList(right) && !isMapping(right)) break;
        return toValue(isIn(left, right) === (operator === "in"));
      case "+":
        if (isString(left) !== isString(right)) throw new Error(`cannot add ${nameOf(left)} and ${nameOf(right)}`);
    }
    return this.#library({ ...node, left: evaluated(left), right: evaluated(right) }, scope);
  }

  #filter(node: Node, scope: Scope): Value {
    const filter = node.filter as Node;
    const { value: name } = (filter.type === "CallExpression" ? filter.callee : filter) as { value: string };
    const operand = this.#operand(node.operand, scope);
    const library = (value: Value) => this.#library({ ...node, operand: evaluated(value) }, scope);
    switch (name) {
      case "string":
        return isString(operand) ? operand : toValue(str(operand));
      case "trim":
        return toValue(strip(str(operand), "both"));
      case "list":
        return list(items(operand)) ?? library(operand);
      case "first":
      case "last":
        return endOf(operand, name) ?? library(operand);
      case "min":
      case "max":
        return extreme(items(operand) ?? [], name === "min" ? 1 : -1);
      case "length":
      case "count":
        return toValue(lengthOf(operand));
      case "join":
        return library(isList(operand) ? toValue(operand.value.map(str)) : operand);
      case "select":
      case "reject":
      case "selectattr":
      case "rejectattr":
      case "map":
        return isNothing(operand) ? toValue([]) : library(operand);
      default:
        return library(operand);
    }
  }

  #test(node: Node, scope: Scope): Value {
    const { value: name } = node.test as { value: string };
    const operand = this.#operand(node.operand, scope);
    const isNegated = node.negate === true;
    if (name === "iterable") return toValue(isIterable(operand) !== isNegated);
    return this.#library({ ...node, operand: evaluated(operand) }, scope);
  }

  #call(node: Node, scope: Scope): Value {
    const callee = node.callee as Node;
    if (callee.type !== "MemberExpression" || callee.computed === true) return this.#library(node, scope);
    const object = this.#operand(callee.object, scope);
    const method = STRING_METHODS.get((callee.property as { value: string }).value);
    if (isString(object) && method !== undefined) {
      const args = (node.args as unknown[]).map((arg) => this.#operand(arg, scope));
      return toValue(method(object.value, args));
    }
    return this.#library({ ...node, callee: { ...callee, object: evaluated(object) } }, scope);
  }

  /** What was made takes memory, and time to make. */
  #count(value: Value, isShared: boolean): void {
    const isNew = !this.#sizes.has(value);
    const size = this.#sizeOf(value);
    if (size > MAX_VALUE_SIZE) throw new Error(`a value has more than ${MAX_VALUE_SIZE} characters`);
    if (isString(value) && !isShared) this.#spend(size / CHARACTERS_PER_STEP);
    else if (isNew && isList(value)) this.#spend(value.value.length);
  }

  /** A part of a text is taken from a list of all its characters. */
  #member(node: Node, scope: Scope): Value {
    if ((node.property as Node).type !== "SliceExpression") return this.#library(node, scope);
    const object = this.#operand(node.object, scope, SLICED_CHARACTERS_PER_STEP);
    return this.#library({ ...node, object: evaluated(object) }, scope);
  }

  #spend(nSteps: number): void {
    this.#nStepsLeft -= nSteps;
    if (this.#nStepsLeft < 0) throw new Error(`it takes more than ${MAX_STEPS} steps`);
  }

  /** Lists and dicts never change once they are made; a namespace does, and is counted anew. */
  #sizeOf(value: Value): number {
    if (isString(value)) return value.value.length;
    if (!isList(value) && !isMapping(value)) return 1;
    const known = this.#sizes.get(value);
    if (known !== undefined) return known;
    let size = 1;
    for (const item of isList(value) ? value.value : value.value.values()) size += this.#sizeOf(item);
    if (value.type !== "NamespaceValue") this.#sizes.set(value, size);
    return size;
  }
}

/** In place of an operand that has a value already, and is not to be evaluated twice. */
function evaluated(result: Value): Node {
  return { type: "Evaluated", result };
}

function list(values: Value[] | undefined): Value | undefined {
  if (values === undefined) return undefined;
  const made = toValue([]);
  made.value = values;
  return made;
}

function isIn(item: Value, container: Value): boolean {
  if (isMapping(container)) return isString(item) && container.value.has(item.value);
  return (items(container) ?? []).some((one) => areEqual(one, item));
}

/** The first or last item; not defined where there is none, and undefined for what has no order. */
function endOf(operand: Value, end: "first" | "last"): Value | undefined {
  const index = end === "first" ? 0 : -1;
  if (isString(operand)) return toValue((end === "first" ? /^./su : /.$/su).exec(operand.value)?.[0]);
  return isList(operand) ? (operand.value.at(index) ?? toValue(undefined)) : undefined;
}

function lengthOf(operand: Value): number {
  if (isString(operand)) return nCharacters(operand.value);
  if (isList(operand)) return operand.value.length;
  if (isMapping(operand)) return operand.value.size;
  if (operand.type === "UndefinedValue") return 0;
  throw new Error(`${nameOf(operand)} has no length`);
}

/** Those above U+FFFF are two in JavaScript. */
function nCharacters(text: string): number {
  let n = 0;
  for (const _ of text) n++;
  return n;
}

function extreme(values: readonly Value[], sign: 1 | -1): Value {
  if (values.length === 0) return toValue(undefined);
  return values.reduce((best, one) => {
    if (typeof one.value !== typeof best.value) throw new Error(`cannot compare ${nameOf(one)} and ${nameOf(best)}`);
    return (one.value as number) < (best.value as number) === (sign === 1) && one.value !== best.value ? one : best;
  });
}

/** A value's type, as a word for messages. */
function nameOf(value: Value): string {
  const words: Readonly<Record<string, string>> = {
    StringValue: "a string",
    ArrayValue: "a list",
    ObjectValue: "a dict",
    NullValue: "None",
    UndefinedValue: "what is not defined",
  };
  return words[value.type] ?? "a value";
}
