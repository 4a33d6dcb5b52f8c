// The Node worker: a generator is a stream, and `itemsIn` makes the first parameter one.
import { method, service } from "procall";

let leftEarly = 0;

await service("streams", {
  *count(n) {
    for (let i = 0; i < n; i++) yield i;
  },
  total: method({ itemsIn: true }, async (items) => {
    let sum = 0;
    for await (const item of items) sum += item;
    return sum;
  }),
  double: method({ itemsIn: true }, async function* (items) {
    for await (const item of items) yield 2 * item;
  }),
  async *endless() {
    try {
      for (let n = 0; ; n++) yield n;
    } finally {
      leftEarly++; // the reader has left
    }
  },
  left: () => leftEarly,
}).run();
