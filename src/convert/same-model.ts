import { type Architecture, type HasWeight, ModelTape } from "../architectures/architecture.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { nRopeVariants, type RopeConfig, ropeFrequencies, ropeMagnitude, ropeScoreFactor } from "../config/rope.ts";
import { ConfigError } from "../errors.ts";
import { printTape } from "../tape/print.ts";

/** Frequencies that GGUF keeps as float32 factors agree within this. */
const FREQUENCY_TOLERANCE = 1e-6;

/**
 * Refuses a conversion whose target would be read as another model: `read` is the config that the target's own words
 * mean, `has` tells the weights that it holds. A field that only says how weights are stored may differ.
 * @throws ConfigError that names each field which the target cannot say.
 */
export function checkSameModel(
  architecture: Architecture,
  config: ModelConfig,
  read: ModelConfig,
  has: HasWeight,
  target: string,
): void {
  const tapeOf = (c: ModelConfig): string =>
    printTape(new ModelTape(architecture, c, architecture.weights(c, has)).tape);
  const fields = Object.keys({ ...config, ...read }) as (keyof ModelConfig)[];
  const different = fields.filter((field) => !isSame(field, config, read));
  // A tape does not show the frequencies themselves.
  const lost = different.filter(
    (field) => isRope(config[field]) || tapeOf({ ...config, [field]: read[field] }) !== tapeOf(config),
  );
  if (lost.length === 0) return;
  const show = (c: ModelConfig): string => lost.map((field) => `${field} ${shown(c[field])}`).join(", ");
  throw new ConfigError("config.unsupported", {
    path: `convert: ${lost.join(", ")}`,
    expected: `${target} must be able to say what the model computes; it would mean ${show(read)}`,
    got: show(config),
    remedy: "Convert to the other format, or open the model as it is.",
  });
}

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? "none";
  return json.length > 160 ? `${json.slice(0, 157)}...` : json;
}

function isSame(field: keyof ModelConfig, a: ModelConfig, b: ModelConfig): boolean {
  const [one, other]: unknown[] = [a[field], b[field]];
  return isRope(one) && isRope(other) ? sameRope(one, other, a.headDim) : sameValue(one, other);
}

/** Some families have a rotary embedding for each kind of layer. */
function isRope(value: unknown): value is RopeConfig {
  return typeof value === "object" && value !== null && "theta" in value;
}

/** Numbers as float32, which is what GGUF keeps. */
function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a === "number" && typeof b === "number") return Math.fround(a) === Math.fround(b);
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((element, i) => sameValue(element, b[i]));
}

function sameRope(a: RopeConfig, b: RopeConfig, headDim: number): boolean {
  if (JSON.stringify(a) === JSON.stringify(b)) return true;
  const near = (x: number, y: number): boolean => Math.abs(x - y) <= FREQUENCY_TOLERANCE * Math.abs(x);
  const [ofA, ofB] = [a, b].map((rope) => allFrequencies(rope, headDim));
  return (
    changesAt(a) === changesAt(b) &&
    near(ropeMagnitude(a), ropeMagnitude(b)) &&
    near(ropeScoreFactor(a), ropeScoreFactor(b)) &&
    ofA.length === ofB.length &&
    ofA.every((f, i) => near(f, ofB[i]))
  );
}

/** The length beyond which sequences turn by other frequencies. */
function changesAt({ scaling }: RopeConfig): number | undefined {
  return scaling.type === "longrope" ? scaling.originalContextLength : undefined;
}

function allFrequencies(rope: RopeConfig, headDim: number): number[] {
  const rotaryDim = rope.scaling.type === "longrope" ? 2 * rope.scaling.longFactors.length : headDim;
  const variants = Array.from({ length: nRopeVariants(rope) }, (_, variant) => variant);
  return variants.flatMap((variant) => [...ropeFrequencies(rope, rotaryDim, variant)]);
}
