/**
 * SentencePiece's byte-pair encoding (Kudo and Richardson, arXiv:1808.06226) has no list of merges: any two neighbours
 * merge whose text is an entry, the entry of the highest score first.
 */

export interface ScoredToken {
  readonly token: string;
  readonly score: number;
}

/** The merges that scores stand for, in the order of Hugging Face's converter. */
export function mergesOfScores(entries: readonly ScoredToken[]): [left: string, right: string][] {
  const tokens = new Set(entries.map(({ token }) => token));
  const merges = entries.flatMap(({ token, score }) =>
    divisions(token)
      .filter(([left, right]) => tokens.has(left) && tokens.has(right))
      .map(([left, right]) => ({ left, right, score, nLeft: nCharacters(left) })),
  );
  merges.sort((a, b) => b.score - a.score || b.nLeft - a.nLeft || nCharacters(b.right) - nCharacters(a.right));
  return merges.map(({ left, right }) => [left, right]);
}

/** Every way to divide a token in two. */
function divisions(token: string): [left: string, right: string][] {
  const characters = Array.from(token);
  let at = 0;
  return characters.slice(1).map((_, i) => {
    at += characters[i].length;
    return [token.slice(0, at), token.slice(at)];
  });
}

function nCharacters(text: string): number {
  return Array.from(text).length;
}
