// The peer of Node to Node: child_process IPC, as JSON; argv: unused, window in milliseconds.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { latency, show, throughput } from "./load.mjs";

if (process.send) {
  process.on("message", ({ id, a, b }) => process.send({ id, sum: a + b }));
} else {
  const child = fork(fileURLToPath(import.meta.url));
  const waiting = new Map();
  let next = 0;
  child.on("message", ({ id, sum }) => {
    waiting.get(id)(sum);
    waiting.delete(id);
  });
  const call = () =>
    new Promise((resolve) => {
      const id = (next += 1);
      waiting.set(id, resolve);
      child.send({ id, a: 1, b: 2 });
    });
  await call();
  const window = Number(process.argv[3]);
  const sequential = await latency(call, window);
  show(sequential, await throughput(call, window));
  child.disconnect();
}
