// The Node service: run by hand, it listens under its name.
import { service } from "procall";

await service("math-service", {
  add: (a, b) => a + b,
  multiply: (a, b) => a * b,
  factorial: (n) => Array.from({ length: n }, (_, i) => i + 1).reduce((a, b) => a * b, 1),
}).run();
