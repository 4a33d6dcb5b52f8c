// A peer of Node to Node: child_process, its messages as JSON.
import { fileURLToPath } from "node:url";

import { partner } from "./ipc.mjs";
import { run, section, show } from "./load.mjs";

if (process.send) {
  process.on("message", ({ id, a, b }) => process.send({ id, result: a + b }));
} else if (section === "spawn") {
  const times = [];
  for (let round = 0; round < 3; round += 1) {
    const start = performance.now();
    const { ask, end } = partner(fileURLToPath(import.meta.url));
    await ask({ a: 1, b: 2 });
    times.push(performance.now() - start);
    end();
  }
  show({ start_ms: times.sort((a, b) => a - b)[1] });
} else {
  const { ask, end } = partner(fileURLToPath(import.meta.url));
  await run(() => ask({ a: 1, b: 2 }));
  end();
}
