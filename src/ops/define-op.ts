import { emit } from "../tape/builder.ts";
import type { AttrKind, Composite, Cost, Op, Primitive, ReferenceArgs, Sample } from "../tape/op.ts";
import { parseSignature } from "../tape/signature.ts";
import type { Attrs, Value } from "../tape/value.ts";

/** What every op states about itself; see `Signature` for how shapes are written. */
interface Definition<A> {
  readonly name: string;
  readonly doc: string;
  readonly signature: string;
  readonly attrs?: Readonly<Record<keyof A & string, AttrKind>>;
  /** Inputs [..., columns] that kernels read in the format in which a weight is stored; see `Op`. */
  readonly matrices?: readonly string[];
  readonly sizeError?: Op["sizeError"];
  readonly samples: readonly Sample[];
}

/** Meaning by plain loops. */
interface PrimitiveDefinition<A> extends Definition<A> {
  readonly reference: (args: ReferenceArgs<A>) => void;
  /** Floating-point operations of one execution; 0 for ops that only move data. */
  readonly flops: (dims: Readonly<Record<string, number>>, attrs: A) => number;
  /** Elements read of an input that is not read whole. */
  readonly reads?: (dims: Readonly<Record<string, number>>) => Readonly<Record<string, number>>;
  readonly movesNoData?: boolean;
  readonly writesCache?: boolean;
}

/** Meaning by other ops. */
interface CompositeDefinition<A> extends Definition<A> {
  readonly innerPoints?: readonly string[];
  readonly decompose: (inputs: Readonly<Record<string, Value>>, attrs: A) => Value;
}

/** A function that adds the op to the tape being built, with the op's definition on it. */
export type OpFunction<Call> = Call & { readonly op: Op };

/**
 * Defines an op once: its shapes, its meaning and the samples by which every backend is held to it.
 * `Call` is how a model file calls it: the inputs in the order of the signature, then the attributes if there are any.
 */
export function defineOp<Call extends (...args: never[]) => Value | readonly Value[], A extends object = object>(
  definition: PrimitiveDefinition<A> | CompositeDefinition<A>,
): OpFunction<Call> {
  const op = "reference" in definition ? primitive(definition) : composite(definition);
  const nInputs = op.signature.inputs.length;
  const call = (...args: (Value | Attrs | undefined)[]): Value | readonly Value[] => {
    const inputs = Array.from({ length: nInputs }, (_, i) => args[i] as Value | undefined);
    const outputs = emit(op, inputs, (args[nInputs] ?? {}) as Attrs);
    return outputs.length === 1 ? outputs[0] : outputs;
  };
  return Object.assign(call as unknown as Call, { op });
}

function primitive<A extends object>(definition: PrimitiveDefinition<A>): Primitive {
  return {
    ...common(definition),
    kind: "primitive",
    // Attributes are checked against `attrs` when the node is built, so they have the shape A here.
    reference: definition.reference as (args: ReferenceArgs<Attrs>) => void,
    cost: (dims, attrs): Cost => ({
      flops: definition.flops(dims, attrs as A),
      reads: definition.reads?.(dims) ?? {},
    }),
    movesNoData: definition.movesNoData ?? false,
    writesCache: definition.writesCache ?? false,
  };
}

function composite<A extends object>(definition: CompositeDefinition<A>): Composite {
  return {
    ...common(definition),
    kind: "composite",
    innerPoints: definition.innerPoints ?? [],
    decompose: (inputs, attrs) => definition.decompose(inputs, attrs as A),
  };
}

function common<A>({ name, doc, signature, attrs, matrices, sizeError, samples }: Definition<A>) {
  return {
    name,
    doc,
    signature: parseSignature(signature),
    attrs: (attrs ?? {}) as Op["attrs"],
    matrices: matrices ?? [],
    sizeError: sizeError ?? (() => undefined),
    samples,
  };
}
