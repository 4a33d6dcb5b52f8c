// A process with a pool that somebody kills: it tells the ids of its workers, which then have to go.
import { fileURLToPath } from "node:url";

import { Pool } from "procall";

const spinning = new Set();
const file = fileURLToPath(new URL("worker.mjs", import.meta.url));
const pool = await Pool.spawn(file, { workers: 2, onOutput: (line) => line.text === "spinning" && started(line.pid) });

function started(pid) {
  spinning.add(pid);
  if (spinning.size === 1) process.send({ pids: pool.workers().map(({ pid }) => pid), spinning: pid });
}

const pids = () => pool.workers().map(({ pid }) => pid);

/** Calls that do not end by themselves. */
async function inFlight() {
  const calls = [pool.call("hang"), pool.call("hang")];
  for (const call of calls) call.catch(() => {});
  while (pool.workers().some(({ inFlight }) => inFlight === 0)) await new Promise((resolve) => setImmediate(resolve));
}

if (process.argv[2] === "calls") {
  await inFlight();
  process.send({ pids: pids() }, () => process.exit(0));
} else if (process.argv[2] === "signal") {
  await inFlight();
  process.send({ pids: pids() });
} else if (process.argv[2] === "spin") await pool.call("spin", [], { deadlineMs: null });
else if (process.argv[2] === "exit") process.send({ pids: pool.workers().map(({ pid }) => pid) }, () => process.exit(0));
// An idle pool does not keep its process: this is the end of the program.
else process.send({ pids: pool.workers().map(({ pid }) => pid) }, () => process.disconnect());
