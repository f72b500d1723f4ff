/** Lists and objects in one another, and in all: real files have 12 and 10^6. Each takes up to 60 bytes of memory. */
const MAX_DEPTH = 64;
const MAX_LISTS = 2 ** 22;

/**
 * `JSON.parse` for files that nobody vouches for: whoever walks through the result may do so by recursion, and a few
 * million bytes cannot become gigabytes.
 */
export function parseJson(text: string): unknown {
  checkLists(text);
  return JSON.parse(text);
}

function checkLists(text: string): void {
  let [depth, nLists] = [0, 0];
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '"':
        i = endOfString(text, i + 1);
        break;
      case "[":
      case "{":
        if (++depth > MAX_DEPTH) throw new RangeError(`lists and objects nested more than ${MAX_DEPTH} deep`);
        if (++nLists > MAX_LISTS) throw new RangeError(`more than ${MAX_LISTS} lists and objects`);
        break;
      case "]":
      case "}":
        depth--;
    }
  }
}

/** Where the string that began before `at` has its closing quote, or the text its end. */
function endOfString(text: string, at: number): number {
  let end = at;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  return end;
}
