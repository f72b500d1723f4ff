import { BackendError } from "../errors.ts";

/** For a step that is asked of, or under way in, a model that has been closed. */
export function closedModelError(): BackendError {
  return new BackendError("backend.state", {
    path: "model",
    expected: "the model must be open",
    got: "a closed one",
    remedy: "Open it again; tensors that it returned stay valid.",
  });
}
