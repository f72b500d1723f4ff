import { describe, expect, it, vi } from "vitest";
import { ModelTape } from "../src/architectures/architecture.ts";
import { NO_SLOTS } from "../src/glass/edit.ts";
import { planGlass } from "../src/glass/plan.ts";
import { OPS } from "../src/ops/all.ts";
import { matmulIndexed, selectRows } from "../src/ops/index.ts";
import { PointCatalog } from "../src/points/catalog.ts";
import { layoutOf } from "../src/program/layout.ts";
import { type LoweredProgram, lower } from "../src/program/lower.ts";
import { planSlots } from "../src/program/slots.ts";
import { readConfig } from "../src/run/config.ts";
import { buildTape, input, weight } from "../src/tape/builder.ts";
import type { Op } from "../src/tape/op.ts";

const configs: Readonly<Record<string, object>> = {
  gpt2: { model_type: "gpt2", vocab_size: 11, n_embd: 8, n_layer: 2, n_head: 2, n_positions: 16 },
  llama: {
    ...{ model_type: "llama", vocab_size: 11, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2 },
    ...{ num_key_value_heads: 1, intermediate_size: 12, max_position_embeddings: 16 },
  },
};
const families = Object.keys(configs);

interface Modules {
  readonly readConfig: typeof readConfig;
  readonly ModelTape: typeof ModelTape;
}

function modelTape(family: string, modules: Modules = { readConfig, ModelTape }) {
  const { architecture, config } = modules.readConfig(configs[family], "config.json");
  const weights = architecture.weights(config, () => true);
  return { architecture, config, model: new modules.ModelTape(architecture, config, weights) };
}

/** The modules that build tapes, in a copy in which `point` is the identity function. */
async function modulesWithoutPoints(): Promise<Modules> {
  vi.resetModules();
  vi.doMock("../src/tape/builder.ts", async (original) => ({
    ...(await original<typeof import("../src/tape/builder.ts")>()),
    point: (_name: string, value: unknown) => value,
  }));
  const { readConfig } = await import("../src/run/config.ts");
  const { ModelTape } = await import("../src/architectures/architecture.ts");
  vi.doUnmock("../src/tape/builder.ts");
  return { readConfig, ModelTape };
}

function instructionsOf({ words, firstInstruction }: LoweredProgram): number[][] {
  const instructions: number[][] = [];
  for (let at = firstInstruction; at < words.length; at += words[at + 1]) {
    instructions.push([...words.subarray(at, at + words[at + 1])]);
  }
  return instructions;
}

/** An instruction without what it says of taps. */
function withoutTaps(instruction: readonly number[]): number[] {
  const { inputs, outputs, taps } = layoutOf(OPS[instruction[0]]);
  const first = 2 + inputs.length + outputs.length;
  return [...instruction.slice(0, first), ...instruction.slice(first + taps.length)];
}

const tapsOf = (op: Op): readonly string[] => (op.kind === "composite" ? op.innerPoints : []);

describe.each(families)("the program of %s", (family) => {
  it("is byte-equal to one that was built with `point` as the identity function", async () => {
    const named = lower(modelTape(family).model.tape);
    const { model } = modelTape(family, await modulesWithoutPoints());
    expect(model.tape.points.size).toBe(0);
    expect(lower(model.tape).words).toEqual(named.words);
  });

  it("keeps every instruction, tap flags aside, when every stored point is read", () => {
    const { architecture, config, model } = modelTape(family);
    const kernels = { supports: () => true, taps: tapsOf };
    const catalog = new PointCatalog(model.tape, config.nLayers, architecture.absentPoints, kernels);
    const stored = catalog.entries.filter(({ availability }) => availability === "stored");
    expect(stored.length).toBeGreaterThan(40);
    const plan = (reads: typeof stored) =>
      planGlass(model.tape, (resid) => model.unembed(resid), tapsOf, {
        logits: true,
        reads: reads.map((entry) => ({ entry, positions: "all" })),
        edits: NO_SLOTS,
        keepsState: true,
      });
    const plain = instructionsOf(lower(plan([]).tape));
    const read = lower(plan(stored).tape);
    expect(instructionsOf(read).map(withoutTaps)).toEqual(plain.map(withoutTaps));
    expect(read.outputs.length).toBeGreaterThan(30);
  });
});

describe("a program", () => {
  it("may read a weight of more elements than a word can count", () => {
    const { words } = lower(
      buildTape("large", () => ({ out: selectRows(weight("w", [300_000, 10_000]), input("R1", "int", ["R1"])) })),
    );
    expect(Math.min(...words)).toBe(-1);
  });

  it("takes a weight in rows of the length that each op sees", () => {
    const tape = buildTape("two lengths", () => {
      const w = weight("w", [4, 3, 5]);
      const ints = (name: string, ...shape: number[]) => input(name, "int", shape);
      const products = matmulIndexed(input("x", "float", [1, 1, 5]), w, ints("experts", 1, 2));
      return { products, rows: selectRows(w, ints("rows", 1)), again: selectRows(w, ints("others", 2)) };
    });
    expect(lower(tape).weights.map(({ nCols }) => nCols)).toEqual([5, 15]);
  });
});

describe("places in the arena", () => {
  const size = (coefficient: number, symbol = 0) => ({ coefficient, symbol });

  it("are free again after the last use, and taken by the best fit", () => {
    const uses = [
      { reads: [], writes: [0] },
      { reads: [], writes: [1] },
      { reads: [0, 1], writes: [2] },
      { reads: [2], writes: [3] },
    ];
    const { slotOf, slots } = planSlots(uses, [size(8), size(4), size(3), size(2)]);
    expect([0, 1, 2, 3].map((number) => slotOf.get(number))).toEqual([0, 1, 2, 1]);
    expect(slots.map(({ coefficient }) => coefficient)).toEqual([8, 4, 3]);
  });

  it("are never shared between an operand and a result of one instruction, nor between other sizes", () => {
    const uses = [
      { reads: [], writes: [0] },
      { reads: [0], writes: [1] },
      { reads: [1], writes: [2] },
    ];
    const { slotOf } = planSlots(uses, [size(8), size(8), size(8, 1)]);
    expect(new Set([0, 1, 2].map((number) => slotOf.get(number))).size).toBe(3);
  });

  it("grow where nothing free is large enough", () => {
    const uses = [
      { reads: [], writes: [0] },
      { reads: [0], writes: [1] },
      { reads: [1], writes: [2] },
    ];
    const { slots } = planSlots(uses, [size(2), size(4), size(9)]);
    expect(slots.map(({ coefficient }) => coefficient)).toEqual([9, 4]);
  });
});
