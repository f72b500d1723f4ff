/** A session keeps its keys and values, so a text can grow piece by piece. */
import { open } from "golgi";

const model = await open("models/stories260K");
const session = model.session();
for (const piece of ["Once upon", "a time,", "there was"]) {
  const run = await session.append(piece, { read: ["**.residPost@-1"], logits: "last" });
  const lengths = Array.from({ length: model.config.nLayers }, (_, layer) =>
    Math.hypot(...run.get(`blocks.${layer}.residPost`).data).toFixed(1),
  );
  console.log(`${session.tokens.length} tokens cached; length of the residual stream by layer: ${lengths.join(" ")}`);
}
session.close();
await model.close();
