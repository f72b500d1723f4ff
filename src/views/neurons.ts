import { sparseSizes } from "../config/model-config.ts";
import { matmulIndexed, mergeHeads, mul, selectColumns, selectRows } from "../ops/index.ts";
import { type Positions, resolvePositions } from "../points/read-spec.ts";
import type { Model, WeightScope } from "../run/model.ts";
import type { Run } from "../run/result.ts";
import { input } from "../tape/builder.ts";
import type { Value } from "../tape/value.ts";
import { Tensor } from "../tensor/tensor.ts";
import { isSparse } from "./components.ts";
import { bySize, extremes, largestInSize } from "./extremes.ts";
import { postNorm } from "./route.ts";
import type { View } from "./view.ts";

/** A neuron of a layer's MLP; in a sparse layer of one of its experts, or of the shared one. */
export interface LayerNeuronName {
  readonly neuron: number;
  readonly expert?: number | "shared";
}

/** A neuron and its value (`mlp.post`, `experts.post` or `shared.post`) at one position. */
export interface FiringNeuron extends LayerNeuronName {
  readonly layer: number;
  readonly value: number;
}

/** As it is written behind a layer: `N3`, `E17.N3`, `shared.N3`. */
export function neuronName({ neuron, expert }: LayerNeuronName): string {
  if (expert === undefined) return `N${neuron}`;
  return expert === "shared" ? `shared.N${neuron}` : `E${expert}.N${neuron}`;
}

/**
 * The `n` neurons of each of the layers with the largest values, of either sign: [layer][position][rank]. In a sparse layer
 * they are those of the shared expert and of the experts that the position's token went to.
 */
export function firingNeurons(
  model: Pick<Model, "config">,
  layers: readonly number[],
  positions: Positions,
  n: number,
): View<FiringNeuron[][][]> {
  const views = layers.map((layer) =>
    isSparse(model, layer) ? firingInExperts(model, layer, positions, n) : firingInMlp(model, layer, positions, n),
  );
  return {
    key: `neurons ${JSON.stringify([layers, positions, n])}`,
    points: views.flatMap(({ points }) => points),
    build: (scope) => Object.assign({}, ...views.map((view) => view.build(scope))),
    present: (run) => views.map((view) => view.present(run)),
  };
}

type LayerView = Pick<View<FiringNeuron[][]>, "points" | "build" | "present">;

function firingInMlp({ config }: Pick<Model, "config">, layer: number, positions: Positions, n: number): LayerView {
  const [point, name] = [`blocks.${layer}.mlp.post`, `neurons.${layer}`];
  return {
    points: [point],
    build: ({ at, rowsAt }) => extremes(name, selectRows(at(point), rowsAt(positions)), Math.min(n, config.dFf)), // [positions, dFf]
    present: (run) =>
      rowsOf(run, name).map((row) =>
        largestInSize(name, (output) => run.derived(output), row).map(({ index, value }) => {
          return { layer, neuron: index, value };
        }),
      ),
  };
}

function firingInExperts(model: Pick<Model, "config">, layer: number, positions: Positions, n: number): LayerView {
  const { nExpertsPerToken, dExpert, dShared } = sparseSizes(model.config);
  const [post, indices] = [`blocks.${layer}.experts.post`, `blocks.${layer}.router.indices`];
  const shared = `blocks.${layer}.shared.post`;
  const name = (part: string): string => `neurons.${layer}.${part}`;
  const hasShared = dShared > 0;
  return {
    points: [post, indices, ...(hasShared ? [shared] : [])],
    build({ at, rowsAt }) {
      const rows = rowsAt(positions);
      return {
        [name("indices")]: at(indices),
        ...extremes(name("experts"), selectRows(at(post), rows), Math.min(n, dExpert)), // [positions, A, dExpert]
        ...(hasShared && extremes(name("shared"), selectRows(at(shared), rows), Math.min(n, dShared))),
      };
    },
    present(run) {
      const chosen = run.derived(name("indices")); // [T, A]
      const [from] = resolvePositions(positions, 0, chosen.shape[0], "positions");
      const found = (part: string, row: number, expert: number | "shared"): FiringNeuron[] =>
        largestInSize(name(part), (output) => slotsAsRows(run.derived(output)), row).map(({ index, value }) => {
          return { layer, neuron: index, expert, value };
        });
      return rowsOf(run, name("experts")).map((row) => {
        const experts = Array.from(chosen.row(from + row).data);
        const routed = experts.flatMap((expert, slot) => found("experts", row * nExpertsPerToken + slot, expert));
        return [...(hasShared ? found("shared", row, "shared") : []), ...routed].sort(bySize).slice(0, n);
      });
    },
  };
}

/** The rows of what `extremes` put out under a name. */
function rowsOf(run: Run, name: string): number[] {
  return Array.from({ length: run.derived(`${name}.high`).shape[0] }, (_, row) => row);
}

/** [positions, A, k] as [positions * A, k]. */
function slotsAsRows({ shape, data }: Tensor): Tensor {
  const k = shape.at(-1) as number;
  return new Tensor([data.length / k, k], data);
}

/** The neurons of one layer whose output weights lie together. */
interface Group {
  readonly name: string;
  readonly layer: number;
  readonly part: "mlp" | "shared" | "experts";
  readonly neurons: readonly FiringNeuron[];
}

/** The `k` tokens whose logits each neuron raises most through its output weights, given the sign of its value. */
export async function promotedTokens(model: Model, neurons: readonly FiringNeuron[], k: number): Promise<number[][]> {
  const groups = [...Map.groupBy(neurons, groupName)].map(([name, members]): Group => {
    const [{ layer, expert }] = members;
    const part = expert === undefined ? "mlp" : expert === "shared" ? "shared" : "experts";
    return { name, layer, part, neurons: members };
  });
  const inputs = groups.map((group) => outputInputs(model, group));
  const results = await model.evaluate(
    (scope) => {
      const all = groups.map((group) => extremes(group.name, scope.readout(outputsOf(model, scope, group)), k));
      return Object.assign({}, ...all); // [n, vocabSize] of each group
    },
    Object.assign({}, ...inputs.map(({ ints }) => ints)),
    Object.assign({}, ...inputs.map(({ floats }) => floats)),
  );
  const next = new Map(groups.map(({ name }) => [name, 0]));
  return neurons.map((neuron) => {
    const name = groupName(neuron);
    const row = next.get(name) ?? 0;
    next.set(name, row + 1);
    const tokens = results.get(`${name}.${neuron.value < 0 ? "low" : "high"}Index`) as Tensor;
    return Array.from(tokens.row(row).data);
  });
}

function groupName({ layer, expert }: FiringNeuron): string {
  return `${layer} ${typeof expert === "number" ? "experts" : (expert ?? "mlp")}`;
}

/** What a group's neurons write to the residual stream for each unit of their values. [n, dModel] */
function outputsOf(model: Model, { weight }: WeightScope, { name, layer, part, neurons }: Group): Value {
  const wDown = weight(`blocks.${layer}.${part}.wDown`);
  const gain = `${postNorm(layer, "mlp")}.gain`;
  const { length: n } = neurons;
  const columns =
    part === "experts"
      ? // A neuron alone of its expert, so that of a stack of matrices one column each is made.
        mergeHeads(
          matmulIndexed(
            input(`${name} neurons`, "float", [n, 1, sparseSizes(model.config).dExpert]),
            wDown,
            input(`${name} experts`, "int", [n, 1]),
          ),
        )
      : selectColumns(wDown, input(`${name} neurons`, "int", [n]));
  return model.bindings.weights.has(gain) ? mul(columns, weight(gain)) : columns;
}

/** The inputs that `outputsOf` declares. */
function outputInputs({ config }: Model, { name, part, neurons }: Group) {
  if (part !== "experts") {
    return { ints: { [`${name} neurons`]: Int32Array.from(neurons, ({ neuron }) => neuron) }, floats: {} };
  }
  const { dExpert } = sparseSizes(config);
  const alone = new Float32Array(neurons.length * dExpert);
  for (const [i, { neuron }] of neurons.entries()) alone[i * dExpert + neuron] = 1;
  const experts = Int32Array.from(neurons, ({ expert }) => Number(expert));
  return { ints: { [`${name} experts`]: experts }, floats: { [`${name} neurons`]: alone } };
}
