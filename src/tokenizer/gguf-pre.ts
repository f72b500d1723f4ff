/**
 * The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`, as the models' own tokenizer.json files define them;
 * llama.cpp (src/llama-vocab.cpp) says which names share one.
 */

/** What one name stands for. */
export interface GgufPre {
  /** The first is what golgi writes. */
  readonly names: readonly string[];
  /** As in tokenizer.json. */
  readonly steps: readonly PreStep[];
  readonly normalizer?: "NFC";
  readonly ignoresMerges?: true;
  /** Where `add_bos_token` is not said. */
  readonly addsBos?: true;
}

export type PreStep =
  | {
      readonly type: "Split";
      readonly pattern: { readonly Regex: string };
      readonly behavior: "Isolated";
      readonly invert: false;
    }
  | { readonly type: "Punctuation"; readonly behavior: "Contiguous" }
  | { readonly type: "Digits"; readonly individual_digits: boolean }
  | {
      readonly type: "ByteLevel";
      readonly add_prefix_space: false;
      readonly trim_offsets: true;
      readonly use_regex: boolean;
    };

const split = (regex: string): PreStep => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});
const punctuation: PreStep = { type: "Punctuation", behavior: "Contiguous" };
const eachDigit: PreStep = { type: "Digits", individual_digits: true };
const digits: PreStep = { type: "Digits", individual_digits: false };
/** GPT-2's own expression is part of the byte-level step. */
const gpt2: PreStep = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const bytes: PreStep = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORD = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const SYMBOLS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const LLAMA3 = `${CONTRACTION}|${WORD}|\\p{N}{1,3}|${SYMBOLS}|${SPACES}`;
const QWEN2 = `${CONTRACTION}|${WORD}|\\p{N}|${SYMBOLS}|${SPACES}`;

/** A word of capital letters and then small ones; of each kind `first` and `others` say how many at least. */
const cased = (upper: "*" | "+", lower: "*" | "+", suffix: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]${upper}[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]${lower}${suffix}`;
const casedWords = (suffix: string) => `${cased("*", "+", suffix)}|${cased("+", "*", suffix)}`;
const CASED_SYMBOLS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*";
const GPT4O = `${casedWords(`${CONTRACTION}?`)}|\\p{N}{1,3}|${CASED_SYMBOLS}|${SPACES}`;

const CJK = "[一-龥\u3040-ゟ゠-ヿ]+";
const PUNCTUATED = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+";
const DEEPSEEK_WORD = "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+";
/** Letters with case, and their marks, as DeepSeek LLM lists them. */
const DEEPSEEK_LETTERS =
  "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼ" +
  "ℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃";
const DEEPSEEK_CJK = "[一-龥ࠀ-一가-\ud7ff]+";

/** Letters of every case but Han, which is a word of its own. */
const noHan = (classes: string) => `[${classes}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]`;
const noHanWord = (upper: "*" | "+", lower: "*" | "+") =>
  `[^\\r\\n\\p{L}\\p{N}]?${noHan("\\p{Lu}\\p{Lt}")}${upper}${noHan("\\p{Ll}")}${lower}${CONTRACTION}?`;

const SPACE_RUNS = [512, 256, 128, 64, 32, 16, 8, 4].map((n) => `\\s{${n}}(?!\\S)`).join("|");

export const GGUF_PRES: readonly GgufPre[] = [
  {
    names: [
      ...["gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat", "a.x-4.0", "mellum"],
      ...["modern-bert", "jais", "trillion", "granite-docling", "exaone4"],
    ],
    steps: [gpt2],
  },
  { names: ["olmo", "mpt"], steps: [gpt2], normalizer: "NFC" },
  {
    names: [
      ...["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
    ],
    steps: [split(LLAMA3), bytes],
    ignoresMerges: true,
    addsBos: true,
  },
  { names: ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], steps: [split(LLAMA3), bytes] },
  {
    names: ["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"],
    steps: [split(QWEN2), bytes],
    normalizer: "NFC",
  },
  { names: ["stablelm2", "hunyuan", "solar-open", "grok-2"], steps: [split(QWEN2), bytes] },
  {
    names: ["qwen35"],
    steps: [
      split(
        `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`,
      ),
      bytes,
    ],
    normalizer: "NFC",
  },
  { names: ["ufakzeka"], steps: [split(`${WORD}|\\p{N}|${SYMBOLS}|${SPACES}`), bytes] },
  { names: ["laguna"], steps: [split("[^\\n]+|[\\n]+"), split(QWEN2), bytes] },
  {
    names: ["seed-coder"],
    steps: [split(`${CONTRACTION}|${WORD}|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`), bytes],
  },
  {
    names: ["bailingmoe", "bailingmoe2", "llada-moe"],
    steps: [split(`'(?i:[sdmt]|ll|ve|re)|${WORD}|\\p{N}|${SYMBOLS}|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`), bytes],
  },
  {
    names: ["exaone-moe"],
    steps: [
      split(
        `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
      ),
      bytes,
    ],
  },
  {
    names: ["minicpm5"],
    steps: [split("\\p{N}{1,3}"), split(`${CONTRACTION}|${WORD}|\\p{N}+|${SYMBOLS}|${SPACES}`), bytes],
    ignoresMerges: true,
  },
  {
    names: ["jais-2"],
    steps: [
      split(`${CONTRACTION}|${WORD}|\\p{N}{1,3}|${SYMBOLS}|\\s*[\\r\\n]+|${SPACE_RUNS}|\\s{1,2}(?!\\S)|\\s{1}`),
      bytes,
    ],
  },
  {
    names: ["tekken"],
    steps: [split(`${casedWords("")}|\\p{N}|${CASED_SYMBOLS}|${SPACES}`), bytes],
    ignoresMerges: true,
    addsBos: true,
  },
  { names: ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], steps: [split(GPT4O), bytes] },
  { names: ["tiny_aya", "cohere2moe"], steps: [split("\\d{1,3}(?=(?:\\d{3})*\\b)"), split(GPT4O), bytes] },
  {
    names: ["youtu"],
    steps: [
      split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+"),
      split(`${casedWords(`${CONTRACTION}?`)}|\\p{N}|${CASED_SYMBOLS}|${SPACES}`),
      bytes,
    ],
    ignoresMerges: true,
  },
  {
    names: ["kimi-k2"],
    steps: [split(`[\\p{Han}]+|${noHanWord("*", "+")}|${noHanWord("+", "*")}|\\p{N}{1,3}|${SYMBOLS}|${SPACES}`), bytes],
  },
  {
    names: ["starcoder", "refact", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
    steps: [eachDigit, gpt2],
  },
  { names: ["command-r"], steps: [eachDigit, gpt2], normalizer: "NFC" },
  { names: ["falcon"], steps: [punctuation, gpt2, digits, split("[0-9][0-9][0-9]")] },
  { names: ["bloom", "poro-chat", "gpt3-finnish"], steps: [split(" ?[^(\\s|[.,!?…。，、।۔،])]+"), bytes] },
  { names: ["viking"], steps: [split(" ?[^(\\s|[.,!?…。，、।۔،])]+"), eachDigit, bytes] },
  { names: ["superbpe"], steps: [split("\\p{N}+"), split("(?=(\\d{3})+(?!\\d))"), bytes] },
  {
    names: ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
    steps: [
      split("\\p{N}{1,3}"),
      split(CJK),
      split(`${PUNCTUATED}|${DEEPSEEK_WORD}| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+`),
      bytes,
    ],
  },
  {
    names: ["spark2_5"],
    steps: [
      split("\\p{N}{1,3}"),
      split(CJK),
      split(`${PUNCTUATED}|${DEEPSEEK_WORD}| ?[\\p{P}\\p{S}]+|[\r\n]|\\s+(?!\\S)|\\s+`),
      eachDigit,
      bytes,
    ],
  },
  {
    names: ["deepseek-llm"],
    steps: [
      split("[\r\n]"),
      split(`\\s?[${DEEPSEEK_LETTERS}]+`),
      split("\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"),
      split("\\s+$"),
      split(DEEPSEEK_CJK),
      eachDigit,
      bytes,
    ],
  },
  {
    names: ["deepseek-coder"],
    steps: [split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split(DEEPSEEK_CJK), eachDigit, bytes],
  },
  {
    names: ["chameleon"],
    steps: [
      split("<sentinel:[0-9]+>"),
      split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
      split("([\\t\\n]|    |  )"),
      eachDigit,
      split("[\\p{P}!-/:-@\\[-`{-~]"),
      gpt2,
    ],
    addsBos: true,
  },
  {
    names: ["default"],
    steps: [split("[\\p{P}\\$\\+<=>\\^~\\|]+"), gpt2, digits, split("[0-9][0-9][0-9]")],
  },
];

export function findGgufPre(name: string): GgufPre | undefined {
  return GGUF_PRES.find(({ names }) => names.includes(name));
}
