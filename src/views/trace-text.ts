import { RequestError } from "../errors.ts";
import type { Model } from "../run/model.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isSparse, range } from "./components.ts";
import { strongestEdges } from "./edges.ts";
import { lengths } from "./lengths.ts";
import { lensView } from "./lens-view.ts";
import { type FiringNeuron, firingNeurons, type LayerNeuronName, promotedTokens } from "./neurons.ts";
import { type ChosenExpert, routerChoices } from "./router-choices.ts";
import { type ShownToken, showToken } from "./tokens.ts";
import { continuation, type Trace, type TraceLayer, type TraceOptions, type TracePrediction } from "./trace.ts";
import { together } from "./view.ts";

/** A neuron at one position, and the tokens that it pushes towards where it is among its layer's strongest. */
export interface TextNeuron extends LayerNeuronName {
  readonly value: number;
  readonly promotes?: TraceLayer["neurons"][number]["promotes"];
}

/** What every layer did at every token of a text: a trace of each position at once. Layers stand from bottom to top. */
export interface TextTrace extends Pick<Trace, "prompt" | "text" | "tokens" | "nPromptTokens" | "position"> {
  /** What the residual stream would predict: [1 + nLayers][position][rank], the embedding's first. */
  readonly predictions: readonly (readonly (readonly TracePrediction[])[])[];
  /** Length of the residual stream, [1 + nLayers][position], and of what each part added to it, [nLayers][position]. */
  readonly lengths: {
    readonly residual: readonly (readonly number[])[];
    readonly attention: readonly (readonly number[])[];
    readonly mlp: readonly (readonly number[])[];
  };
  /** Of sparse layers the experts that tokens went to, in the order of the router, [nLayers][position][slot]; null for others. */
  readonly experts: readonly (readonly (readonly ChosenExpert[])[] | null)[];
  /** Those with the largest values: [nLayers][position][rank]. */
  readonly neurons: readonly (readonly (readonly TextNeuron[])[])[];
  /** The strongest attention of each layer: [nLayers][rank]. */
  readonly edges: readonly TraceLayer["edges"][];
  /** Of each layer: [nHeads, T, T], the position that looks before the one that is looked at. */
  readonly patterns: readonly Tensor[];
}

export interface TextTraceOptions extends TraceOptions {
  /** Longer texts are refused. */
  readonly maxTextTokens?: number;
}

/**
 * Of each layer, the neurons that reach the largest values are asked which tokens they promote: as many as this number of
 * logits is for, and at least 32.
 */
const MAX_PROMOTING_LOGITS = 2 ** 23;

/** Generates from a prompt, then runs the whole text once more and looks into every layer at every position. */
export async function traceText(model: Model, prompt: string, options: TextTraceOptions = {}): Promise<TextTrace> {
  const { nPredictions = 3, nNeurons = 3, nEdges = 3, maxTextTokens, ...rest } = options;
  const { nLayers, vocabSize } = model.config;
  const { text, tokens, nPromptTokens, position } = await continuation(model, prompt, rest);
  if (maxTextTokens !== undefined && tokens.length > maxTextTokens) {
    throw new RequestError("request.option", {
      path: "maxTextTokens",
      expected: `the text, with what is generated, must have at most ${maxTextTokens} tokens`,
      got: `${tokens.length}`,
      remedy: "Give a shorter prompt, or generate fewer tokens.",
    });
  }
  const show = (token: number): ShownToken => showToken(model, token);

  const layers = range(nLayers);
  const sparseLayers = layers.filter((layer) => isSparse(model, layer));
  const block = (name: string): string[] => layers.map((layer) => `blocks.${layer}.${name}`);
  const resid = ["blocks.0.residPre", ...block("residPost")];
  const views = {
    lens: lensView(resid, "all", { k: Math.min(nPredictions, vocabSize) }),
    residual: lengths(resid, "all"),
    attention: lengths(block("attn.contribution"), "all"),
    mlp: lengths(block("mlp.contribution"), "all"),
    neurons: firingNeurons(model, layers, "all", nNeurons),
    experts: routerChoices(sparseLayers, "all"),
    edges: strongestEdges(layers, nEdges),
  };
  const patterns = block("attn.pattern");
  const { edits, signal } = options;
  const run = await model.runDerived(tokens, together(Object.values(views)), {
    read: patterns,
    logits: "none",
    edits,
    generatedFrom: nPromptTokens,
    signal,
  });
  const neurons = views.neurons.present(run);
  const experts = views.experts.present(run);
  const nPromoting = Math.max(32, Math.floor(MAX_PROMOTING_LOGITS / vocabSize));
  const strongest = neurons.flatMap((layer) => strongestOf(layer.flat(), nPromoting));
  const promoted = await promotedTokens(model, strongest, Math.min(3, vocabSize));
  const promotes = new Map(strongest.map((neuron, i) => [keyOf(neuron), promoted[i].map(show)]));
  return {
    prompt,
    text,
    tokens: tokens.map(show),
    nPromptTokens,
    position,
    predictions: views.lens
      .present(run)
      .map((rows) =>
        rows.map((row) => row.predictions.map(({ token, probability }) => ({ ...show(token), probability }))),
      ),
    lengths: {
      residual: views.residual.present(run),
      attention: views.attention.present(run),
      mlp: views.mlp.present(run),
    },
    experts: layers.map((layer) => experts[sparseLayers.indexOf(layer)] ?? null),
    neurons: neurons.map((rows) =>
      rows.map((row) =>
        row.map((found): TextNeuron => {
          const { layer: _layer, ...neuron } = found;
          return { ...neuron, promotes: promotes.get(keyOf(found)) };
        }),
      ),
    ),
    edges: views.edges.present(run).map((edges) =>
      edges.map((edge) => ({
        ...edge,
        fromText: show(tokens[edge.from]).text,
        toText: show(tokens[edge.to]).text,
      })),
    ),
    patterns: patterns.map((name) => run.get(name)),
  };
}

/** A neuron pushes towards other tokens where its value is negative. */
function keyOf({ layer, neuron, expert, value }: FiringNeuron): string {
  return `${layer} ${expert} ${neuron} ${value < 0}`;
}

/** The `n` neurons of one layer that reach the largest values, each once for either sign. */
function strongestOf(found: readonly FiringNeuron[], n: number): FiringNeuron[] {
  const strongest = new Map<string, FiringNeuron>();
  for (const neuron of found.toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value))) {
    if (strongest.size === n) break;
    if (!strongest.has(keyOf(neuron))) strongest.set(keyOf(neuron), neuron);
  }
  return [...strongest.values()];
}
