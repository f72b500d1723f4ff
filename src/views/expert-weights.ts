import { sparseSizes } from "../config/model-config.ts";
import { columnNorms, norm, rowNorms, selectRows, topK } from "../ops/index.ts";
import type { Model, WeightScope } from "../run/model.ts";
import { input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { range } from "./components.ts";
import { alongRows } from "./cosines.ts";
import type { ExpertPlace } from "./expert-uses.ts";
import { expertRows, rowsOf } from "./expert-writers.ts";

/** One matrix of an expert. */
export interface ExpertMatrix {
  /** The weight that it is a part of, such as `blocks.5.experts.wDown`. */
  readonly weight: string;
  readonly shape: readonly number[];
  /** As it is stored. */
  readonly format: string;
  /** √Σw² */
  readonly norm: number;
}

/** A neuron by the lengths of its weights. */
export interface NeuronLengths {
  readonly neuron: number;
  /** Of its column of wDown. */
  readonly writes: number;
  /** Of its rows of wGate and wUp. */
  readonly reads: readonly number[];
}

export interface ExpertInWeights {
  readonly nNeurons: number;
  readonly weights: readonly ExpertMatrix[];
  /** Those that write most for each unit of their value. */
  readonly neurons: readonly NeuronLengths[];
  /** Experts whose rows of the router point most along the expert's own, by cosine; none for the shared expert. */
  readonly similar: readonly { readonly expert: number; readonly cosine: number }[];
}

const INPUTS = ["wGate", "wUp"] as const;

/** `k`: how many neurons and experts to list. */
export async function expertInWeights(model: Model, place: ExpertPlace, k: number): Promise<ExpertInWeights> {
  const { bindings, config } = model;
  const { dModel } = config;
  const { layer, expert } = place;
  const { nExperts, dExpert, dShared } = sparseSizes(config);
  const nNeurons = expert === undefined ? dShared : dExpert;
  const nSimilar = expert === undefined ? 0 : Math.min(k + 1, nExperts);
  const name = (part: string): string => `blocks.${layer}.${expert === undefined ? "shared" : "experts"}.${part}`;
  const results = await model.evaluate(
    (scope) => {
      const matrix = (part: "wGate" | "wUp" | "wDown"): Value => matrixOf(model, scope, name(part), place);
      const [wDown, ...into] = [matrix("wDown"), ...INPUTS.map(matrix)];
      const [writes, index] = topK(columnNorms(wDown), { k: Math.min(k, nNeurons) });
      return {
        writes,
        index,
        "wDown.norm": norm(rowNorms(wDown)),
        ...Object.fromEntries(
          INPUTS.flatMap((part, i) => {
            const lengths = rowNorms(into[i]); // [nNeurons]
            return [
              [`${part}.norm`, norm(lengths)],
              [`${part}.reads`, selectRows(lengths, index)],
            ];
          }),
        ),
        ...(nSimilar > 0 && similarRows(scope, layer, nExperts, nSimilar)),
      };
    },
    expert === undefined
      ? {}
      : {
          expert: Int32Array.of(expert),
          neurons: rowsOf(expert, nNeurons),
          outputs: rowsOf(expert, dModel),
        },
  );
  const of = (output: string): Tensor => results.get(output) as Tensor;
  return {
    nNeurons,
    weights: [...INPUTS, "wDown" as const].map((part) => ({
      weight: name(part),
      shape: part === "wDown" ? [dModel, nNeurons] : [nNeurons, dModel],
      format: bindings.weights.get(name(part))?.dtype ?? "",
      norm: of(`${part}.norm`).at(),
    })),
    neurons: Array.from(of("index").data, (neuron, i) => ({
      ...{ neuron, writes: of("writes").at(i) },
      reads: INPUTS.map((part) => of(`${part}.reads`).at(i)),
    })),
    similar: range(nSimilar)
      .map((rank) => ({
        expert: of("similarIndex").at(0, rank),
        cosine: of("similar").at(0, rank) / of("router.norm").at(0),
      }))
      // Its own row is the most similar, and a row of zeros points nowhere.
      .filter((other) => other.expert !== expert && !Number.isNaN(other.cosine))
      .slice(0, k),
  };
}

/** A matrix of the shared expert, or the rows of one expert in the stack of all. */
function matrixOf(model: Model, { weight }: WeightScope, name: string, { expert }: ExpertPlace): Value {
  if (expert === undefined) return weight(name);
  const { dModel } = model.config;
  const rows = name.endsWith("wDown")
    ? input("outputs", "int", [dModel])
    : input("neurons", "int", [sparseSizes(model.config).dExpert]);
  return expertRows(model, name, rows);
}

/** The rows of a router along the row of one expert. */
function similarRows({ weight }: WeightScope, layer: number, nExperts: number, k: number): Record<string, Value> {
  const router = weight(`blocks.${layer}.router.wRouter`); // [nExperts, dModel]
  const own = selectRows(router, input("expert", "int", [1])); // [1, dModel]
  const [values, indices] = topK(alongRows(own, router, nExperts), { k });
  return { similar: values, similarIndex: indices, "router.norm": norm(own) };
}
