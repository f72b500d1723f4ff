import type { Sample } from "../../src/tape/op.ts";
import type { Attrs } from "../../src/tape/value.ts";
import { EXPERT_SAMPLES } from "./experts.ts";

/**
 * Sizes around which kernels change their ways: one row and many, lengths that are no multiple of a vector or a block,
 * more work than one chunk. They come on top of the ops' own samples, which are small.
 */
export const SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  ...elementwise(),
  ...rowwise(),
  ...edits(),
  matmul: [
    ...matmuls([1, 1, 1], [1, 70, 64], [2, 17, 160], [3, 40, 32], [5, 33, 31], [6, 64, 96], [7, 35, 256]),
    ...matmuls([1, 129, 1056], [16, 96, 64], [33, 48, 64], [70, 100, 288]),
    ...matmuls([1, 40, 1792], [6, 33, 1024], [12, 20, 256], [13, 35, 512]),
    { dims: { "...": 9, n: 37, k: 96 }, without: ["bias"] },
    { dims: { "...": 1, n: 200, k: 96 }, without: ["bias"] },
  ],
  matmulPerHead: [
    { dims: { T: 1, H: 2, D: 32, n: 33 } },
    { dims: { T: 3, H: 4, D: 64, n: 70 } },
    { dims: { T: 2, H: 3, D: 80, n: 40 } },
    { dims: { T: 9, H: 5, D: 17, n: 21 } },
    { dims: { T: 3, H: 8, D: 96, n: 35 } },
  ],
  selectRows: [
    { dims: { n: 40, "...": 96, R: 9 } },
    { dims: { n: 5, "...": 33, R: 3 } },
    { dims: { n: 300, "...": 64, R: 100 } },
    { dims: { n: 9, "...": 512, R: 5 } },
  ],
  matmulTransposed: [
    // Strips of 512 columns, panels of up to 64 rows, parts of the rows, blocks of 256 rows of x.
    ...matmuls([1, 70, 64], [3, 17, 160], [2, 33, 31], [7, 130, 544], [1, 200, 256], [13, 65, 768], [6, 1, 32]),
    ...matmuls([300, 40, 64], [5, 130, 1280]),
  ],
  rowNorms: [
    { dims: { n: 1, k: 1 } },
    { dims: { n: 700, k: 33 } },
    { dims: { n: 70, k: 256 } },
    { dims: { n: 3, k: 2304 } },
  ],
  columnNorms: [
    { dims: { n: 1, k: 1 } },
    { dims: { n: 70, k: 33 } },
    { dims: { n: 200, k: 544 } },
    { dims: { n: 130, k: 1280 } },
  ],
  sum: [{ dims: { "...": 1, d: 1 } }, { dims: { "...": 700, d: 33 } }, { dims: { "...": 3, d: 9000 } }],
  meanRows: [{ dims: { n: 1, "...": 1 } }, { dims: { n: 200, "...": 33 } }, { dims: { n: 130, "...": 1100 } }],
  selectHeads: [
    { dims: { T: 1, H: 1, D: 1, n: 1 }, ints: { heads: [0] } },
    { dims: { T: 70, H: 5, D: 64, n: 7 }, ints: { heads: [4, 4, 0, 1, 3, 0, 2] } },
  ],
  topRows: [
    { dims: { n: 1, m: 1 }, attrs: { k: 1 } },
    { dims: { n: 300, m: 37 }, attrs: { k: 9 } },
    { dims: { n: 40, m: 16 }, attrs: { k: 50 } },
  ],
  selectColumns: [
    { dims: { n: 70, k: 64, R: 5 } },
    { dims: { n: 33, k: 96, R: 40 } },
    { dims: { n: 9, k: 768, R: 30 } },
  ],
  topK: [
    { dims: { "...": 2, n: 5000 }, attrs: { k: 7 } },
    { dims: { "...": 40, n: 33 }, attrs: { k: 33 } },
    { dims: { "...": 1, n: 1 }, attrs: { k: 1 } },
  ],
  ...rotations(),
  ...EXPERT_SAMPLES,
  topKeys: [
    {
      dims: { H: 3 },
      attrs: { k: 5 },
      rows: [
        { start: 40, nRows: 3 },
        { start: 0, nRows: 20 },
      ],
    },
    { dims: { H: 2 }, attrs: { k: 4, window: 6 }, rows: [{ start: 30, nRows: 9 }] },
  ],
  selectPairs: [
    {
      dims: { H: 3, R: 7 },
      attrs: {},
      rows: [
        { start: 33, nRows: 5 },
        { start: 0, nRows: 18 },
      ],
    },
    { dims: { H: 2, R: 3 }, attrs: { window: 4 }, rows: [{ start: 20, nRows: 6 }] },
  ],
};

function elementwise(): Record<string, readonly Sample[]> {
  const broadcast: Sample[] = [
    { dims: { "*": 1, "...": 17 } },
    { dims: { "*": 3, "...": 1000 } },
    { dims: { "*": 200, "...": 33 } },
    { dims: { "*": 2, "...": 9000 } },
  ];
  const fns: Sample[] = ["silu", "gelu", "geluTanh", "relu"].map((fn) => ({ dims: { "...": 1037 }, attrs: { fn } }));
  const sigmoid: Sample = { dims: { "...": 1037 }, attrs: { fn: "sigmoid" } };
  const large: Sample[] = [{ dims: { "...": 20_001 }, attrs: { fn: "silu" } }];
  return {
    add: broadcast,
    mul: broadcast,
    activate: [...fns, sigmoid, ...large],
    glu: [...fns, ...large],
    toCache: [{ dims: { "...": 1037 }, attrs: { type: "f16" } }],
  };
}

function rowwise(): Record<string, readonly Sample[]> {
  const sizes = [
    { "...": 1, d: 1 },
    { "...": 5, d: 1000 },
    { "...": 70, d: 33 },
    { "...": 2, d: 4099 },
  ];
  const plain = sizes.map((dims): Sample => ({ dims }));
  const withEps = sizes.map((dims): Sample => ({ dims, attrs: { eps: 1e-5 } }));
  return {
    center: plain,
    divide: plain,
    norm: plain,
    rms: withEps,
    rmsNorm: withEps,
    layerNorm: withEps,
    softmax: sizes.map(({ d, ...rest }) => ({ dims: { ...rest, n: d } })),
  };
}

function matmuls(...sizes: readonly [nRows: number, n: number, k: number][]): Sample[] {
  return sizes.map(([nRows, n, k]) => ({ dims: { "...": nRows, n, k } }));
}

/** Pieces of one element and of many, rows that share a chunk and rows longer than one, and the scores of many rows. */
function edits(): Record<string, readonly Sample[]> {
  const sizes = [
    { nPieces: 70, pieceSize: 1 },
    { nPieces: 3, pieceSize: 33 },
    { nPieces: 2, pieceSize: 9000 },
  ];
  const kinds = ["set", "add", "scale", "clamp", "projectOut"];
  const widths = (kind: string, pieceSize: number) =>
    kind === "clamp" ? [2] : kind === "projectOut" ? [pieceSize] : [1, pieceSize];
  const ints = { active: [1, 0, 1, 1, 0], index: [1, 0, -1, 0, -1] };
  const rows = [
    { start: 30, nRows: 3 },
    { start: 0, nRows: 20 },
  ];
  const byRow = (of: (t: number) => number): number[] => Array.from({ length: 23 }, (_, t) => of(t));
  // Keys beyond what a row sees, and before a window, are among them.
  const pairs = { active: byRow((t) => t % 3), head: byRow((t) => (t % 4) - 1), key: byRow((t) => (t % 7) * 5 - 5) };
  const pairSample = (attrs: Attrs, dims: Sample["dims"] = {}): Sample => {
    return { dims: { H: 3, ...dims }, attrs, rows, ints: pairs };
  };
  return {
    edit: sizes.flatMap(({ nPieces, pieceSize }) =>
      kinds.flatMap((kind) =>
        [...new Set(widths(kind, pieceSize))].map(
          (w): Sample => ({ dims: { T: 5, w }, attrs: { kind, nPieces, pieceSize }, ints }),
        ),
      ),
    ),
    editPairs: kinds
      .slice(0, 4)
      .flatMap((kind) => [undefined, 9].map((window) => pairSample({ kind, window }, { w: kind === "clamp" ? 2 : 1 }))),
    patchPairs: [pairSample({}), pairSample({ window: 9 })],
  };
}

function rotations(): Record<string, readonly Sample[]> {
  const attrs = (pairing: string, magnitude: number) => ({ pairing, magnitude });
  const rows = [
    { start: 0, nRows: 7 },
    { start: 21, nRows: 1 },
    { start: 5, nRows: 30 },
  ];
  return {
    rotate: [
      { dims: { T: 5, H: 3, D: 64, r: 32 }, attrs: attrs("half", 1) },
      { dims: { T: 1, H: 1, D: 40, r: 9 }, attrs: attrs("adjacent", 1.5) },
      { dims: { T: 33, H: 2, D: 40, r: 9 }, attrs: attrs("half", 1.5) },
    ],
    rope: [
      { dims: { H: 3, D: 64, nVariants: 1, r: 32 }, attrs: attrs("half", 1), rows },
      { dims: { H: 2, D: 64, nVariants: 2, r: 32 }, attrs: attrs("adjacent", 1), rows },
      { dims: { H: 2, D: 40, nVariants: 2, r: 9 }, attrs: attrs("half", 1.25), rows },
      { dims: { H: 1, D: 2, nVariants: 1, r: 1 }, attrs: attrs("adjacent", 1), rows },
    ],
    rotaryAngles: [{ dims: { nVariants: 2, r: 37 }, rows }],
  };
}
