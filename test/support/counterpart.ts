/** Points that each equal one expected value, or, side by side, are one. */
export interface Counterpart {
  readonly points: readonly string[];
  readonly arrange?: "headsFirst" | "sideBySide" | "headBesideHead";
  /** The key of the experts that the class put into its slots, in whose order golgi's are compared. */
  readonly slotsOf?: string;
  /** What is applied to the expected numbers, where the class gives them a step earlier. */
  readonly apply?: (expected: number) => number;
}

export const inBlock = (...points: string[]): Counterpart => ({ points: points.map((point) => `blocks.{i}.${point}`) });
