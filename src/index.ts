/** The public surface of the core; a platform's own entry adds files and backends. */

export { closedModelError } from "./backends/closed-model-error.ts";
export type { Backend, Engine, LoadedWeights, Program, StepOutput } from "./backends/contract.ts";
export { reference } from "./backends/reference/reference.ts";
export type { Checkpoint, CheckpointFormat, StoredTensor } from "./checkpoint/checkpoint.ts";
export type { ModelConfig, SparseConfig } from "./config/model-config.ts";
export type { RopeConfig, RopeScaling } from "./config/rope.ts";
export type { Conversion, ConversionOptions, ConvertedFile } from "./convert/conversion.ts";
export { openConversion } from "./convert/convert.ts";
export { CONVERT_TYPES, type ConvertType } from "./convert/types.ts";
export {
  BackendError,
  CheckpointError,
  ConfigError,
  type ErrorCode,
  GolgiError,
  PointError,
  RequestError,
  TapeError,
} from "./errors.ts";
export type {
  EditFunction,
  EditObject,
  EditPositions,
  EditSpec,
  Experts,
  RecordingRef,
  Vector,
  VectorRef,
} from "./glass/edit-spec.ts";
export type { Folder, Host, Sink, Source } from "./host.ts";
export type { Point } from "./points/catalog.ts";
export type { Positions, ReadSpec } from "./points/read-spec.ts";
export { type CacheUse, type LoweredProgram, lower, type WeightUse } from "./program/lower.ts";
export { OPCODES } from "./program/opcodes.ts";
export type { Chat, Prompt } from "./run/chat.ts";
export type { ModelFiles } from "./run/files.ts";
export type { FinishReason, GenerateOptions, GenerationStep, TokenLogprob } from "./run/generate.ts";
export type { Model, RunInput } from "./run/model.ts";
export { type OpenOptions, openModel } from "./run/open.ts";
export { type OpenRecordingOptions, openRecording } from "./run/open-recording.ts";
export type { AppendOptions, LogitRows, RunOptions } from "./run/options.ts";
export type { Progress } from "./run/progress.ts";
export type { RecordOptions } from "./run/record-options.ts";
export type { Provenance, Recording, TopRows } from "./run/recording.ts";
export type { RecordedSequence, Reduce } from "./run/recording-layout.ts";
export type { Run } from "./run/result.ts";
export type { SamplingOptions, SamplingStage } from "./run/sampling/options.ts";
export type { Session, SessionOptions } from "./run/session.ts";
export type { EditCount } from "./run/step-result.ts";
export type { SweepOptions } from "./run/sweep.ts";
export type { StoredPart, WeightPart, WeightReport } from "./run/weight-report.ts";
export type { Op } from "./tape/op.ts";
export { printTape } from "./tape/print.ts";
export { expand } from "./tape/rewrite.ts";
export type { Rows } from "./tape/rows.ts";
export { concreteShape, type StepInputs } from "./tape/sizes.ts";
export type { Tape } from "./tape/tape.ts";
export type { Dim, KvType, Shape, Value } from "./tape/value.ts";
export { verify } from "./tape/verify.ts";
export type { Precision } from "./tensor/dtype.ts";
export type { ComputeFormat } from "./tensor/format.ts";
export { formatBytes } from "./tensor/shape.ts";
export { Tensor } from "./tensor/tensor.ts";
export type { ChatMessage, ChatTemplate, TemplateInput, TextPart } from "./tokenizer/chat-template.ts";
export type { Tokenizer } from "./tokenizer/tokenizer.ts";
export { VERSION } from "./version.ts";
export {
  type Attention,
  type AttentionOptions,
  attention,
  type HeadAttention,
  type HeadEdge,
} from "./views/attention.ts";
export type { HeadScores } from "./views/attention-scores.ts";
export { type Attribution, type AttributionOptions, attribution } from "./views/attribution.ts";
export type { Detail } from "./views/components.ts";
export { type Diff, type DiffOptions, diff, type PredictionDifference } from "./views/diff.ts";
export type { ChoiceDifference, PointDifference } from "./views/diff-points.ts";
export type { DiffSide } from "./views/diff-sides.ts";
export type { Target, TokenSpec } from "./views/direction.ts";
export type { AttentionEdge } from "./views/edges.ts";
export { type Expert, type ExpertOptions, type ExpertToken, expert, type FiringExpertNeuron } from "./views/expert.ts";
export type { ExpertNeuron, ExpertUse } from "./views/expert-uses.ts";
export type { ExpertInWeights, ExpertMatrix, NeuronLengths } from "./views/expert-weights.ts";
export { type ExplainOptions, type Explanation, explain, type LogitExplanation } from "./views/explain.ts";
export type { HeadExplanation, SourcePosition } from "./views/explain-head.ts";
export type { NeuronBranch, NeuronExplanation, NeuronRow, NeuronTerm } from "./views/explain-neuron.ts";
export {
  type Head,
  type HeadOptions,
  type HeadQuery,
  type HeadRow,
  type HeadSource,
  head,
  type RaisedToken,
} from "./views/head.ts";
export { describeConfig, describeModel, type ModelInfo, type PerToken } from "./views/info.ts";
export {
  type Layer,
  type LayerNeuron,
  type LayerOptions,
  type LayerPrediction,
  type LayerRow,
  layer,
} from "./views/layer.ts";
export {
  type Lens,
  type LensOptions,
  type LensPosition,
  type LensPrediction,
  type LensRow,
  type LensStream,
  lens,
  type TunedLens,
} from "./views/lens.ts";
export { type ListedPoint, type LookOptions, look, type PointList } from "./views/look.ts";
export { type Neuron, type NeuronActivation, type NeuronOptions, neuron } from "./views/neuron.ts";
export type { NeuronInWeights, NeuronWeights, SimilarNeuron, TokenWeight } from "./views/neuron-weights.ts";
export { type LayerNeuronName, neuronName } from "./views/neurons.ts";
export type { ViewOptions } from "./views/options.ts";
export { type Patch, type PatchOptions, type PatchResult, type PatchSide, patch } from "./views/patch.ts";
export type { PatchMetric } from "./views/patch-metric.ts";
export type { PatchTarget } from "./views/patch-targets.ts";
export { type PathPatch, type PathPatchOptions, pathPatch } from "./views/path-patch.ts";
export type { Printable, Report } from "./views/report.ts";
export {
  type Residual,
  type ResidualOptions,
  residual,
  type StreamNorm,
  type StreamPart,
  type StreamPoint,
} from "./views/residual.ts";
export {
  type ExpertLoad,
  type ExpertPart,
  type Router,
  type RouterLayer,
  type RouterOptions,
  router,
} from "./views/router.ts";
export { type ChosenExpert, expertItem } from "./views/router-choices.ts";
export {
  type RouterDiff,
  type RouterDiffOptions,
  type RouterLayerDiff,
  type RoutingChange,
  routerDiff,
} from "./views/router-diff.ts";
export type { RouterRow } from "./views/router-rows.ts";
export { type RouterWeights, type RouterWeightsRow, routerWeights } from "./views/router-weights.ts";
export { figures } from "./views/text/figures.ts";
export { itemLines } from "./views/text/item-lines.ts";
export { bar, type HeatMapOptions, heatMap } from "./views/text/picture.ts";
export { type Cell, type TableOptions, table } from "./views/text/table.ts";
export { asManyAsFit, clip, escapeInvisible, padEnd, padStart, quoteToken, widthOf, wrap } from "./views/text/width.ts";
export type { ShownToken } from "./views/tokens.ts";
export {
  type Trace,
  type TraceLayer,
  type TraceOptions,
  type TracePrediction,
  type TraceToken,
  trace,
} from "./views/trace.ts";
export { type TextNeuron, type TextTrace, type TextTraceOptions, traceText } from "./views/trace-text.ts";
export type { Component, ComponentKind } from "./views/writers.ts";
export type { MovedToken, Written } from "./views/written.ts";
export type { Binding, Bindings } from "./weights/bind.ts";
export { decodeWeight } from "./weights/decode.ts";
export type { BoundPiece, Scales } from "./weights/pieces.ts";
export { isStoredByRows, type RowSegment, rowSegments, type SegmentScales } from "./weights/segments.ts";
