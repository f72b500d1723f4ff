import { RequestError } from "../errors.ts";
import type { EditObject } from "../glass/edit-spec.ts";
import type { Address } from "../points/address.ts";
import type { Prompt } from "../run/chat.ts";
import type { Model } from "../run/model.ts";
import { checkChoice, checkOptions } from "../run/options.ts";
import { pairOfTexts } from "./patch.ts";
import { metricOf, type PatchMetric } from "./patch-metric.ts";
import { type Report, report } from "./report.ts";
import { table } from "./text/table.ts";

export interface PathPatchOptions {
  readonly clean: Prompt;
  /** It has as many tokens as the clean one. */
  readonly corrupted: Prompt;
  /** Where the path begins: an address whose value is taken from the clean run. */
  readonly from: string;
  /** Where it ends: an address above it, such as `L5.H3.q`, `L4.mlp.pre` or `logits`. */
  readonly to: string;
  /** What may lie between the two: "direct" the residual stream alone, "mlps" MLPs as well; heads stay as they are. */
  readonly through?: "direct" | "mlps";
  readonly metric: PatchMetric;
  readonly signal?: AbortSignal;
}

export interface PathPatch {
  readonly from: string;
  readonly to: string;
  readonly through: "direct" | "mlps";
  readonly metric: string;
  readonly clean: number;
  readonly corrupted: number;
  readonly patched: number;
  /** 0 where it is as in the corrupted run, 1 where it is as in the clean run; null where the two do not differ. */
  readonly effect: number | null;
  readonly rows: readonly { readonly run: string; readonly metric: number }[];
}

/**
 * Path patching (Wang et al. 2022, arXiv:2211.00593; Goldowsky-Dill et al. 2023, arXiv:2304.05969): how much of a
 * component's effect goes to another one without the heads between them. The corrupted text runs with the sender's
 * clean value while what lies off the path is held at its corrupted value; what then reaches the receiver is put into a
 * second run.
 */
export async function pathPatch(model: Model, options: PathPatchOptions): Promise<Report<PathPatch>> {
  checkOptions("pathPatch", options, ["clean", "corrupted", "from", "to", "through", "metric", "signal"]);
  const { through = "direct", signal } = options;
  checkChoice("pathPatch: through", through, ["direct", "mlps"]);
  const metric = metricOf("pathPatch: metric", model, options.metric);
  const [from, to] = [end("from", model, options.from), end("to", model, options.to)];
  const [clean, corrupted] = pairOfTexts("pathPatch", model, options.clean, options.corrupted);
  const order = new Map(model.points().map(({ name }, i) => [name, i]));
  const isBefore = (a: string, b: string): boolean => (order.get(a) ?? 0) < (order.get(b) ?? 0);
  if (!isBefore(from.entry.name, to.entry.name)) {
    throw new RequestError("request.option", {
      path: "pathPatch: to",
      expected: `must be computed after ${from.text}`,
      got: to.text,
      remedy: "Swap the two.",
    });
  }
  const held = heldPoints(model.config.nLayers, from.entry, to.entry, through, isBefore);
  const [cleanRun, corruptedRun] = await Promise.all([
    model.run(clean, { read: [from.entry.name], logits: "last", signal }),
    model.run(corrupted, { read: held, logits: "last", signal }),
  ]);
  // The sender comes last: where it lies in a value that is held, it is what changes of it.
  const sending: EditObject[] = [
    ...held.map((at) => ({ at, patch: corruptedRun })),
    { at: from.text, patch: cleanRun },
  ];
  const logits = to.entry.shape[0] === "R" ? "all" : "last";
  const received = await model.run(corrupted, { read: [to.entry.name], edits: sending, logits, signal });
  const patched = await model.run(corrupted, {
    edits: [{ at: to.text, patch: received }],
    logits,
    signal,
  });
  const values = { clean: metric.of(cleanRun), corrupted: metric.of(corruptedRun), patched: metric.of(patched) };
  const range = values.clean - values.corrupted;
  const data: PathPatch = {
    from: from.text,
    to: to.text,
    through,
    metric: metric.label,
    ...values,
    effect: range === 0 ? null : (values.patched - values.corrupted) / range,
    rows: Object.entries(values).map(([run, metric]) => ({ run, metric })),
  };
  return report(data, (width) => print(data, width));
}

function end(option: "from" | "to", model: Model, text: string): Address {
  const { addresses, positions } = model.address(text);
  const [{ expert }] = addresses;
  if (expert !== undefined) {
    throw new RequestError("request.option", {
      path: `pathPatch: ${option}`,
      expected: "must have a value at every token",
      got: `${text}, which has one where a token went to expert ${expert} alone`,
      remedy: `Take a point of all experts, such as blocks.${addresses[0].entry.layer}.experts.post.`,
    });
  }
  if (addresses.length === 1 && positions === undefined) return addresses[0];
  throw new RequestError("request.option", {
    path: `pathPatch: ${option}`,
    expected: "must be the address of one component, without positions",
    got: text,
  });
}

/**
 * What stays as it was: every head's output, and MLPs where the path may not go through them; but neither what the sender
 * makes in its own part of its block, nor what the receiver is made of in its own.
 */
function heldPoints(
  nLayers: number,
  from: Address["entry"],
  to: Address["entry"],
  through: "direct" | "mlps",
  isBefore: (a: string, b: string) => boolean,
): string[] {
  const parts = through === "direct" ? ["attn.z", "mlp.out"] : ["attn.z"];
  const points = Array.from({ length: nLayers }, (_, i) => parts.map((part) => `blocks.${i}.${part}`)).flat();
  return points.filter((point) => {
    const isSent = partOf(point) === partOf(from.name) && isBefore(from.name, point);
    const isReceived = partOf(point) === partOf(to.name) && !isBefore(to.name, point);
    return !isSent && !isReceived;
  });
}

/** The block and its attention, its MLP or another part of it; what stands in the place of an MLP is one. */
function partOf(point: string): string {
  const part = point.split(".").slice(0, 3).join(".");
  return part.replace(/\.(?:router|experts|shared)$/, ".mlp");
}

function print({ from, to, through, metric, effect, rows }: PathPatch, width: number): string {
  const how = through === "direct" ? "directly" : "directly or through MLPs";
  return [
    `From ${from} to ${to}, ${how}: effect ${effect === null ? "undefined, the two runs do not differ" : effect.toFixed(3)}`,
    "",
    table({ head: ["run", metric], rows: rows.map(({ run, metric }) => [run, metric]), width }),
  ].join("\n");
}
