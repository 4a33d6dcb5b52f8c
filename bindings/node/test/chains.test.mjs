// Calls that wait for their own chain of callers, through an engine.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { describe, it } from "node:test";

import { connect } from "procall";

import { House, Process } from "../testing/engines.mjs";

const PROGRAM = fileURLToPath(new URL("../testing/programs/hopper.mjs", import.meta.url));

async function hopper(t, name, concurrency) {
  const process_ = new Process(t, process.execPath, [PROGRAM, name, String(concurrency)]);
  await process_.said("registered with");
  return process_;
}

async function enter(t) {
  const client = await connect("a");
  t.after(() => client.close());
  return client;
}

describe("a chain of calls", { timeout: 120_000 }, () => {
  it("that comes to a full service of its own fails, and names the cycle", async (t) => {
    await new House(t).start();
    await hopper(t, "a", 1);
    await hopper(t, "b", 1);
    const a = await enter(t);
    const told = await a.call("go", [["b", "a"]], { deadlineMs: Infinity });
    assert.deepEqual(told.chain, ["a.go", "b.go", "a.go"]);
    assert.equal(told.executed, "no");
    assert.match(told.says, /a\.go → b\.go → a\.go/);
    assert.equal(await a.go(["b"]), 2);
  });

  it("works with a slot more", async (t) => {
    await new House(t).start();
    await hopper(t, "a", 2);
    await hopper(t, "b", 1);
    const a = await enter(t);
    assert.equal(await a.go(["b", "a"]), 3);
    assert.deepEqual((await a.go(["a", "a"])).chain, ["a.go", "a.go", "a.go"]);
  });

  it("waits for a slot that somebody else holds", async (t) => {
    await new House(t).start();
    const held = await hopper(t, "a", 2);
    await hopper(t, "b", 1);
    const a = await enter(t);
    const other = a.hold();
    assert.equal(await held.line(), "held");
    const calls = a.go(["b", "a"]);
    held.child.stdin.write("\n");
    assert.equal(await calls, 3);
    await other;
  });

  it("is 33 calls long and no longer", async (t) => {
    await new House(t).start();
    await hopper(t, "a", 64);
    const a = await enter(t);
    assert.equal(await a.go(Array(32).fill("a")), 33);
    const told = await a.go(Array(33).fill("a"));
    assert.equal(told.executed, "no");
    assert.match(told.says, /32 deep/);
  });
});
