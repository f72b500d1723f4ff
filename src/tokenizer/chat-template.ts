import { CheckpointError, RequestError, suggest } from "../errors.ts";
import { JinjaTemplate } from "./jinja.ts";
import { isObject, quote, unusable } from "./json.ts";
import { strftime } from "./strftime.ts";

export interface TextPart {
  readonly type: "text";
  readonly text: string;
}

/** A message. Which roles there are, and which further fields (`tool_calls`, `reasoning_content`), is the template's business. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | readonly TextPart[] | null;
  readonly [field: string]: unknown;
}

/** What a chat template is rendered with. */
export interface TemplateInput {
  readonly messages: readonly ChatMessage[];
  /** Tools that the model may call, as JSON schemas of functions. */
  readonly tools?: readonly object[];
  /** Whether the beginning of an answer follows the messages; true where undefined, since the model is to give one. */
  readonly addGenerationPrompt?: boolean;
  /** The name of one of the model's templates, or the source of another one. */
  readonly template?: string;
  /** Further variables for the template, e.g. `{ enable_thinking: false }`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** What a model's files say of chats. */
export interface ChatTemplateSources {
  /** Where the templates are from, for messages. */
  readonly name: string;
  /** By name. */
  readonly templates: ReadonlyMap<string, string>;
  /** Texts of special tokens by the names that templates have for them: `bos_token`, `eos_token`. */
  tokens(): Readonly<Record<string, string | undefined>>;
}

const REMEDY = "Give a text instead, or the source of a template: { template }.";

/** Sources that are kept parsed. */
const MAX_PARSED = 8;

/** Names under which transformers hands on what a model thought before its answer. */
const REASONING_FIELDS = ["reasoning_content", "thinking", "reasoning"];

/** A model's chat templates: how messages become the one text that it was trained to go on from. */
export class ChatTemplate {
  readonly #sources: ChatTemplateSources;
  readonly #now: (() => Date) | undefined;
  readonly #parsed = new Map<string, JinjaTemplate>();

  /** `now`: the local time, for templates that print it; undefined where the platform does not tell. */
  constructor(sources: ChatTemplateSources, now: (() => Date) | undefined) {
    this.#sources = sources;
    this.#now = now;
  }

  /** Names of the model's templates: `default`, and perhaps `tool_use`; none where it has none. */
  get names(): readonly string[] {
    return [...this.#sources.templates.keys()];
  }

  /** The source of the template that these messages would take. */
  source({ template, tools }: Pick<TemplateInput, "template" | "tools"> = {}): string {
    const { name, templates } = this.#sources;
    const chosen = template ?? (tools !== undefined && templates.has("tool_use") ? "tool_use" : "default");
    const source = templates.get(chosen);
    if (source !== undefined) return source;
    if (template?.includes("{")) return template;
    if (templates.size === 0) {
      throw new CheckpointError("checkpoint.chatTemplate", {
        path: name,
        expected: "messages need a chat template, which the model's files must hold",
        got: "none",
        remedy: REMEDY,
      });
    }
    const expected = "must be one of the model's chat templates, or the source of another";
    throw new RequestError("request.chat", {
      path: "template",
      expected,
      got: quote(chosen),
      remedy: suggest(chosen, this.names),
    });
  }

  /** The text of a conversation. @throws RequestError (`request.chat`) with what the template has against it. */
  render(input: TemplateInput): string {
    const { messages, tools, addGenerationPrompt = true, variables } = input;
    const normalized = checkMessages(messages).map(normalize);
    const template = this.#parse(this.source(input), input.template);
    const strftimeNow = (format: string): string => {
      if (this.#now === undefined) throw new Error("it asks for the date, which this platform does not tell");
      return strftime(this.#now(), format);
    };
    try {
      return template.render({
        ...{ ...this.#sources.tokens(), strftime_now: strftimeNow, documents: null, ...variables },
        ...{ messages: normalized, tools: tools ?? null, add_generation_prompt: addGenerationPrompt },
      });
    } catch (cause) {
      throw refusal(cause, messages);
    }
  }

  #parse(source: string, given: string | undefined): JinjaTemplate {
    const known = this.#parsed.get(source);
    if (known !== undefined) return known;
    try {
      const parsed = new JinjaTemplate(source);
      if (this.#parsed.size >= MAX_PARSED) this.#parsed.clear();
      this.#parsed.set(source, parsed);
      return parsed;
    } catch (cause) {
      const [expected, got] = ["a chat template must be Jinja that golgi can read", `"${(cause as Error).message}"`];
      if (source === given) throw new RequestError("request.chat", { path: "template", expected, got, cause });
      throw new CheckpointError("checkpoint.chatTemplate", {
        path: this.#sources.name,
        expected,
        got,
        remedy: REMEDY,
        cause,
      });
    }
  }
}

/** The files of a folder that may hold chat templates, parsed; each undefined where there is none. */
export interface TemplateFiles {
  /** chat_template.jinja, whose text is the template. */
  readonly jinja: string | undefined;
  /** tokenizer_config.json. */
  readonly config: unknown;
  /** chat_template.json. */
  readonly json: unknown;
}

/** Templates by name. A file of its own goes before tokenizer_config.json, as in transformers. */
export function readTemplates({ jinja, config, json }: TemplateFiles): Map<string, string> {
  if (jinja !== undefined) return new Map([["default", jinja]]);
  for (const [file, content] of Object.entries({ "tokenizer_config.json": config, "chat_template.json": json })) {
    const given = isObject(content) ? content.chat_template : undefined;
    if (given !== undefined && given !== null) return namedTemplates(given, `${file}, chat_template`);
  }
  return new Map();
}

/** Templates of a GGUF file's metadata by name, which has others beside the default one under keys of their own. */
export function readGgufTemplates(values: ReadonlyMap<string, { readonly value: unknown }>): Map<string, string> {
  const key = "tokenizer.chat_template";
  const templates = new Map<string, string>();
  for (const [name, entry] of values) {
    if (name !== key && !name.startsWith(`${key}.`)) continue;
    if (typeof entry.value === "string") templates.set(name.slice(key.length + 1) || "default", entry.value);
  }
  return templates;
}

/** The special tokens that tokenizer_config.json names, for templates that print them. */
export function readTokenVariables(config: unknown): Record<string, string> {
  if (!isObject(config)) return {};
  const entries = Object.entries(config).map(([name, value]) => [name, isObject(value) ? value.content : value]);
  return Object.fromEntries(entries.filter(([name, text]) => /^\w+_token$/.test(name as string) && isText(text)));
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function namedTemplates(given: unknown, path: string): Map<string, string> {
  if (isText(given)) return new Map([["default", given]]);
  const expected = "it must be a template, or a list of objects with name and template";
  if (!Array.isArray(given)) throw unusable(path, expected, quote(given));
  return new Map(
    given.map((one) => {
      if (isObject(one) && isText(one.name) && isText(one.template)) return [one.name, one.template];
      throw unusable(path, expected, quote(one));
    }),
  );
}

function checkMessages(messages: unknown): readonly ChatMessage[] {
  const refuse = (path: string, expected: string, got: unknown) =>
    new RequestError("request.chat", { path, expected, got: quote(got) });
  if (!Array.isArray(messages) || messages.length === 0) {
    throw refuse("messages", "must be a list of messages, not empty", messages);
  }
  for (const [i, message] of messages.entries()) {
    const path = `messages[${i}]`;
    if (!isObject(message) || !isText(message.role)) throw refuse(path, "must be an object with a role", message);
    const { content } = message;
    if (content === undefined || content === null || isText(content)) continue;
    if (!Array.isArray(content)) throw refuse(`${path}.content`, "must be a text or a list of parts", content);
    const other = content.find((part) => !(isObject(part) && part.type === "text" && isText(part.text)));
    if (other === undefined) continue;
    throw refuse(
      `${path}.content`,
      'must have parts { type: "text", text } only',
      isObject(other) ? other.type : other,
    );
  }
  return messages;
}

/** As transformers: fields that are null are left out, and reasoning comes under the name that the template reads. */
function normalize(message: ChatMessage): Record<string, unknown> {
  const fields = Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  );
  const reasoning = REASONING_FIELDS.map((name) => fields[name]).find((value) => value !== undefined);
  return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning };
}

function refusal(cause: unknown, messages: readonly ChatMessage[]): RequestError {
  const hasParts = messages.some(({ content }) => Array.isArray(content));
  return new RequestError("request.chat", {
    path: "messages",
    expected: "the chat template must be able to render them",
    got: `"${(cause as Error).message}"`,
    remedy: hasParts ? "Give each content as one string: not every template takes parts." : undefined,
    cause,
  });
}
