import type { Architecture } from "./architecture.ts";
import { deepSeekV2 } from "./deepseek-v2.ts";
import { deepSeekV3 } from "./deepseek-v3.ts";
import { gemma } from "./gemma.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3 } from "./gemma3.ts";
import { gptOss } from "./gpt-oss.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { mixtral } from "./mixtral.ts";
import { olmo2 } from "./olmo2.ts";
import { olmoe } from "./olmoe.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen2Moe } from "./qwen2-moe.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3Moe } from "./qwen3-moe.ts";

/** Every family that golgi runs. */
export const ARCHITECTURES: readonly Architecture[] = [
  gpt2,
  llama,
  qwen2,
  qwen3,
  deepSeekV2,
  deepSeekV3,
  gemma,
  gemma2,
  gemma3,
  phi3,
  olmo2,
  mixtral,
  olmoe,
  qwen2Moe,
  qwen3Moe,
  gptOss,
];
