/** What golgi uses of @huggingface/jinja, typed: its own declarations import in a way that Node's resolution refuses. */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";

/** A node of the syntax tree, by the fields that are used here. */
export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A value while a template runs. */
export interface Value {
  readonly type: string;
  value: unknown;
}

/** Variables, and the scope around them. */
export interface Scope {
  readonly variables: Map<string, Value>;
  /** Declares a variable with a plain value; a function will be called with plain values. */
  set(name: string, plain: unknown): Value;
}

export const LibraryInterpreter = Interpreter as new (
  scope: Scope,
) => {
  run(program: Node): Value;
  evaluate(node: Node | undefined, scope: Scope): Value;
};

export function newScope(): Scope {
  return new Environment() as Scope;
}

/** A plain value as one of the library, which exports no constructors. */
export function toValue(plain: unknown): Value {
  return newScope().set("value", plain);
}

/** Parses a template with the white space rules of transformers. */
export function parseTemplate(source: string): Node {
  return parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })) as unknown as Node;
}
