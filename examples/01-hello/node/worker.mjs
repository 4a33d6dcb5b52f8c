// The Node worker.
import { service } from "procall";

await service("hello", {
  add: (a, b) => a + b,
  multiply: (a, b) => a * b,
  factorial: (n) => (n <= 1 ? 1 : Array.from({ length: n }, (_, i) => i + 1).reduce((a, b) => a * b)),
}).run();
