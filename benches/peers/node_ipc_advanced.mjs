// A peer of Node to Node: child_process with the structured clone of V8, which can carry bytes.
import { fileURLToPath } from "node:url";

import { partner } from "./ipc.mjs";
import { run, touch } from "./load.mjs";

if (process.send) {
  process.on("message", ({ id, a, b, payload }) => process.send({ id, result: payload ? touch(payload) : a + b }));
} else {
  const { ask, end } = partner(fileURLToPath(import.meta.url), { serialization: "advanced" });
  await run(
    () => ask({ a: 1, b: 2 }),
    (payload) => ask({ payload }),
  );
  end();
}
