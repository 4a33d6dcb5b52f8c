// What pools and clients count, and whether pools are well.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";

import { context } from "procall";

import { next, spawn } from "../testing/pooling.mjs";
import { deferred, serve } from "../testing/serving.mjs";

const counts = ({ totalRequests, successfulRequests, failedRequests, cancelledRequests, inFlight, queueDepth }) => ({
  total: totalRequests,
  good: successfulRequests,
  failed: failedRequests,
  cancelled: cancelledRequests,
  inFlight,
  queueDepth,
});

function assertOrdered({ minMs, p50Ms, p95Ms, p99Ms, maxMs, meanMs }) {
  const ordered = [minMs, p50Ms, p95Ms, p99Ms, maxMs];
  assert.deepEqual(ordered.toSorted((a, b) => a - b), ordered);
  assert.ok(minMs <= meanMs && meanMs <= maxMs && maxMs > 0);
}

describe("figures", { timeout: 60_000 }, () => {
  it("count each call of a pool once, however it ends", async (t) => {
    const pool = await spawn(t, { queue: 1, concurrency: 1 });
    assert.deepEqual(counts(pool.metrics()), { total: 0, good: 0, failed: 0, cancelled: 0, inFlight: 0, queueDepth: 0 });
    assert.equal(pool.metrics().successRate, 1);
    assert.deepEqual(new Set(Object.values(pool.metrics().latency)), new Set([0]));
    for (let n = 0; n < 4; n++) await pool.calc.add(n, 1);
    await assert.rejects(pool.calc.throws(), { code: "HANDLER_ERROR" });

    const controller = new AbortController();
    const busy = pool.calc.held();
    const queued = pool.call("add", [1, 2], { signal: controller.signal });
    assert.deepEqual(counts(pool.metrics()), { total: 7, good: 4, failed: 1, cancelled: 0, inFlight: 2, queueDepth: 1 });
    await assert.rejects(pool.call("add", [1, 2], { retries: 0 }), { code: "OVERLOADED" });
    controller.abort();
    await assert.rejects(queued, { code: "CANCELLED" });
    await assert.rejects(pool.call("add", [1, 2], { deadlineMs: 20 }), { code: "DEADLINE_EXCEEDED" });
    pool.notify("release");
    await busy;
    const stream = pool.stream("count", [100]);
    await stream.next();
    await stream.return();

    const metrics = pool.metrics();
    assert.deepEqual(counts(metrics), { total: 10, good: 5, failed: 3, cancelled: 2, inFlight: 0, queueDepth: 0 });
    assert.equal(metrics.successRate, 5 / 8);
    assertOrdered(metrics.latency);
    assert.equal(metrics.averageLatencyMs, metrics.latency.meanMs);
    assert.deepEqual([metrics.restarts, metrics.missedHeartbeats], [0, 0]);
    assert.ok(metrics.heartbeatRoundTripMs === null || metrics.heartbeatRoundTripMs > 0);
  });

  it("count the calls of a client, and stay when it is closed", async (t) => {
    const started = deferred();
    const { client } = await serve(t, {
      add: (a, b) => a + b,
      fails() {
        throw new Error("no");
      },
      async slow() {
        const { signal } = context();
        started.resolve();
        await once(signal, "abort");
      },
    });
    await client.add(1, 2);
    await client.add(3, 4);
    await assert.rejects(client.fails());
    const controller = new AbortController();
    const slow = client.call("slow", [], { signal: controller.signal });
    await started.promise;
    assert.equal(client.metrics().inFlight, 1);
    controller.abort();
    await assert.rejects(slow, { code: "CANCELLED" });
    const wanted = { total: 4, good: 2, failed: 1, cancelled: 1, inFlight: 0, queueDepth: 0 };
    const metrics = client.metrics();
    assert.deepEqual(counts(metrics), wanted);
    assertOrdered(metrics.latency);
    client.close();
    client.close();
    assert.deepEqual(counts(client.metrics()), wanted);
  });

  it("say whether a pool is well, and what is wrong", async (t) => {
    const pool = await spawn(t, { workers: 2, name: "calc", restart: { maxRestarts: 0 } });
    assert.deepEqual(pool.health(), { healthy: true, open: true, ready: 2, workers: 2, problems: [], text: "2 of 2 workers are ready" });
    const events = pool.events();
    process.kill(pool.workers()[1].pid, "SIGKILL");
    await next(events, "failed");
    const health = pool.health();
    assert.deepEqual([health.healthy, health.open, health.ready, health.workers], [true, true, 1, 2]);
    assert.equal(health.problems.length, 1);
    assert.match(health.problems[0], /^calc\/2 has failed: .*was killed by SIGKILL/);
    assert.equal(health.text, `1 of 2 workers are ready; ${health.problems[0]}`);
    await pool.drain();
    const stats = pool.stats();
    assert.deepEqual([stats.health.healthy, stats.health.open], [false, false]);
    assert.deepEqual(stats.workers.map(({ name, state }) => [name, state]), [["calc/1", "ready"], ["calc/2", "failed"]]);
    assert.deepEqual(counts(stats.metrics), counts(pool.metrics()));
  });

  it("tell of each worker how long and how well it lives", async (t) => {
    const pool = await spawn(t);
    const [worker] = pool.workers();
    assert.ok(worker.uptimeMs > 0 && worker.memory > 1 << 20 && worker.roundTripMs > 0);
    await pool.calc.add(1, 2);
    const [later] = pool.workers();
    assert.ok(later.uptimeMs > worker.uptimeMs);
    assert.equal(later.calls, 1);
  });

  it("are the last ones once a pool is over", async (t) => {
    const pool = await spawn(t);
    await pool.calc.add(1, 2);
    await pool.stop();
    const { metrics, health, workers } = pool.stats();
    assert.deepEqual([metrics.successfulRequests, metrics.inFlight], [1, 0]);
    assert.deepEqual([health.healthy, health.open, health.ready], [false, false, 0]);
    assert.deepEqual(workers.map(({ state, pid, lastExit }) => [state, pid, lastExit]), [["stopped", undefined, "exited with code 0"]]);
    assert.deepEqual([pool.metrics(), pool.health(), pool.workers()], [metrics, health, workers]);

    const closed = await spawn(t);
    const running = closed.calc.hang().catch((error) => error);
    closed.close();
    assert.equal((await running).code, "CLOSED");
    assert.deepEqual([closed.metrics().failedRequests, closed.health().open], [1, false]);
  });
});
