import type { EditFiles } from "../glass/resolve-edits.ts";
import type { Host } from "../host.ts";
import { openRecording } from "./open-recording.ts";
import { readVector } from "./read-vector.ts";

/** What edits name in files of the platform. */
export function editFiles(host: Host, fingerprint: () => Promise<string>): EditFiles {
  return {
    fingerprint,
    vector: (ref) => readVector(host, ref),
    recording: ({ file }, points) => openRecording(file, host, { points }),
  };
}
