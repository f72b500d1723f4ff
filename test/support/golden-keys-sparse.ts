import { type Counterpart, inBlock } from "./counterpart.ts";

/** Of the chosen experts, whose slots need not be in golgi's order in the class. */
const ofExperts = (slotsOf: string, ...points: string[]): Counterpart => ({ ...inBlock(...points), slotsOf });

const INDICES = "moe.{i}.indices";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Of families whose layers have experts. */
export const SPARSE_FAMILIES: Readonly<Record<string, Counterpart>> = {
  "out:model.layers.{i}.mlp.gate:0": inBlock("router.logits"),
  "out:model.layers.{i}.mlp.gate:1": ofExperts("out:model.layers.{i}.mlp.gate:2", "router.weights"),
  "out:model.layers.{i}.mlp.gate:2": ofExperts("out:model.layers.{i}.mlp.gate:2", "router.indices"),
  "out:model.layers.{i}.mlp.router:0": inBlock("router.logits"),
  "out:model.layers.{i}.mlp.router:1": ofExperts("out:model.layers.{i}.mlp.router:2", "router.weights"),
  "out:model.layers.{i}.mlp.router:2": ofExperts("out:model.layers.{i}.mlp.router:2", "router.indices"),
  [INDICES]: ofExperts(INDICES, "router.indices"),
  "moe.{i}.weights": ofExperts(INDICES, "router.weights"),
  "moe.{i}.pre": ofExperts(INDICES, "experts.pre"),
  "moe.{i}.preLinear": ofExperts(INDICES, "experts.preLinear"),
  "moe.{i}.post": ofExperts(INDICES, "experts.post"),
  "moe.{i}.expertOut": ofExperts(INDICES, "experts.out"),
  "out:model.layers.{i}.mlp.experts": inBlock("experts.sum"),
  // Qwen2-MoE's name, and DeepSeek's.
  ...sharedExpert("shared_expert"),
  ...sharedExpert("shared_experts"),
  "out:model.layers.{i}.mlp.shared_expert_gate": { ...inBlock("shared.gate"), apply: sigmoid },
};

function sharedExpert(name: string): Record<string, Counterpart> {
  const module = `model.layers.{i}.mlp.${name}`;
  return {
    [`out:${module}.gate_proj`]: inBlock("shared.pre"),
    [`out:${module}.up_proj`]: inBlock("shared.preLinear"),
    [`in:${module}.down_proj`]: inBlock("shared.post"),
    [`out:${module}.down_proj`]: inBlock("shared.out"),
    [`out:${module}`]: inBlock("shared.out"),
  };
}
