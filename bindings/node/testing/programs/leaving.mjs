// A process that ends while its pool is open and has calls under way, in the way that is named, once it is told to.
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { Pool } from "procall";

const file = fileURLToPath(new URL("worker.mjs", import.meta.url));
const pool = await Pool.spawn(file, { workers: 2 });
const stream = pool.stream("count", [1_000_000]);
await stream.next();
pool.call("hang").catch(() => {});

process.send({ pids: pool.workers().map(({ pid }) => pid) });
await once(process, "message");

const end = {
  exit: () => process.exit(7),
  // Where an answer is handed over, and where calls are about to leave.
  "exit-in-answer": () => pool.call("echo", [1], { to: "worker/1" }).then(() => pool.call("hang").catch(() => {}) && process.exit(7)),
  "exit-with-unsent-calls": () => {
    for (let n = 0; n < 100; n++) pool.call("echo", [n]).catch(() => {});
    process.exit(7);
  },
  "exit-in-progress": async () => {
    for await (const _ of stream) process.exit(7);
  },
  throw: () => {
    setImmediate(() => {
      throw new Error("nobody catches this");
    });
  },
  reject: () => void Promise.reject(new Error("nobody looks at this")),
};
await end[process.argv[2]]();
