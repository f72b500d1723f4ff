/** Files in memory for tests of the checkpoint readers: what a browser's blob or an embedded model would be. */

import { CheckpointError } from "../src/errors.ts";
import type { Folder, Source } from "../src/host.ts";

export const utf8 = (text: string) => new TextEncoder().encode(text);

export function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A safetensors file from a header's text, spelt exactly as given, and `nDataBytes` bytes 1, 2, 3 and so on. */
export function safetensors(
  header: string | Uint8Array,
  nDataBytes = 0,
  headerLength?: bigint,
): Uint8Array<ArrayBuffer> {
  const headerBytes = typeof header === "string" ? utf8(header) : header;
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, headerLength ?? BigInt(headerBytes.length), true);
  return concat(
    length,
    headerBytes,
    Uint8Array.from({ length: nDataBytes }, (_, i) => i + 1),
  );
}

/** One entry of a header, without the braces around it. */
export function entry(name: string, dtype: string, shape: number[], begin: number, end: number): string {
  return JSON.stringify({ [name]: { dtype, shape, data_offsets: [begin, end] } }).slice(1, -1);
}

export class MemorySource implements Source {
  readonly name: string;
  readonly bytes: Uint8Array;
  nBytesRead = 0;
  nCloses = 0;

  constructor(name: string, bytes: Uint8Array) {
    this.name = name;
    this.bytes = bytes;
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)) {
      throw new CheckpointError("checkpoint.truncated", {
        path: this.name,
        expected: "reads must lie inside the file",
      });
    }
    this.nBytesRead += length;
    return this.bytes.slice(offset, offset + length) as Uint8Array<ArrayBuffer>;
  }

  async close(): Promise<void> {
    this.nCloses++;
  }
}

export class MemoryFolder implements Folder {
  readonly name = "folder";
  readonly opened: MemorySource[] = [];
  readonly #files: Record<string, Uint8Array>;

  constructor(files: Record<string, Uint8Array>) {
    this.#files = files;
  }

  async list(): Promise<string[]> {
    return Object.keys(this.#files);
  }

  async open(fileName: string): Promise<MemorySource | undefined> {
    if (!Object.hasOwn(this.#files, fileName)) return undefined;
    const source = new MemorySource(`folder/${fileName}`, this.#files[fileName]);
    this.opened.push(source);
    return source;
  }
}

/**
 * What safetensors 0.8.0 under PyTorch 2.15 saved: [[1, 0, 1]] in each dtype, named like PyTorch's dtype, a float32
 * `scalar` 1.5 and an `empty` [0, 4], with metadata { format: "pt" }.
 */
export const OFFICIAL_FILE = new Uint8Array(
  Buffer.from(
    `
  YAQAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJwdCJ9LCJ1aW50NjQiOnsiZHR5cGUiOiJVNjQiLCJzaGFwZSI6WzEsM10sImRhdGFfb2Zm
  c2V0cyI6WzAsMjRdfSwiaW50NjQiOnsiZHR5cGUiOiJJNjQiLCJzaGFwZSI6WzEsM10sImRhdGFfb2Zmc2V0cyI6WzI0LDQ4XX0sImZsb2F0NjQiOnsi
  ZHR5cGUiOiJGNjQiLCJzaGFwZSI6WzEsM10sImRhdGFfb2Zmc2V0cyI6WzQ4LDcyXX0sImVtcHR5Ijp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlswLDRd
  LCJkYXRhX29mZnNldHMiOls3Miw3Ml19LCJmbG9hdDMyIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsxLDNdLCJkYXRhX29mZnNldHMiOls3Miw4NF19
  LCJzY2FsYXIiOnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6W10sImRhdGFfb2Zmc2V0cyI6Wzg0LDg4XX0sInVpbnQzMiI6eyJkdHlwZSI6IlUzMiIsInNo
  YXBlIjpbMSwzXSwiZGF0YV9vZmZzZXRzIjpbODgsMTAwXX0sImludDMyIjp7ImR0eXBlIjoiSTMyIiwic2hhcGUiOlsxLDNdLCJkYXRhX29mZnNldHMi
  OlsxMDAsMTEyXX0sImJmbG9hdDE2Ijp7ImR0eXBlIjoiQkYxNiIsInNoYXBlIjpbMSwzXSwiZGF0YV9vZmZzZXRzIjpbMTEyLDExOF19LCJmbG9hdDE2
  Ijp7ImR0eXBlIjoiRjE2Iiwic2hhcGUiOlsxLDNdLCJkYXRhX29mZnNldHMiOlsxMTgsMTI0XX0sInVpbnQxNiI6eyJkdHlwZSI6IlUxNiIsInNoYXBl
  IjpbMSwzXSwiZGF0YV9vZmZzZXRzIjpbMTI0LDEzMF19LCJpbnQxNiI6eyJkdHlwZSI6IkkxNiIsInNoYXBlIjpbMSwzXSwiZGF0YV9vZmZzZXRzIjpb
  MTMwLDEzNl19LCJmbG9hdDhfZTRtM2ZuIjp7ImR0eXBlIjoiRjhfRTRNMyIsInNoYXBlIjpbMSwzXSwiZGF0YV9vZmZzZXRzIjpbMTM2LDEzOV19LCJm
  bG9hdDhfZTVtMiI6eyJkdHlwZSI6IkY4X0U1TTIiLCJzaGFwZSI6WzEsM10sImRhdGFfb2Zmc2V0cyI6WzEzOSwxNDJdfSwiaW50OCI6eyJkdHlwZSI6
  Ikk4Iiwic2hhcGUiOlsxLDNdLCJkYXRhX29mZnNldHMiOlsxNDIsMTQ1XX0sInVpbnQ4Ijp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzEsM10sImRhdGFf
  b2Zmc2V0cyI6WzE0NSwxNDhdfSwiYm9vbCI6eyJkdHlwZSI6IkJPT0wiLCJzaGFwZSI6WzEsM10sImRhdGFfb2Zmc2V0cyI6WzE0OCwxNTFdfX0gAQAA
  AAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAA8D8AAAAAAAAAAAAAAAAAAPA/AACAPwAAAAAAAIA/AADAPwEA
  AAAAAAAAAQAAAAEAAAAAAAAAAQAAAIA/AACAPwA8AAAAPAEAAAABAAEAAAABADgAODwAPAEAAQEAAQEAAQ==
`,
    "base64",
  ),
);
