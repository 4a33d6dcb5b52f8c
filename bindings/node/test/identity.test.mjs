// Services that an engine with a state recognises when either of them comes back.
import assert from "node:assert/strict";
import { join } from "node:path";
import { it } from "node:test";

import { connect, service } from "procall";

import { House } from "../testing/engines.mjs";
import { folder } from "../testing/serving.mjs";

const PATIENCE = 60_000;
const LIMITS = { timeout: 120_000 };

/** An engine with a state. */
function keeping(t) {
  const house = new House(t);
  house.arguments = ["--state", join(folder(t), "state"), "--no-http"];
  return house.start();
}

/** The process that answers once the engine and a service are there. */
async function answering(t) {
  const shop = await connect("shop", { timeoutMs: PATIENCE });
  t.after(() => shop.close());
  return shop.call("shop.pid", [], { wait: true, deadlineMs: PATIENCE });
}

it("keeps its identity when the engine comes back", LIMITS, async (t) => {
  const house = await keeping(t);
  const shop = await house.registered("Node", [], { SHOP_IDENTITY: "shop-1" });
  assert.equal((await house.peers()).get(shop.pid).identity, "shop-1");
  await house.engine.kill();
  await house.start();
  assert.equal(await answering(t), shop.pid);
  assert.equal((await house.peers()).get(shop.pid).identity, "shop-1");
});

it("has its identity again when it is started anew, and nobody takes it meanwhile", LIMITS, async (t) => {
  const house = await keeping(t);
  const environment = { PROCALL_IDENTITY: "machine-7" };
  const first = await house.registered("Node", [], environment);
  const other = await house.registered("Python", [], environment);
  const peers = await house.peers();
  assert.equal(peers.get(first.pid).identity, "machine-7/shop");
  assert.equal(peers.get(other.pid).identity, null);
  await other.kill();
  await first.kill();
  const second = await house.registered("Node", [], environment);
  assert.equal((await house.peers()).get(second.pid).identity, "machine-7/shop");
  assert.equal(await answering(t), second.pid);
});

it("is told what cannot be an identity", LIMITS, async (t) => {
  const house = await keeping(t);
  const shop = service("shop", { add: (a, b) => a + b });
  for (const identity of ["two\nlines", "x".repeat(256)]) {
    await assert.rejects(shop.run({ engine: house.address, identity }), (error) => {
      return error.code === "INVALID_ARGUMENT" && /cannot be an identity/.test(error.message);
    });
  }
});
