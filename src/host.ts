/**
 * The only seam between the core and a platform. `src/` reaches files, clocks and threads through these
 * interfaces and nothing else, so that the same code runs in Node, in a browser and in a worker.
 */

/** Random access to the bytes of one file (or blob, or range-served URL). */
export interface Source {
  /** For messages: a path or URL. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Where a backend can map the bytes into memory, if they are a plain file of this machine. */
  readonly filePath?: string;
  /**
   * Exactly `length` bytes from `offset`, as memory that the caller owns.
   * Rejects with a CheckpointError (`checkpoint.truncated`) where the source ends earlier.
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Throws a CheckpointError (`checkpoint.changed`) where the bytes, or the file at `filePath`, are not those that were
   * opened. As far as the platform can tell, and at little cost: it is asked before each step. Absent where bytes never change.
   */
  checkUnchanged?(): void;
  close(): Promise<void>;
}

/** A model's directory: its files by plain name (no separators). */
export interface Folder {
  /** For messages. */
  readonly name: string;
  list(): Promise<string[]>;
  /** The file of that name, or undefined where there is none. */
  open(fileName: string): Promise<Source | undefined>;
}

/** A file that is being written. It appears under its name when it is finished, whole, in place of one that is there. */
export interface Sink {
  /** Rejects with a CheckpointError (`checkpoint.write`) where the platform has no room, or does not allow it. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Resolves when the file is safe under its name; rejects as `write` does. */
  finish(): Promise<void>;
  /** Leaves nothing behind, unless the file is finished. */
  abort(): Promise<void>;
}

/** What a platform must supply. */
export interface Host {
  /** Milliseconds that only ever grow, for durations. */
  nowMs(): number;
  /** The local time, for chat templates that print the date; they are refused where the platform does not tell. */
  localTime?(): Date;
  /** Lets other tasks of the platform's event loop run. */
  pause(): Promise<void>;
  /** A file that the user names beside the model's own, such as a recording; absent where the platform has no files. */
  openFile?(path: string): Promise<Source>;
  /** A new file; absent where the platform has no files. */
  createFile?(path: string): Promise<Sink>;
}
