// The Node caller: node caller.mjs WORKER
import { Pool } from "procall";

const lines = [];
const pool = await Pool.spawn(process.argv[2], { workers: 1, name: "greeter", onOutput: (line) => lines.push(line) });
try {
  console.log(await pool.call("greet", ["Ada"]));
  console.log("healthy:", pool.health().healthy ? "yes" : pool.health());

  // A crash, and what the pool does about it.
  const events = pool.events();
  await pool.call("crash").catch((error) => console.log(error.message));
  for await (const event of events) {
    console.log("event:", event.what);
    if (event.what === "ready") break;
  }

  // A restart that was asked for loses no call.
  await pool.restart();
  console.log(await pool.call("greet", ["Grace"]));

  const { metrics } = pool.stats();
  console.log(metrics.successfulRequests, "good,", metrics.failedRequests, "failed");
} finally {
  await pool.stop();
}

// What workers print comes by another way than their answers, and all of it by the time the pool has stopped.
console.log(`${lines[0].worker} | ${lines[0].text}`);
