/** Elements, and tokens as they can be seen. Nothing here parses HTML: what a token says stays text. */

/**
 * An element; a property that is a function listens to the event of its name.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number | ((event: any) => void)>} properties
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, `${value}`);
  }
  element.append(...children);
  return element;
}

/** A text with its control and format characters as codes, and line breaks as arrows. @param {string} text */
export function visible(text) {
  return text
    .replaceAll("\n", "↵")
    .replaceAll("\t", "⇥")
    .replaceAll(
      /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
      (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
    );
}

/** A token in a box of its own: spaces at its ends show as dots. @param {string} text */
export function token(text) {
  const [, before, middle, after] = /^( *)(.*?)( *)$/s.exec(text) ?? ["", "", text, ""];
  const dots = (/** @type {string} */ spaces) =>
    spaces === "" ? [] : [h("span", { class: "space" }, "·".repeat(spaces.length))];
  return h("bdi", { class: "token" }, ...dots(before), visible(middle), ...dots(after));
}

/** In words, for labels that only show text. @param {string} text */
export function quoted(text) {
  return `“${visible(text)}”`;
}

/** A share as a percentage with as many digits as tell something. @param {number} share */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "<0.1%";
  return `${(100 * share).toFixed(share >= 0.0095 || share === 0 ? 0 : 1)}%`;
}

/** A length or a value in about four characters. @param {number} value */
export function figure(value) {
  const size = Math.abs(value);
  const digits = size >= 1e5 ? value.toExponential(1) : size.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return size >= 1e5 ? digits : `${value < 0 ? "−" : ""}${digits}`;
}

/** A scale from its weakest to its strongest colour. @param {string} kind @param {string} low @param {string} high */
export function legend(kind, low, high) {
  return h("span", { class: "legend" }, low, h("span", { class: `swatch ${kind}` }), high);
}

/**
 * A part of the page: a heading, what it means, and what it shows.
 * @param {string} title
 * @param {(Node | string)[]} meaning
 * @param {...(Node | string)} children
 */
export function section(title, meaning, ...children) {
  return h("section", {}, h("h2", {}, title), h("p", { class: "meaning" }, ...meaning), ...children);
}
