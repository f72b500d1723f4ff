/** Trimming by Unicode's White_Space, as in Rust; JavaScript's own adds U+FEFF and misses U+0085. */

const IS_SPACE = /\p{White_Space}/u;

export function trimStart(text: string): string {
  let start = 0;
  while (start < text.length && IS_SPACE.test(text[start])) start++;
  return text.slice(start);
}

export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && IS_SPACE.test(text[end - 1])) end--;
  return text.slice(0, end);
}
