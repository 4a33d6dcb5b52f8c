// Calls that are made again, and those that are not.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

import { connect, ProcallError } from "procall";

import { House } from "../testing/engines.mjs";
import { spawnPatient } from "../testing/pooling.mjs";
import { folder } from "../testing/serving.mjs";

const failure = (promise) => promise.then((value) => assert.fail(`it answered ${value}`), (error) => error);
const entries = (ledger) => readFileSync(ledger, "utf8").trim().split("\n").length;

describe("a call whose worker is killed with it", { timeout: 120_000 }, () => {
  it("is not executed twice when it may have run", async (t) => {
    const pool = await spawnPatient(t);
    const ledger = join(folder(t), "ledger");
    const error = await failure(pool.call("charge", [ledger]));
    assert.deepEqual([error.code, error.executed, error.attempts], ["WORKER_LOST", "maybe", 1]);
    assert.equal(typeof (await pool.call("pid")), "number", "it is back");
    assert.equal(entries(ledger), 1);
  });

  it("is made again when that does no harm, and ends well", async (t) => {
    const pool = await spawnPatient(t);
    const directory = folder(t);
    const path = (name) => join(directory, name);
    assert.equal(await pool.call("settle", [path("a")]), 2);
    assert.equal(await pool.call("charge", [path("b")], { idempotent: true }), 2);
    assert.deepEqual([entries(path("a")), entries(path("b"))], [2, 2]);
    const { retries, failedRequests } = pool.metrics();
    assert.deepEqual([retries, failedRequests], [2, 2]);
    await failure(pool.call("settle", [path("c")], { retries: 0 }));
    assert.equal(entries(path("c")), 1);
  });
});

describe("an error after several attempts", () => {
  it("says how many there were", () => {
    const error = new ProcallError("OVERLOADED", "full", { attempts: 3, noRetry: true });
    assert.equal(String(error), "OVERLOADED: full (executed: no, attempts: 3)");
    assert.deepEqual([error.attempts, error.noRetry, new ProcallError("OVERLOADED", "").attempts], [3, true, 1]);
  });
});

describe("an idempotency key", { timeout: 120_000 }, () => {
  it("has a call executed once", async (t) => {
    const house = await new House(t).start();
    await house.registered("Node");
    const shop = await connect("shop");
    t.after(() => shop.close());
    const buy = (params = []) => shop.call("serial", params, { idempotencyKey: "order-7" });
    const [first, joined] = await Promise.all([buy(), buy()]);
    assert.deepEqual([joined, await buy()], [first, first]);
    assert.equal(await shop.call("serial"), first + 1);
    const error = await failure(buy([1]));
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.match(error.message, /"order-7" belongs to a call of shop.serial with other arguments/);
  });

  it("must be a text, and retries a number", async (t) => {
    const pool = await spawnPatient(t);
    for (const options of [{ idempotencyKey: 7 }, { retries: -1 }, { retries: 1.5 }]) {
      assert.equal((await failure(pool.call("pid", [], options))).code, "INVALID_ARGUMENT");
    }
  });
});
