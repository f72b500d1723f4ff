import { RequestError } from "../../errors.ts";

/** A number that cannot be stored; `expected` says which can. */
export function outOfRange(path: string, expected: string, got: number): RequestError {
  return new RequestError("request.option", {
    path,
    expected,
    got: `${got}`,
    remedy: "Store this tensor as f32, or look for what made its values so large.",
  });
}
