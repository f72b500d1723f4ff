/**
 * The web-standard globals that every host of the core shares (Node, browsers, workers, Deno, Bun). Used only to
 * check `src/` on its own: whatever is not declared here, and not ECMAScript, is not available to the core.
 */

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(input?: Uint8Array, options?: { stream?: boolean }): string;
}

declare class TextEncoder {
  encode(input?: string): Uint8Array<ArrayBuffer>;
}

declare const crypto: {
  readonly subtle: { digest(algorithm: "SHA-256", data: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> };
};
