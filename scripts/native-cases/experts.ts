import type { Sample } from "../../src/tape/op.ts";
import { randomFrom } from "../../test/op-support/random.ts";

/** As `SAMPLES`, of routers and experts: few rows of an expert and many, experts that no row chose, long rows. */
export const EXPERT_SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  scaleBy: [{ dims: { "...": 20_001 }, attrs: { factor: -0.25 } }],
  softCap: [{ dims: { "...": 5003 }, attrs: { cap: 0.5 } }],
  clampedGlu: [{ dims: { "...": 5003 }, attrs: { limit: 1, alpha: 1.702 } }],
  normalizeSum: [
    { dims: { "...": 70, n: 8 }, attrs: { eps: 40 } },
    { dims: { "...": 1, n: 300 }, attrs: { eps: 1200 } },
  ],
  entropy: [{ dims: { "...": 70, d: 8 } }, { dims: { "...": 3, d: 5003 } }],
  takeAlong: [{ dims: { T: 70, n: 33, k: 9 }, ints: { indices: randomExperts(70 * 9, 33) } }],
  groupScores: [
    { dims: { T: 70, n: 256 }, attrs: { nGroups: 8, k: 2 } },
    { dims: { T: 1, n: 160 }, attrs: { nGroups: 8, k: 1 } },
    { dims: { T: 2, n: 90 }, attrs: { nGroups: 2, k: 45 } },
  ],
  topMask: [
    { dims: { "...": 1, n: 1 }, attrs: { k: 1 } },
    { dims: { "...": 3000, n: 8 }, attrs: { k: 4 } },
    { dims: { "...": 3, n: 500 }, attrs: { k: 33 } },
  ],
  limitGroups: [
    { dims: { T: 70, n: 256, nGroups: 8 } },
    { dims: { T: 1, n: 1, nGroups: 1 } },
    { dims: { T: 300, n: 64, nGroups: 1 }, without: ["mask"] },
  ],
  chooseExperts: [
    { dims: { T: 70, n: 256 }, attrs: { k: 8 } },
    { dims: { T: 1, n: 1 }, attrs: { k: 1 } },
    { dims: { T: 3, n: 33 }, attrs: { k: 33 } },
  ],
  swapExperts: [
    {
      dims: { T: 3, n: 9, k: 4 },
      // An expert that is none leaves its row as it is.
      ints: { indices: [8, 7, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3], active: [1, 1, 1], from: [7, 2, 3], to: [2, 9, -1] },
    },
  ],
  weighExperts: [{ dims: { T: 5, A: 8, n: 1037 } }],
  mixExperts: [{ dims: { T: 5, A: 8, n: 1037 } }, { dims: { T: 1, A: 70, n: 33 } }, { dims: { T: 40, A: 2, n: 512 } }],
  mulRows: [{ dims: { "...": 70, d: 33 } }, { dims: { "...": 2, d: 20_001 } }],
  matmulIndexed: products(),
  editExperts: edits(),
};

function products(): Sample[] {
  const sizes: [T: number, s: number, A: number, E: number, n: number, k: number][] = [
    [1, 1, 2, 4, 70, 64],
    [1, 3, 3, 9, 35, 256],
    [3, 1, 2, 3, 33, 512],
    [6, 2, 2, 4, 20, 1792],
    [9, 1, 4, 5, 40, 31],
    [40, 1, 2, 3, 70, 64],
    [40, 3, 3, 5, 35, 256],
  ];
  const samples = sizes.map(([T, s, A, E, n, k]): Sample => {
    return { dims: { T, s, A, E, n, k }, ints: { indices: chosenExperts(T, A, E) } };
  });
  // One expert has hundreds of rows, another has one, and a third has none.
  const crowded = Array.from({ length: 400 }, (_, t) => (t === 7 ? 2 : 0));
  return [
    ...samples,
    { dims: { T: 400, s: 1, A: 1, E: 4, n: 20, k: 32 }, ints: { indices: crowded }, without: ["bias"] },
  ];
}

function edits(): Sample[] {
  const sizes = [
    { nPieces: 70, pieceSize: 1 },
    { nPieces: 3, pieceSize: 33 },
    { nPieces: 1, pieceSize: 9000 },
  ];
  const ints = {
    indices: [4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3],
    active: [1, 0, 1, 1, 1],
    expert: [0, 2, -1, 3, 0],
    index: [0, 0, -1, -1, 0],
  };
  return sizes.flatMap(({ nPieces, pieceSize }) =>
    ["set", "add", "scale", "clamp", "projectOut"].map((kind): Sample => {
      const w = kind === "clamp" ? 2 : kind === "set" ? 1 : pieceSize;
      return { dims: { T: 5, A: 3, w }, attrs: { kind, nPieces, pieceSize }, ints };
    }),
  );
}

/** Experts that differ within a row, the first ones more often than the last. */
function chosenExperts(T: number, A: number, E: number): number[] {
  const random = randomFrom(1);
  return Array.from({ length: T }).flatMap(() => {
    const keys = Array.from({ length: E }, (_, expert) => [random() * (expert + 1), expert] as const);
    return keys
      .sort(([a], [b]) => a - b)
      .slice(0, A)
      .map(([, expert]) => expert);
  });
}

function randomExperts(length: number, n: number): number[] {
  const random = randomFrom(1);
  return Array.from({ length }, () => Math.floor(random() * n));
}
