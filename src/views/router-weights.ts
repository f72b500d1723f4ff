import { sparseSizes } from "../config/model-config.ts";
import { divide, matmul, norm, selectRows, splitHeads, topK } from "../ops/index.ts";
import type { Model } from "../run/model.ts";
import { input } from "../tape/builder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { range } from "./components.ts";
import { type Report, report } from "./report.ts";
import { sparseLayers } from "./router.ts";
import { table } from "./text/table.ts";
import { clip } from "./text/width.ts";

/** What decides that tokens go to one expert. */
export interface RouterWeightsRow {
  readonly expert: number;
  /** Length of its row of the router. */
  readonly norm: number;
  /** On its logit; undefined where the family has none. */
  readonly bias?: number;
  /** On its score, for the choice alone; undefined where the family has none. */
  readonly selectionBias?: number;
  /** The expert whose row points most along its own, and their cosine; null where there is none. */
  readonly nearest: number | null;
  readonly cosine: number | null;
}

export interface RouterWeights {
  readonly layer: number;
  readonly nExperts: number;
  readonly nExpertsPerToken: number;
  /** One for each expert. */
  readonly rows: readonly RouterWeightsRow[];
}

/** The router of one layer by its weights alone. */
export async function routerWeights(model: Model, layer: number): Promise<Report<RouterWeights>> {
  sparseLayers("router", model, [layer]);
  const { nExperts, nExpertsPerToken } = sparseSizes(model.config);
  const name = (part: string): string => `blocks.${layer}.router.${part}`;
  const biases = ["bRouter", "selectionBias"].filter((part) => model.bindings.weights.has(name(part)));
  const nNearest = Math.min(2, nExperts);
  const results = await model.evaluate(
    ({ weight }) => {
      const all = input("experts", "int", [nExperts]);
      const router = selectRows(weight(name("wRouter")), all); // [nExperts, dModel]
      const norms = norm(splitHeads(router, { nHeads: 1, headDim: model.config.dModel })); // [nExperts, 1]
      const units = divide(router, norms);
      const [cosine, nearest] = topK(matmul(units, units), { k: nNearest }); // [nExperts, nNearest]
      const stored = biases.map((part) => [part, selectRows(weight(name(part)), all)] as const);
      return { norms, cosine, nearest, ...Object.fromEntries(stored) };
    },
    { experts: Int32Array.from(range(nExperts)) },
  );
  const of = (output: string): Tensor => results.get(output) as Tensor;
  const biasOf = (part: string, expert: number) => (biases.includes(part) ? of(part).at(expert) : undefined);
  const data: RouterWeights = {
    ...{ layer, nExperts, nExpertsPerToken },
    rows: range(nExperts).map((expert): RouterWeightsRow => {
      const [bias, selectionBias] = [biasOf("bRouter", expert), biasOf("selectionBias", expert)];
      // Its own row is the nearest of all, and a row of zeros has none.
      const rank = range(nNearest).find((i) => of("nearest").at(expert, i) !== expert) ?? -1;
      const cosine = rank < 0 ? Number.NaN : of("cosine").at(expert, rank);
      return {
        ...{ expert, norm: of("norms").at(expert, 0) },
        ...(bias !== undefined && { bias }),
        ...(selectionBias !== undefined && { selectionBias }),
        ...(Number.isNaN(cosine)
          ? { nearest: null, cosine: null }
          : { nearest: of("nearest").at(expert, rank), cosine }),
      };
    }),
  };
  return report(data, (width) => print(data, width));
}

/** Experts that are listed at each end. */
const N_LISTED = 10;

function print({ layer, nExperts, nExpertsPerToken, rows }: RouterWeights, width: number): string {
  const hasBias = rows[0].bias !== undefined;
  const hasSelectionBias = rows[0].selectionBias !== undefined;
  const list = (title: string, key: (row: RouterWeightsRow) => number): string[] => {
    const sorted = rows.toSorted((a, b) => key(b) - key(a));
    const shown = sorted.length <= 2 * N_LISTED ? sorted : [...sorted.slice(0, N_LISTED), ...sorted.slice(-N_LISTED)];
    const between = sorted.length - shown.length;
    return [
      "",
      clip(between === 0 ? title : `${title}; ${between} between the first ${N_LISTED} and the last`, width),
      table({
        head: [
          ...["expert", "norm", ...(hasBias ? ["bias"] : []), ...(hasSelectionBias ? ["selection bias"] : [])],
          ...["most like", "cosine"],
        ],
        rows: shown.map(({ expert, norm, bias, selectionBias, nearest, cosine }) => [
          ...[`E${expert}`, norm, ...(hasBias ? [bias] : []), ...(hasSelectionBias ? [selectionBias] : [])],
          ...[nearest === null ? null : `E${nearest}`, cosine],
        ]),
        width,
      }),
    ];
  };
  return [
    clip(`The router of layer ${layer}: ${nExpertsPerToken} of ${nExperts} experts for each token`, width),
    ...list("Experts by how much their rows are alike", ({ cosine }) => cosine ?? -2),
    ...(hasSelectionBias ? list("Experts by the bias of the choice", ({ selectionBias }) => selectionBias ?? 0) : []),
  ].join("\n");
}
