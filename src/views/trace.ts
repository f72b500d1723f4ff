import { RequestError } from "../errors.ts";
import type { GenerateOptions } from "../run/generate.ts";
import type { Model } from "../run/model.ts";
import type { SessionOptions } from "../run/session.ts";
import { isSparse, range } from "./components.ts";
import { type AttentionEdge, strongestEdges } from "./edges.ts";
import { lengths } from "./lengths.ts";
import { lensView } from "./lens-view.ts";
import { firingNeurons, type LayerNeuronName, promotedTokens } from "./neurons.ts";
import { type ChosenExpert, routerChoices } from "./router-choices.ts";
import { type ShownToken, showToken } from "./tokens.ts";
import { together } from "./view.ts";

export interface TraceOptions
  extends Pick<GenerateOptions, "maxTokens" | "temperature" | "seed" | "signal">,
    Pick<SessionOptions, "edits"> {
  /** Position to look at; the prompt's last, which chose the first generated token, where undefined. */
  readonly position?: number;
  /** How many to list in each layer. */
  readonly nPredictions?: number;
  readonly nNeurons?: number;
  readonly nEdges?: number;
  /** Called with each piece of generated text. */
  readonly onText?: (text: string) => void;
}

export interface TraceToken {
  readonly token: number;
  readonly text: string;
}

export interface TracePrediction extends TraceToken {
  readonly probability: number;
}

/** One layer at the position looked at. */
export interface TraceLayer {
  readonly layer: number;
  /** What the residual stream after this layer would predict. */
  readonly predictions: readonly TracePrediction[];
  /** Length of what each part added to the residual stream, and of the stream after it. */
  readonly lengths: { readonly attention: number; readonly mlp: number; readonly residual: number };
  /** Of a sparse layer the experts that the position's token went to, in the order of the router. */
  readonly experts?: readonly ChosenExpert[];
  /** Those with the largest values at the position, and the tokens that each pushes towards. */
  readonly neurons: readonly (LayerNeuronName & { value: number; promotes: readonly TraceToken[] })[];
  /** Over the whole text, not only the position. */
  readonly edges: readonly (AttentionEdge & { fromText: string; toText: string })[];
}

/** How a model came to its next token, from the embedding to the last layer. Plain data. */
export interface Trace {
  readonly prompt: string;
  /** What the model generated. */
  readonly text: string;
  /** Prompt and generated tokens. */
  readonly tokens: readonly TraceToken[];
  readonly nPromptTokens: number;
  readonly position: number;
  /** What the token's embedding alone would predict, and its length. */
  readonly embed: { readonly predictions: readonly TracePrediction[]; readonly length: number };
  /** From bottom to top. */
  readonly layers: readonly TraceLayer[];
}

/** Generates from a prompt, then runs the whole text once more and looks into every layer. */
export async function trace(model: Model, prompt: string, options: TraceOptions = {}): Promise<Trace> {
  const { nPredictions = 3, nNeurons = 3, nEdges = 3, ...rest } = options;
  const { nLayers, vocabSize } = model.config;
  const { text, tokens, nPromptTokens, position } = await continuation(model, prompt, rest);
  const show = (token: number): ShownToken => showToken(model, token);

  const layers = range(nLayers);
  const sparseLayers = layers.filter((layer) => isSparse(model, layer));
  const block = (name: string): string[] => layers.map((layer) => `blocks.${layer}.${name}`);
  const resid = ["blocks.0.residPre", ...block("residPost")];
  const views = {
    lens: lensView(resid, position, { k: Math.min(nPredictions, vocabSize) }),
    residual: lengths(resid, position),
    attention: lengths(block("attn.contribution"), position),
    mlp: lengths(block("mlp.contribution"), position),
    neurons: firingNeurons(model, layers, position, nNeurons),
    experts: routerChoices(sparseLayers, position),
    edges: strongestEdges(layers, nEdges),
  };
  const { edits, signal } = options;
  const run = await model.runDerived(tokens, together(Object.values(views)), {
    logits: "none",
    edits,
    generatedFrom: nPromptTokens,
    signal,
  });
  const predictions = views.lens
    .present(run)
    .map(([{ predictions }]) => predictions.map(({ token, probability }) => ({ ...show(token), probability })));
  const residual = views.residual.present(run).map(([length]) => length);
  const [attention, mlp] = [views.attention.present(run), views.mlp.present(run)];
  const neurons = views.neurons.present(run).map(([row]) => row);
  const experts = new Map(views.experts.present(run).map(([row], i) => [sparseLayers[i], row]));
  const promoted = await promotedTokens(model, neurons.flat(), Math.min(3, vocabSize));
  const edges = views.edges.present(run);
  return {
    prompt,
    text,
    tokens: tokens.map(show),
    nPromptTokens,
    position,
    embed: { predictions: predictions[0], length: residual[0] },
    layers: layers.map((layer) => ({
      layer,
      predictions: predictions[layer + 1],
      lengths: { attention: attention[layer][0], mlp: mlp[layer][0], residual: residual[layer + 1] },
      ...(experts.has(layer) && { experts: experts.get(layer) }),
      neurons: neurons[layer].map(({ layer: _layer, ...neuron }) => ({
        ...neuron,
        promotes: (promoted.shift() ?? []).map(show),
      })),
      edges: edges[layer].map((edge) => ({
        ...edge,
        fromText: show(tokens[edge.from]).text,
        toText: show(tokens[edge.to]).text,
      })),
    })),
  };
}

/** What a trace looks into: the prompt and what the model made of it, all tokens that it can be run over again. */
export async function continuation(
  model: Model,
  prompt: string,
  { onText, position: asked, ...generation }: TraceOptions,
): Promise<{ text: string; tokens: number[]; nPromptTokens: number; position: number }> {
  const promptTokens = model.tokenizer.encode(prompt);
  const tokens = [...promptTokens];
  let text = "";
  for await (const step of model.generate(promptTokens, generation)) {
    text += step.text;
    onText?.(step.text);
    if (step.finishReason !== "stop" && tokens.length < model.config.contextLength) tokens.push(step.token);
  }
  const position = asked ?? promptTokens.length - 1;
  if (!Number.isInteger(position) || position < 0 || position >= tokens.length) {
    const expected = `the text has positions 0 to ${tokens.length - 1}`;
    throw new RequestError("request.option", { path: "position", expected, got: `${position}` });
  }
  return { text, tokens, nPromptTokens: promptTokens.length, position };
}
