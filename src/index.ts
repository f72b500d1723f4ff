/** The public surface of the core; a platform's own entry adds files and backends. */

export type { Backend } from "./backends/contract.ts";
export { reference } from "./backends/reference/reference.ts";
export type { ModelConfig } from "./config/model-config.ts";
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
export type { Folder, Host, Source } from "./host.ts";
export type { Point } from "./points/catalog.ts";
export type { Positions, ReadSpec } from "./points/read-spec.ts";
export type { FinishReason, GenerateOptions, GenerationStep } from "./run/generate.ts";
export type { Model, RunInput } from "./run/model.ts";
export { type OpenOptions, openModel } from "./run/open.ts";
export type { LogitRows, RunOptions } from "./run/options.ts";
export type { Run } from "./run/result.ts";
export type { Session } from "./run/session.ts";
export { printTape } from "./tape/print.ts";
export type { Tape } from "./tape/tape.ts";
export type { Precision } from "./tensor/dtype.ts";
export { formatBytes } from "./tensor/shape.ts";
export { Tensor } from "./tensor/tensor.ts";
export type { Tokenizer } from "./tokenizer/tokenizer.ts";
export type { AttentionEdge } from "./views/edges.ts";
export { describeConfig, describeModel, type ModelInfo } from "./views/info.ts";
export {
  type Trace,
  type TraceLayer,
  type TraceOptions,
  type TracePrediction,
  type TraceToken,
  trace,
} from "./views/trace.ts";
