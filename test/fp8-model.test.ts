/** A model in DeepSeek's fp8, as it is stored, against transformers on its dequantised weights (scripts/fixtures/make_fp8.py). */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../src/run/model.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { fixture, readExpected } from "./support/fixtures.ts";
import { open } from "./support/open.ts";
import { deviation, stacked } from "./support/tensors.ts";
import { TOLERANCE } from "./support/tolerance.ts";

describe("a tiny DeepSeek-V3 in fp8", () => {
  let model: Model;
  let tokens: number[];
  let logits: Tensor;

  beforeAll(async () => {
    model = await open(fixture("fp8"));
    const expected = await readExpected(fixture("fp8"));
    tokens = [...expected("tokens").data];
    logits = expected("logits");
  });
  afterAll(() => model.close());

  it("gives the logits of its dequantised weights", async () => {
    expect(deviation((await model.run(tokens)).logits, logits)).toBeLessThanOrEqual(TOLERANCE.official);
  });

  it("gives them token by token", async () => {
    const session = model.session();
    const parts: Tensor[] = [];
    for (const token of tokens) parts.push((await session.append([token])).logits);
    session.close();
    expect(deviation(stacked(parts), logits)).toBeLessThanOrEqual(TOLERANCE.official);
  });
});
