// Pools for tests, and what one wants to know of their processes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { Pool } from "procall";

/** The program of the workers. */
export const WORKER = fileURLToPath(new URL("programs/worker.mjs", import.meta.url));

/** A pool of {@link WORKER}, one of it unless `options` say otherwise; it is stopped after the test. */
export async function spawn(t, options = {}) {
  const pool = await Pool.spawn(WORKER, { workers: 1, finishTimeoutMs: 100, ...options });
  // An idle pool does not keep its process, but the tests wait for what it tells.
  const keep = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(keep);
    return pool.stop();
  });
  return pool;
}

/** Whether a process runs. One that has ended but was not collected by whoever inherited it runs no more. */
function runs(pid) {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Resolves once a process is gone; fails when that takes longer than `withinMs`. */
export async function gone(pid, withinMs) {
  const start = performance.now();
  while (runs(pid)) {
    assert.ok(performance.now() - start < withinMs, `process ${pid} is still there after ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A pool whose workers come back at once, as often as they go. */
export function spawnPatient(t, options = {}) {
  return spawn(t, { restart: { backoffMs: 1, maxBackoffMs: 1, maxRestarts: 1000 }, ...options });
}

/** The next event of a kind. */
export async function next(events, what) {
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(!done, `no worker ${what}`);
    if (value.what === what) return value;
  }
}
