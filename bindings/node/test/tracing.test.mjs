// Spans of calls: in a program that uses OpenTelemetry, and not in another one.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { context } from "procall";

import { folder, program, serve } from "../testing/serving.mjs";

const of = ({ spans }, kind) => {
  const found = spans.filter((span) => span.kind === kind);
  assert.equal(found.length, 1, JSON.stringify(spans));
  return found[0];
};

describe("in a program that uses OpenTelemetry", { timeout: 60_000 }, () => {
  let told;
  before(async () => {
    const t = { after };
    const { ready, gone } = await program(t, "traced.mjs", [`unix:${join(folder(t), "calc.sock")}`]);
    told = ready;
    await gone;
  });

  it("a call has a span on either side, and the handler runs in its own", () => {
    for (const [method, value] of [["add", 3], ["slowly", undefined]]) {
      const call = told[method];
      const [client, server] = [of(call, "CLIENT"), of(call, "SERVER")];
      assert.deepEqual([client.name, server.name], [method, `calc.${method}`]);
      assert.deepEqual([client.parent, server.parent], [call.main, client.id]);
      assert.equal(client.trace, server.trace);
      assert.equal(server.attributes["rpc.service"], "calc");
      if (value === undefined) assert.equal(call.value[0], server.id, "also after an await");
      else assert.equal(call.value, value);
    }
  });

  it("a failure is told by both", () => {
    const [client, server] = [of(told.fail, "CLIENT"), of(told.fail, "SERVER")];
    assert.equal(told.fail.value, "HANDLER_ERROR");
    for (const span of [client, server]) assert.equal(span.attributes["error.type"], "HANDLER_ERROR");
    assert.equal(client.attributes["procall.executed"], "yes");
    assert.deepEqual(server.events, ["exception"]);
    assert.equal(of(told.refused, "CLIENT").attributes["error.type"], "INVALID_ARGUMENT");
  });

  it("a stream has its span from its opening to its end", () => {
    const [client, server] = [of(told.count, "CLIENT"), of(told.count, "SERVER")];
    assert.deepEqual(told.count.value, [[server.id, "t"], [server.id, "t"]]);
    assert.equal(server.parent, client.id);
  });

  it("a notification has none", () => {
    assert.equal(told.notice.value, true);
    assert.deepEqual(told.notice.spans.map(({ kind }) => kind), ["INTERNAL"]);
  });
});

describe("in another program", () => {
  it("nothing joins the metadata", async (t) => {
    const { client } = await serve(t, { meta: () => context().meta });
    assert.deepEqual(await client.call("meta", [], { meta: { a: 1 } }), { a: 1 });
  });
});
