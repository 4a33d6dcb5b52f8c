// The Node worker: a service with one method, `message`.
import { service } from "procall";

const answers = {
  Add: ([a, b]) => a + b,
  Sub: ([a, b]) => a - b,
  Toil: (millis) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis);
    return millis;
  },
  Note: (text) => console.log("noted:", text),
};

await service("workers", {
  message: (message) => {
    const [kind, value] = Object.entries(message)[0];
    return answers[kind](value);
  },
}).run();
