/** Chat templates against what transformers makes of them; scripts/fixtures/make_chat.py writes the expected values. */

import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { openFolder } from "../node/files.ts";
import { openModel, reference } from "../node/index.ts";
import {
  type ChatMessage,
  ChatTemplate,
  readGgufTemplates,
  readTemplates,
  readTokenVariables,
} from "../src/tokenizer/chat-template.ts";
import { JinjaTemplate } from "../src/tokenizer/jinja.ts";
import { strftime } from "../src/tokenizer/strftime.ts";
import { fixture, stories260K } from "./support/fixtures.ts";

interface Chat extends Record<string, unknown> {
  readonly messages: ChatMessage[];
  readonly tools?: object[];
  readonly add_generation_prompt?: boolean;
}

interface Expectations {
  readonly templates: Readonly<Record<string, string>>;
  readonly chats: Readonly<Record<string, Chat>>;
  readonly expected: { template: string; chat: string; text?: string; ids?: number[] }[];
}

/** Further expectations of the same form, written by the same script from other templates. */
const { GOLGI_CHATS: elsewhere } = process.env;
const files = [fixture("chat.json"), ...(elsewhere === undefined ? [] : [elsewhere])];

/** Templates that golgi renders otherwise, or not at all. */
const KNOWN_MISSES: Readonly<Record<string, string>> = {
  "ByteDance-Seed-OSS.jinja": "a dict's keys must be strings: this one has numbers, and is refused",
  "meetkai-functionary-medium-v3.1.jinja": "transformers escapes HTML in what is added to a text that was called safe",
  "llama-cpp-deepseek-r1.jinja": "transformers refuses the JSON of what selectattr gives; golgi writes the list",
  "LFM2-8B-A1B.jinja": "transformers refuses the JSON of what is not defined; golgi writes null",
  "LFM2.5-Instruct.jinja": "as LFM2-8B-A1B",
};

const localTime = (): Date => new Date(2026, 2, 9, 8, 5, 7);
const host = { nowMs: () => performance.now(), pause: () => Promise.resolve(), localTime };
const model = await openModel({ folder: await openFolder(stories260K) }, host, [reference]);
afterAll(() => model.close());

const user = (content: string): ChatMessage => ({ role: "user", content });
const render = (source: string, variables: object = {}): string => new JinjaTemplate(source).render({ ...variables });

describe.each(files)("templates of %s", (file) => {
  const { templates, chats, expected }: Expectations = JSON.parse(readFileSync(file, "utf8"));

  it.each(Object.keys(templates))("%s: the texts and ids of transformers, or refused as there", (name) => {
    const misses: string[] = [];
    for (const { chat, text, ids } of expected.filter(({ template }) => template === name)) {
      const { messages, tools, add_generation_prompt: addGenerationPrompt, ...variables } = chats[chat] as Chat;
      const input = { messages, tools, addGenerationPrompt, variables, template: templates[name] };
      let got: string | undefined;
      try {
        got = model.chatTemplate.render(input);
      } catch {
        // Compared with what transformers refuses.
      }
      // Python prints content parts in its own notation where a template takes them for text: golgi refuses them.
      const isRefused = text === undefined || text.includes("{'type': 'text', 'text': ");
      if (got !== (isRefused ? undefined : text)) misses.push(chat);
      else if (got !== undefined) expect(model.encode(input), chat).toEqual(ids);
    }
    if (KNOWN_MISSES[name] === undefined) expect(misses).toEqual([]);
    else expect(misses).not.toEqual([]);
  });
});

describe("a chat template", () => {
  const from = (templates: Record<string, string>, now?: () => Date): ChatTemplate =>
    new ChatTemplate({ name: "model", templates: new Map(Object.entries(templates)), tokens: () => ({}) }, now);

  it("begins an answer unless asked not to", () => {
    const template = from({ default: "{{ add_generation_prompt }}" });
    expect(template.render({ messages: [user("Hi")] })).toBe("True");
    expect(template.render({ messages: [user("Hi")], addGenerationPrompt: false })).toBe("False");
  });

  it("does not tell a date that the platform does not tell", () => {
    const template = from({ default: '{{ strftime_now("%Y") }}' });
    expect(() => template.render({ messages: [user("Hi")] })).toThrow(
      /asks for the date, which this platform does not/,
    );
  });

  it("is chosen by name where there are several, none of them the default", () => {
    const template = from({ short: "{{ 1 }}" });
    expect(() => template.render({ messages: [user("Hi")] })).toThrow(/must be one of.*got "default"\. Known: short\./);
  });

  it("is read from its own file, else from tokenizer_config.json, else from chat_template.json", () => {
    const [jinja, config, json] = ["a", { chat_template: "b" }, { chat_template: "c" }];
    expect([...readTemplates({ jinja, config, json })]).toEqual([["default", "a"]]);
    expect([...readTemplates({ jinja: undefined, config, json })]).toEqual([["default", "b"]]);
    expect([...readTemplates({ jinja: undefined, config: { chat_template: null }, json })]).toEqual([["default", "c"]]);
    expect(readTemplates({ jinja: undefined, config: {}, json: undefined }).size).toBe(0);
    const damaged = { jinja: undefined, config: { chat_template: [{ name: "x" }] }, json: undefined };
    expect(() => readTemplates(damaged)).toThrow(
      /^tokenizer_config\.json, chat_template: it must be a template, or a list/,
    );
  });

  it("is read from the metadata of a GGUF file", () => {
    const values = {
      "tokenizer.chat_template": "a",
      "tokenizer.chat_template.tool_use": "b",
      "tokenizer.ggml.pre": "c",
    };
    const metadata = new Map(Object.entries(values).map(([key, value]) => [key, { value }]));
    expect([...readGgufTemplates(metadata)]).toEqual([
      ["default", "a"],
      ["tool_use", "b"],
    ]);
  });

  it("gets the special tokens by their names", () => {
    const config = { bos_token: "<s>", eos_token: { content: "</s>" }, pad_token: null, add_bos_token: true };
    expect(readTokenVariables(config)).toEqual({ bos_token: "<s>", eos_token: "</s>" });
  });
});

describe("a long text", () => {
  it("goes through what looks at its characters", () => {
    const text = `😀${"x".repeat(200_000)}`;
    expect(render("{{ t is iterable }}{{ t | first }}{{ t | last }}{{ t | length }}{{ t[:2] }}", { t: text })).toBe(
      "True😀x200001😀x",
    );
  });
});

describe("a hostile template", () => {
  it.each([
    [
      "loops for ever",
      "{% for a in range(60000) %}{% for b in range(60000) %}x{% endfor %}{% endfor %}",
      /more than 2097152 steps/,
    ],
    ["counts too far", "{% for a in range(10 ** 9) %}x{% endfor %}", /range\(\) may have at most 65536 items/],
    ["counts without an end", "{{ range(1, 5, 0) }}", /range\(\) may have at most/],
    [
      "doubles a text",
      "{% set n = namespace(x='x') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      /more than 8388608 characters/,
    ],
    [
      "prints a list of itself and itself",
      "{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
      /more than 8388608 characters/,
    ],
    ["holds itself", "{% set n = namespace() %}{% set n.x = n %}{{ n }}", /call stack/],
    ["nests without an end", `{{ ${"(".repeat(60000)} }}`, /call stack/],
    ["is a desert", " ".repeat(100_000), /white space/],
    ["is a book", "{{ 1 }}".repeat(30_000), /more than 131072 characters/],
    ["reaches for the engine", "{{ raise_exception.constructor('return 1')() }}", /not a function/],
  ])("that %s is stopped", (_, source, message) => {
    expect(() => render(source, { messages: [] })).toThrow(message);
  });

  it.each(["constructor()", "toString()", "valueOf()", "__proto__.x()"])("finds no %s of a string", (call) => {
    expect(() => render(`{{ ''.${call} }}`)).toThrow("not a function");
  });

  it("finds nothing of JavaScript in the values that it is given", () => {
    expect(render("{{ m.__proto__ }}{{ m.constructor }}{{ ''.constructor }}", { m: {} })).toBe("");
  });
});

describe("strftime", () => {
  it("prints what Python prints in the C locale", () => {
    const time = new Date(2026, 0, 4, 13, 5, 7);
    expect(strftime(time, "%Y-%m-%d %y %B %b %A %a %H:%M:%S %I %p %e|%-d|%-m|100%%")).toBe(
      "2026-01-04 26 January Jan Sunday Sun 13:05:07 01 PM  4|4|1|100%",
    );
    expect(() => strftime(time, "%U")).toThrow("knows no %U");
  });
});
