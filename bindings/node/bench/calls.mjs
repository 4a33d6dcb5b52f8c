// Node to Node: calls over a Unix socket against messages of `child_process`, in turn, in the same run.
// Pin it to one core with `taskset -c 0 node bench/calls.mjs`, which is where a hand-over costs most.
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { connect, service } from "procall";

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const CALLS = Number(process.env.CALLS ?? 20_000);

if (process.argv[2] === "ipc") {
  process.on("message", ({ id, a, b }) => process.send({ id, result: a + b }));
} else if (process.argv[2] === "procall") {
  const running = await service("calc", { add: (a, b) => a + b }).start({ listen: process.argv[3], onListening: () => process.send("ready") });
  process.on("disconnect", () => running.stop());
} else {
  const directory = mkdtempSync(join(tmpdir(), "procall-bench-"));
  const self = fileURLToPath(import.meta.url);
  const peer = fork(self, ["ipc"]);
  const server = fork(self, ["procall", `unix:${join(directory, "calc.sock")}`]);
  await new Promise((resolve) => server.once("message", resolve));
  const calc = await connect(`unix:${join(directory, "calc.sock")}`);

  const waiting = new Map();
  let last = 0;
  peer.on("message", ({ id, result }) => {
    const resolve = waiting.get(id);
    waiting.delete(id);
    resolve(result);
  });
  const ipc = (a, b) =>
    new Promise((resolve) => {
      const id = ++last;
      waiting.set(id, resolve);
      peer.send({ id, a, b });
    });

  const sequential = async (add) => {
    const times = new Float64Array(CALLS);
    for (let at = 0; at < CALLS; at++) {
      const start = process.hrtime.bigint();
      await add(at, 1);
      times[at] = Number(process.hrtime.bigint() - start) / 1000;
    }
    times.sort();
    return { p50: times[CALLS >> 1], p99: times[Math.floor(CALLS * 0.99)] };
  };
  const concurrent = async (add, calls) => {
    const start = process.hrtime.bigint();
    let next = 0;
    const lane = async () => {
      while (next < calls) await add(next++, 1);
    };
    await Promise.all(Array.from({ length: 64 }, lane));
    return calls / (Number(process.hrtime.bigint() - start) / 1e9);
  };

  const rows = { procall: [], ipc: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, add] of [["procall", (a, b) => calc.add(a, b)], ["ipc", ipc]]) {
      const { p50, p99 } = await sequential(add);
      const perSecond = await concurrent(add, CALLS * 4);
      // The first round warms up.
      if (round > 0) rows[name].push({ p50, p99, perSecond });
    }
  }
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const show = (name) => {
    const of = (key) => median(rows[name].map((row) => row[key]));
    console.log(`${name.padEnd(8)} p50 ${of("p50").toFixed(1)} µs   p99 ${of("p99").toFixed(1)} µs   64 in flight ${Math.round(of("perSecond") / 1000)}k/s`);
  };
  show("procall");
  show("ipc");
  calc.close();
  server.disconnect();
  peer.disconnect();
  rmSync(directory, { recursive: true, force: true });
}
