// A Node service for the bench; argv: socket path.
import { service } from "../../bindings/node/dist/index.mjs";

await service("calc", { add: (a, b) => a + b }).run({ listen: `unix:${process.argv[2]}` });
