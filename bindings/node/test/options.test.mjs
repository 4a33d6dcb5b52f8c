// Options that are `undefined` are as absent, so that whoever passes them on need not leave them out.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { connect, method, Pool, ProcallError, service } from "procall";

import { WORKER } from "../testing/pooling.mjs";
import { serve } from "../testing/serving.mjs";

/** An object with these members, all of them undefined. */
const undefinedOnes = (...names) => Object.fromEntries(names.map((name) => [name, undefined]));

describe("options that are undefined", { timeout: 60_000 }, () => {
  const ofCalls = undefinedOnes("deadlineMs", "signal", "idempotent", "progress", "context", "items", "meta", "key", "to", "onTimeout");

  it("of services, methods, connections and calls are as absent", async (t) => {
    const options = undefinedOnes("description", "input", "output", "params", "result", "idempotent", "errors", "itemsOut", "itemsIn");
    const { address, client } = await serve(
      t,
      {
        add: method(options, (a, b) => a + b),
        *count(n) {
          for (let at = 0; at < n; at++) yield at;
        },
      },
      undefinedOnes("version", "description", "concurrency", "methods"),
    );
    assert.equal(await client.call("add", [1, 2], ofCalls), 3);
    const counted = [];
    for await (const n of client.stream("count", [2], ofCalls)) counted.push(n);
    assert.deepEqual(counted, [0, 1]);
    client.notify("add", [1, 2], undefinedOnes("meta", "key", "to"));
    const other = await connect(address, undefinedOnes("timeoutMs", "transport", "signal", "errors", "context"));
    assert.equal(await other.add(1, 2), 3);
    other.close();
    assert.equal(new ProcallError("CLOSED", "", undefinedOnes("executed", "fields", "candidates")).executed, "no");
    const running = await service("other", { pid: () => process.pid }).start({ listen: "tcp:127.0.0.1:0", ...undefinedOnes("signals", "signal", "onListening") });
    await running.stop();
  });

  it("of pools are as absent", async (t) => {
    const names = ["idleTimeoutMs", "dispatch", "maxCalls", "maxMemory", "hangTimeoutMs", "onCancel", "cancelGraceMs", "args", "env", "cwd", "interpreter", "name", "transport", "queue", "concurrency"];
    const rest = ["readyTimeoutMs", "finishTimeoutMs", "stopTimeoutMs", "heartbeat", "restart", "errors", "signal", "onOutput", "onEvent"];
    const pool = await Pool.spawn(WORKER, { workers: 1, ...undefinedOnes(...names, ...rest) });
    t.after(() => pool.stop());
    assert.equal(pool.workers()[0].name, "worker/1");
    assert.deepEqual(await pool.map("add", [[1, 2]], undefinedOnes("lookAhead", "progress")).toArray(), [3]);
    const all = await Pool.spawn(WORKER, { workers: undefined, restart: undefinedOnes("backoffMs", "maxBackoffMs", "maxRestarts", "windowMs", "maxUnready") });
    t.after(() => all.stop());
    assert.ok(all.workers().length >= 1);
  });
});
