/**
 * A trace as one HTML file that needs nothing else: styles, script and data are inside, and its content security policy
 * lets no other script run and nothing be loaded. The page's own files stand in page/.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { TextTrace } from "../index.ts";
import { pageData, type TracedModel } from "./trace-data.ts";

/** The script's modules, each after those that it imports: they become one. */
const MODULES = ["dom", "state", "patterns", "text", "grid", "maps", "stack", "heads", "attention", "main"];
const STYLES = ["theme", "layout", "parts"];

/** The whole file. */
export function tracePage(model: TracedModel, trace: TextTrace): string {
  const name = basename(resolve(model.name));
  const data = pageData({ ...model, name }, trace);
  const script = `\n${MODULES.map((module) => asPart(pageFile(`${module}.js`))).join("\n")}`;
  const style = `\n${STYLES.map((file) => pageFile(`${file}.css`)).join("\n")}`;
  const policy = `default-src 'none'; script-src '${digest(script)}'; style-src '${digest(style)}'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(`${title(trace.prompt)} · ${name}`)}</title>
<style>${style}</style>
</head>
<body>
<main id="page"><noscript>This page draws a trace of a language model, and needs JavaScript for it.</noscript></main>
<script type="application/json" id="trace">${escapeJson(data)}</script>
<script type="module">${script}</script>
</body>
</html>
`;
}

function pageFile(name: string): string {
  return readFileSync(join(import.meta.dirname, "page", name), "utf8");
}

/** A module without its imports and exports, as it reads within one script with those that it imports. */
function asPart(source: string): string {
  return source.replaceAll(/^import\b[^;]*;\n/gm, "").replaceAll(/^export /gm, "");
}

/** What a content security policy calls an inline element by. */
function digest(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** JSON that no parser of HTML takes for the end of its element, or for the start of a comment. */
function escapeJson(data: object): string {
  return JSON.stringify(data).replaceAll(/[<\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function title(prompt: string): string {
  const line = prompt.replaceAll(/\s+/g, " ").trim();
  return line.length <= 60 ? line : `${line.slice(0, 59)}…`;
}
