import type { Size } from "./words.ts";

/** One instruction's operands that need a place in the arena. */
export interface ArenaUse {
  readonly reads: readonly number[];
  readonly writes: readonly number[];
}

export interface SlotPlan {
  readonly slotOf: ReadonlyMap<number, number>;
  /** Size of each slot, in 4-byte elements. */
  readonly slots: readonly Size[];
}

interface Slot {
  coefficient: number;
  readonly symbol: number;
  isFree: boolean;
}

/**
 * Gives each value a slot of the arena for as long as it lives. Values of different symbolic sizes cannot be compared
 * before a step is known, so they never share a slot; a result never takes the slot of an operand of the same
 * instruction.
 */
export function planSlots(uses: readonly ArenaUse[], sizes: readonly Size[]): SlotPlan {
  const lastUse = new Map<number, number>();
  for (const [i, { reads, writes }] of uses.entries()) {
    for (const number of [...reads, ...writes]) lastUse.set(number, i);
  }
  const slots: Slot[] = [];
  const slotOf = new Map<number, number>();
  for (const [i, { reads, writes }] of uses.entries()) {
    for (const number of writes) if (!slotOf.has(number)) slotOf.set(number, take(slots, sizes[number]));
    for (const number of new Set([...reads, ...writes])) {
      const slot = slotOf.get(number);
      if (slot !== undefined && lastUse.get(number) === i) slots[slot].isFree = true;
    }
  }
  return { slotOf, slots: slots.map(({ coefficient, symbol }) => ({ coefficient, symbol })) };
}

/** The free slot that fits best: the smallest that is large enough, else the largest one, which then grows. */
function take(slots: Slot[], { coefficient, symbol }: Size): number {
  let best = -1;
  for (const [i, slot] of slots.entries()) {
    if (!slot.isFree || slot.symbol !== symbol) continue;
    if (best < 0 || isBetter(slot.coefficient, slots[best].coefficient, coefficient)) best = i;
  }
  if (best < 0) return slots.push({ coefficient, symbol, isFree: false }) - 1;
  slots[best].isFree = false;
  slots[best].coefficient = Math.max(slots[best].coefficient, coefficient);
  return best;
}

function isBetter(candidate: number, best: number, needed: number): boolean {
  if (candidate >= needed && best >= needed) return candidate < best;
  return candidate > best;
}
