import type { EditPositions } from "../points/address.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Recorded } from "./recording.ts";

export type { EditPositions } from "../points/address.ts";

/** A change of a model's values while it runs: as an object, as text (`L5.N1234 = 0`), or as the object's JSON in a text. */
export type EditSpec = string | EditObject;

/** What an edit works with: one number for every element, numbers, or a tensor of a file. */
export type Vector = number | readonly number[] | Float32Array | Float64Array | VectorRef;

/** A tensor of a safetensors file; as text `vec.safetensors:v`. */
export interface VectorRef {
  readonly file: string;
  readonly tensor: string;
}

/** A recording in a file; as text `patch(clean.safetensors)`. */
export interface RecordingRef {
  readonly file: string;
}

/** A function of the rows that an edit reaches; it changes them in place, or returns others of the same shape. */
export type EditFunction = (
  value: Tensor,
  context: {
    readonly point: string;
    readonly sequence: number;
    readonly positions: readonly number[];
    readonly tokens: readonly number[];
  },
) => void | Tensor | Promise<void> | Promise<Tensor | undefined>;

/** One expert or several. */
export type Experts = number | readonly number[];

/** One action at one address; edits of a list apply one after another. */
export interface EditObject {
  /** An address; it may itself carry `@positions`. */
  readonly at: string;
  /** Where in each sequence; everywhere unless stated. */
  readonly positions?: EditPositions;
  // Exactly one of:
  readonly set?: Vector;
  readonly add?: Vector;
  readonly scale?: Vector;
  /** Bounds, which may be infinite. */
  readonly clamp?: readonly [low: number, high: number];
  /** Takes out the component along a direction. */
  readonly projectOut?: Vector;
  /** Puts in what was recorded at the same point and position. */
  readonly patch?: Recorded | RecordingRef;
  /** Puts in the mean over all recorded rows. */
  readonly mean?: Recorded | RecordingRef;
  readonly call?: EditFunction;
  // Of a router, `L5.router`; the weights of experts then follow the family's formula over those that are chosen:
  /** No token goes to these experts. */
  readonly ban?: Experts;
  /** Every token goes to these experts, whatever their groups, and to the best of the others as usual. */
  readonly force?: Experts;
  /** A token that chose the first expert and not the second goes to the second instead. */
  readonly swap?: readonly [from: number, to: number];
  /** With an address such as `blocks.5.router.weights`: of this expert alone, as `blocks.5.experts.17.weight` is. */
  readonly expert?: number;
  /** With `add`: multiplies the vector. */
  readonly times?: number;
  /** With `patch`: which of the recording's sequences; 0 unless stated. */
  readonly sequence?: number;
  /** With `patch` and `mean`: takes a recording of another model too, such as the same one in another format. */
  readonly anyModel?: boolean;
}

/** What is done to a router's choice. */
export const ROUTING_ACTIONS = ["ban", "force", "swap"] as const;

export const EDIT_ACTIONS = [
  ...(["set", "add", "scale", "clamp", "projectOut", "patch", "mean", "call"] as const),
  ...ROUTING_ACTIONS,
] as const;

export type EditAction = (typeof EDIT_ACTIONS)[number];
export type RoutingAction = (typeof ROUTING_ACTIONS)[number];
