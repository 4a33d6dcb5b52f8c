// The Node worker.
import { context, method, service } from "procall";

const size = { params: { properties: { word: { type: "string" } } }, idempotent: true };

await service("words", {
  size: method(size, (word) => word.length),
  learn(epochs) {
    const ctx = context();
    for (let epoch = 0; epoch < epochs; epoch++) ctx.progress(epoch, epochs, "learning");
    return "learned";
  },
}).run();
