/** The page that `golgi trace --html` writes, in a browser as its readers have it. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { maxPageTokens, type TracedModel } from "../node/html/trace-data.ts";
import { tracePage } from "../node/html/trace-page.ts";
import { neuronName, open, type TextTrace, traceText } from "../node/index.ts";
import { findChromium } from "../scripts/lib/chromium.mjs";
import { stories260K } from "./support/fixtures.ts";
import { writeSparseStories } from "./support/sparse-stories.ts";

const executablePath = findChromium();
const prompt = "Lily and her mom went to the park. She saw a big";
const HOSTILE = [
  "</script><img src=x onerror=alert(1)>",
  "<!--<script>",
  "\u2028\u2029",
  "<b>bold</b> &amp; ",
  "\u202edrow\n\t",
  "\ud800",
];

let folder: string;
let traced: TextTrace;
let model: TracedModel;
/** The same of a model with experts. */
let sparseTraced: TextTrace;
let sparse: TracedModel;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "golgi-html-"));
  const sparsePath = writeSparseStories(join(folder, "sparse"), { nExperts: 64, nExpertsPerToken: 8 });
  [[model, traced], [sparse, sparseTraced]] = [await tracedWhole(stories260K), await tracedWhole(sparsePath)];
});

async function tracedWhole(path: string): Promise<[TracedModel, TextTrace]> {
  const opened = await open(path);
  const trace = await traceText(opened, prompt, { maxTokens: 12, nPredictions: 8, nNeurons: 4, nEdges: 4 });
  const { name, architecture, backend, config } = opened;
  await opened.close();
  return [{ name, architecture, backend, config, edits: [] }, trace];
}

afterAll(() => rmSync(folder, { recursive: true }));

describe("the longest text of a page", () => {
  it("keeps all patterns within 16 MiB, and the page within 256 tokens", () => {
    for (const [nLayers, nHeads] of [
      [5, 8],
      [12, 12],
      [32, 32],
      [80, 64],
    ]) {
      const n = maxPageTokens({ nLayers, nHeads });
      const bytesOf = (nTokens: number) => (nLayers * nHeads * nTokens * (nTokens + 1)) / 2;
      expect(bytesOf(n)).toBeLessThanOrEqual(2 ** 24);
      expect(n === 256 || bytesOf(n + 1) > 2 ** 24).toBe(true);
    }
  });
});

describe.skipIf(executablePath === undefined)("the page of a trace", () => {
  let browser: Browser;
  let page: Page;
  /** What a page must not have: errors, and requests for anything but itself. */
  let trouble: string[];
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(() => browser.close());

  async function show(
    name: string,
    html: string,
    { colorScheme = "light", width = 1000 }: { colorScheme?: "light" | "dark"; width?: number } = {},
  ): Promise<void> {
    const file = join(folder, `${name}.html`);
    writeFileSync(file, html);
    page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
    trouble = [];
    const url = pathToFileURL(file).href;
    page.on("console", (message) => trouble.push(message.text()));
    page.on("pageerror", (error) => trouble.push(`${error}`));
    page.on("dialog", (dialog) => trouble.push(dialog.message()));
    page.on("request", (request) => request.url() !== url && trouble.push(request.url()));
    await page.goto(url);
  }

  const bar = () => page.locator("nav .what").innerText();
  const words = () => page.locator("section:has(h2:text-is('The text')) .word");

  it("shows the text, told apart into prompt and what the model wrote", async () => {
    await show("plain", tracePage(model, traced));
    const texts = await words().allTextContents();
    expect(texts).toEqual(traced.tokens.map(({ text }) => text));
    const { length } = traced.tokens;
    const generated = await page.locator("section:has(h2:text-is('The text')) .word.generated").count();
    expect(generated).toBe(length - traced.nPromptTokens);
    expect(await page.title()).toBe(`${prompt} · stories260K`);
    expect(trouble).toEqual([]);
  });

  it("shows the stack from bottom to top with what each layer predicts", async () => {
    const rows = page.locator(".stack .level");
    expect(await rows.locator(".name").allTextContents()).toEqual(["L4", "L3", "L2", "L1", "L0", "embed"]);
    const likeliest = traced.predictions.map((level) => level[traced.position][0].text.replaceAll(" ", "·"));
    const shown = await rows.locator(".prediction:first-child .token").allTextContents();
    expect(shown).toEqual(likeliest.toReversed());
    expect(await rows.locator(".neurons b").first().textContent()).toBe(
      `N${traced.neurons[4][traced.position][0].neuron}`,
    );
  });

  it("has a cell for each layer and token in the lens, and one map for each head", async () => {
    expect(await page.locator(".lens-grid td").count()).toBe(6 * traced.tokens.length);
    expect(await page.locator(".heads canvas").count()).toBe(5 * 8);
    expect(await page.locator(".length-map canvas").count()).toBe(3);
  });

  it("follows a click on a token, and the arrow keys from there", async () => {
    await words().nth(4).click();
    expect(await bar()).toContain("token 4");
    expect(await page.locator(".lens-grid th.chosen").textContent()).toBe(traced.tokens[4].text.replaceAll(" ", "·"));
    await page.keyboard.press("ArrowRight");
    expect(await bar()).toContain("token 5");
    await page.locator("nav button").first().click();
    expect(await bar()).toContain("token 4");
    expect(trouble).toEqual([]);
  });

  it("follows a click on a cell of the lens", async () => {
    await page.locator(".lens-grid td[data-level='2'][data-position='7']").click();
    expect(await bar()).toContain("token 7");
    expect(await page.locator(".chosen-cell h3").textContent()).toMatch(/^L1 after /);
    expect(await page.locator(".stack .level.chosen .name").textContent()).toBe("L1");
    await page.keyboard.press("End");
    const [cell, scroller] = await Promise.all(
      [".lens-grid td.chosen", ".scroller:has(.lens-grid)"].map((part) => page.locator(part).boundingBox()),
    );
    expect(cell?.x).toBeLessThanOrEqual((scroller?.x ?? 0) + (scroller?.width ?? 0) - (cell?.width ?? 0) + 1);
    await page.locator(".lens-grid td[data-level='2'][data-position='7']").click();
    const bars = await page.locator(".chosen-cell li .token").allTextContents();
    expect(bars).toEqual(traced.predictions[2][7].map(({ text }) => text.replaceAll(" ", "·")));
  });

  it("shows the pattern of the head that is chosen, to within a 255th", async () => {
    await page.getByRole("button", { name: "L2 H3", exact: true }).click();
    await words().nth(9).click();
    expect(await page.locator(".pattern h3").textContent()).toBe("Layer 2, head 3");
    const shares = await page.locator(".lit .word").evaluateAll((spans) =>
      // Its own share is the square root, for the eye.
      spans.map((span) => Number((span as unknown as StyledElement).style.getPropertyValue("--p")) ** 2),
    );
    for (const [to, share] of shares.entries()) {
      expect(Math.abs(share - traced.patterns[2].at(3, 9, to))).toBeLessThanOrEqual(1 / 510 + 1e-6);
    }
    await page.locator(".pattern canvas").hover({ position: { x: 2, y: 2 } });
    expect(await page.locator(".pattern .readout").textContent()).toBe("0 “<s>” 100% → 0 “<s>”");
    await page.waitForURL(/#L2\.H3@9$/);
    expect(trouble).toEqual([]);
  });

  it("opens where its address says", async () => {
    await page.goto(`${page.url().replace(/#.*/, "")}#L1.H2@3`);
    await page.reload();
    expect(await bar()).toContain("token 3");
    expect(await page.locator(".pattern h3").textContent()).toBe("Layer 1, head 2");
  });

  it("of a model with experts names those that the token went to, and their neurons", async () => {
    await page.close();
    await show("sparse", tracePage(sparse, sparseTraced));
    const [top, , dense] = await page.locator(".stack .level").all();
    const { position, experts, neurons } = sparseTraced;
    const chosen = experts[2]?.[position] ?? [];
    expect(chosen).toHaveLength(8);
    expect(await top.locator(".experts b").allTextContents()).toEqual(chosen.map(({ expert }) => `E${expert}`));
    expect(await top.locator(".neurons b").first().textContent()).toBe(neuronName(neurons[2][position][0]));
    expect(await dense.locator(".experts").count()).toBe(0);
    expect(await page.locator(".facts").textContent()).toContain("2 layers have 64 experts of 4 neurons");
    await words().nth(3).click();
    const then = (experts[2]?.[3] ?? []).map(({ expert }) => `E${expert}`);
    expect(await page.locator(".stack .level").first().locator(".experts b").allTextContents()).toEqual(then);
    expect(trouble).toEqual([]);
  });

  it.each([
    ["light", 1000, "dense"],
    ["dark", 1000, "dense"],
    ["light", 375, "dense"],
    ["dark", 1000, "sparse"],
    ["light", 375, "sparse"],
  ] as const)("in %s fits into %i pixels, and has a ground of its own (%s)", async (colorScheme, width, kind) => {
    await page.close();
    const html = kind === "dense" ? tracePage(model, traced) : tracePage(sparse, sparseTraced);
    await show(`${kind}-${colorScheme}-${width}`, html, { colorScheme, width });
    const screenshot = join(folder, `${kind}-${colorScheme}-${width}.png`);
    await page.screenshot({ path: screenshot, fullPage: true });
    expect(existsSync(screenshot)).toBe(true);
    const { widest, ground } = await page.evaluate(() => {
      const { document, getComputedStyle } = globalThis as unknown as BrowserGlobals;
      const { scrollWidth } = document.documentElement;
      return { widest: scrollWidth, ground: getComputedStyle(document.body).backgroundColor };
    });
    expect(widest).toBeLessThanOrEqual(width);
    expect(ground).toBe(colorScheme === "light" ? "rgb(255, 253, 248)" : "rgb(21, 19, 15)");
    expect(trouble).toEqual([]);
  });

  it("says which edits were on", async () => {
    await page.close();
    await show("edited", tracePage({ ...model, edits: ["L2.N107 = 0", "L3.H5@7 = 0"] }, traced));
    expect(await page.locator(".edits code").allTextContents()).toEqual(["L2.N107 = 0", "L3.H5@7 = 0"]);
  });

  it("takes texts for nothing but text, whatever they say", async () => {
    await page.close();
    const hostile = (i: number): string => HOSTILE[i % HOSTILE.length];
    const tokens = traced.tokens.map(({ token }, i) => ({ token, text: hostile(i) }));
    const predictions = traced.predictions.map((rows) =>
      rows.map((row) => row.map((prediction, i) => ({ ...prediction, text: hostile(i) }))),
    );
    const names = { name: `x${HOSTILE[0].replaceAll("/", "")}`, architecture: HOSTILE[1], edits: HOSTILE };
    const neurons = traced.neurons.map((rows) =>
      rows.map((row) => row.map((neuron) => ({ ...neuron, promotes: [{ token: 0, text: HOSTILE[0] }] }))),
    );
    const texts = { prompt: HOSTILE[0], tokens, predictions, neurons };
    await show("hostile", tracePage({ ...model, ...names }, { ...traced, ...texts }));
    const shown = await words().allTextContents();
    expect(shown.slice(0, 5)).toEqual([HOSTILE[0], HOSTILE[1], "\\u2028\\u2029", HOSTILE[3], "\\u202edrow↵\n⇥"]);
    await page.locator(".lens-grid td").first().click();
    expect(await page.locator("img, script:not([type]), b:has-text('bold')").count()).toBe(0);
    expect(await page.title()).toBe(`${HOSTILE[0]} · ${names.name}`);
    expect(trouble).toEqual([]);
  });
});

/** As much of a browser's globals as the tests use inside of it. */
interface BrowserGlobals {
  readonly document: { readonly documentElement: { scrollWidth: number }; readonly body: object };
  getComputedStyle(element: object): { readonly backgroundColor: string };
}

interface StyledElement {
  readonly style: { getPropertyValue(name: string): string };
}
