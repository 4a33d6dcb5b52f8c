// A Node worker for the bench.
import { service } from "../../bindings/node/dist/index.mjs";

await service("calc", { add: (a, b) => a + b }).run();
