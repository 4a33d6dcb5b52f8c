// A Node client for the bench; argv: socket path, window in milliseconds, workload.
import { connect } from "../../bindings/node/dist/index.mjs";
import { path, run, show, window, workload } from "./load.mjs";

const calc = await connect(`unix:${path}`);
if (workload === "stream") {
  let items = 0;
  const start = performance.now();
  while (items === 0 || performance.now() - start < window) {
    for await (const _ of calc.stream("count", [20_000])) items += 1;
  }
  show({ items_per_second: (items * 1000) / (performance.now() - start) });
} else {
  await run(
    () => calc.add(1, 2),
    (payload) => calc.touch(payload),
  );
}
await calc.close();
