// A peer of Node to Node: piscina, which is a thread of the same process.
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

import { Piscina } from "piscina";

import { run, touch } from "./load.mjs";

export default ({ a, b, payload }) => (payload ? touch(payload) : a + b);

if (isMainThread) {
  const pool = new Piscina({ filename: fileURLToPath(import.meta.url), maxThreads: 1 });
  await run(
    () => pool.run({ a: 1, b: 2 }),
    (payload) => pool.run({ payload }),
  );
  await pool.destroy();
}
