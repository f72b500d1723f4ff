/** What is looked at: one position of the text, one layer, one head. Every part of the page follows it. */

/**
 * @typedef {{ position: number, layer: number, head: number }} Selection
 * @typedef {{ selected: Selection, select(change: Partial<Selection>): void, follow(part: (s: Selection) => void): void }} State
 */

/**
 * @param {{ nTokens: number, nLayers: number, nHeads: number }} limits
 * @param {Selection} start
 * @returns {State}
 */
export function createState({ nTokens, nLayers, nHeads }, start) {
  /** @type {((selected: Selection) => void)[]} */
  const parts = [];
  const within = (/** @type {number} */ value, /** @type {number} */ n) => Math.min(n - 1, Math.max(0, value));
  return {
    selected: start,
    select(change) {
      const { position, layer, head } = { ...this.selected, ...change };
      this.selected = {
        position: within(position, nTokens),
        layer: within(layer, nLayers),
        head: within(head, nHeads),
      };
      for (const part of parts) part(this.selected);
    },
    follow(part) {
      parts.push(part);
      part(this.selected);
    },
  };
}

/**
 * What an arrow key, Home or End asks for as a step (columns, rows); undefined for any other key.
 * @param {KeyboardEvent} event
 * @returns {readonly [number, number] | undefined}
 */
export function stepOf(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return undefined;
  return STEPS[event.key];
}

/** @type {Record<string, readonly [number, number]>} */
const STEPS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
  Home: [Number.NEGATIVE_INFINITY, 0],
  End: [Number.POSITIVE_INFINITY, 0],
};

/**
 * The selection as an address, `L3.H5@11`, which the page's own address ends with.
 * @param {Selection} selected
 */
export function addressOf({ layer, head, position }) {
  return `L${layer}.H${head}@${position}`;
}

/**
 * @param {string} address
 * @returns {Partial<Selection>}
 */
export function selectionOf(address) {
  const [, layer, head, position] = /^#L(\d+)\.H(\d+)@(\d+)$/.exec(address) ?? [];
  return layer === undefined ? {} : { layer: Number(layer), head: Number(head), position: Number(position) };
}
