import { isLeaf, type Node, type Value } from "./value.ts";

/**
 * A tensor program in static single assignment form: the one form in which a model exists between its architecture
 * and a backend. Reads, edits and gradients are rewrites Tape -> Tape.
 */
export interface Tape {
  readonly name: string;
  /** In an order in which each node's inputs come before it. */
  readonly nodes: readonly Node[];
  /** Names of values, by path; one value may have several. */
  readonly points: ReadonlyMap<string, Value>;
  /** What a run gives back, by name. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** Each cache as the step leaves it, by the name of the cache leaf. */
  readonly state: ReadonlyMap<string, Value>;
}

/** All leaves that the tape's nodes and outputs use, in order of first use. */
export function leavesOf(tape: Tape): Value[] {
  const leaves = new Set<Value>();
  const visit = (value: Value | undefined): void => {
    if (value !== undefined && isLeaf(value.from)) leaves.add(value);
  };
  for (const node of tape.nodes) node.inputs.forEach(visit);
  for (const value of tape.outputs.values()) visit(value);
  return [...leaves];
}
