import type { ChatTemplate, TemplateInput } from "../tokenizer/chat-template.ts";
import { ControlTokens } from "../tokenizer/control-tokens.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkOptions } from "./options.ts";

/** A conversation, which the model's chat template turns into the text to go on from. */
export interface Chat extends TemplateInput {
  /** Whether special tokens that messages spell become control tokens, as in transformers; where not set, they are text. */
  readonly parseSpecialTokens?: boolean;
}

/** What a model goes on from: a text, token ids or a whole conversation. */
export type Prompt = string | readonly number[] | Chat;

export function isChat(input: Prompt | readonly unknown[]): input is Chat {
  return typeof input === "object" && "messages" in input;
}

const CHAT_KEYS = ["messages", "tools", "addGenerationPrompt", "template", "variables", "parseSpecialTokens"];

/** Turns conversations into tokens. BOS is there where the template writes it, and nowhere else. */
export class ChatEncoder {
  readonly #template: ChatTemplate;
  readonly #tokenizer: Tokenizer;
  readonly #controlTokens: ControlTokens;

  constructor(template: ChatTemplate, tokenizer: Tokenizer) {
    this.#template = template;
    this.#tokenizer = tokenizer;
    this.#controlTokens = new ControlTokens(tokenizer.specialTokens.map(({ text }) => text));
  }

  encode(chat: Chat): number[] {
    checkOptions("chat", chat, CHAT_KEYS);
    const { parseSpecialTokens = false, messages, tools, variables, ...rest } = chat;
    if (parseSpecialTokens) return this.#encode(this.#template.render(chat), true);
    const source = this.#template.source(chat);
    const { values, mark } = this.#controlTokens.protect({ messages, tools, variables }, source);
    const rendered = this.#template.render({ ...rest, ...values });
    if (mark === undefined) return this.#encode(rendered, true);
    return this.#controlTokens.split(rendered, mark).flatMap(({ text, isText }) => this.#encode(text, !isText));
  }

  #encode(text: string, parseSpecialTokens: boolean): number[] {
    return this.#tokenizer.encode(text, { addSpecialTokens: false, parseSpecialTokens });
  }
}
