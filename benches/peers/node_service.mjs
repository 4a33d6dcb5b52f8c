// A Node service for the bench; argv: socket path.
import { service } from "../../bindings/node/dist/index.mjs";
import { path, touch } from "./load.mjs";

await service("calc", {
  add: (a, b) => a + b,
  touch,
  count: function* (n) {
    for (let at = 0; at < n; at += 1) yield at;
  },
}).run({ listen: `unix:${path}` });
