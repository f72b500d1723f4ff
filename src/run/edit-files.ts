import { RequestError } from "../errors.ts";
import type { EditFiles } from "../glass/resolve-edits.ts";
import type { Host } from "../host.ts";

/** What edits name in files of the platform. */
export function editFiles(_host: Host): EditFiles {
  const refuse = async (): Promise<never> => {
    throw new RequestError("request.option", { path: "edits", expected: "files" });
  };
  return { vector: refuse, recording: refuse };
}
