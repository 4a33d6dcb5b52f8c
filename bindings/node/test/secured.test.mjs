// Services that listen over TLS, and compression, as a program itself says.
import assert from "node:assert/strict";
import { chmodSync, cpSync, readdirSync } from "node:fs";
import { createServer, connect as dial } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { connect, service } from "procall";

import { folder } from "../testing/serving.mjs";

const CERTIFICATES = fileURLToPath(new URL("../../../tests/certificates", import.meta.url));

function files(t) {
  const path = folder(t);
  cpSync(CERTIFICATES, path, { recursive: true });
  for (const name of readdirSync(path)) chmodSync(join(path, name), 0o600);
  return (name) => join(path, name);
}

async function serve(t, options) {
  const running = await service("calc", { echo: (text) => text }).start({ onListening() {}, ...options });
  t.after(() => running.stop());
  return running.address;
}

async function enter(t, address, options) {
  const client = await connect(address, { timeoutMs: 60_000, ...options });
  t.after(() => client.close());
  return client;
}

describe("a service with files of its own", { timeout: 60_000 }, () => {
  it("listens over TLS", async (t) => {
    const file = files(t);
    const own = { cert: file("server.pem"), key: file("server.key"), clientCa: file("ca.pem") };
    const address = await serve(t, { listen: "tls:127.0.0.1:0", ...own });
    const client = await enter(t, address, { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") });
    assert.equal(await client.echo("hello"), "hello");
    await assert.rejects(connect(address, { ca: file("ca.pem") }), { code: "UNAUTHENTICATED" });
  });

  it("is told where they are no use", async (t) => {
    const file = files(t);
    const own = { cert: file("server.pem"), key: file("server.key") };
    await assert.rejects(serve(t, { listen: "tcp:127.0.0.1:0", ...own }), /a certificate is for TLS/);
    await assert.rejects(serve(t, { listen: "tls:127.0.0.1:0", cert: own.cert }), /or the options `cert` and `key`/);
  });
});

/** A way to a port that counts what passes. */
async function counter(t, to) {
  const port = Number(to.split(":").at(-1));
  const way = { passed: 0 };
  const server = createServer((near) => {
    const far = dial(port, "127.0.0.1");
    for (const [one, other] of [[near, far], [far, near]]) {
      one.on("data", (data) => (way.passed += data.length));
      one.on("error", () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return Object.assign(way, { address: `tcp:127.0.0.1:${server.address().port}` });
}

describe("compression", { timeout: 60_000 }, () => {
  for (const [served, called, packed] of [[true, true, true], [true, undefined, false], [false, true, false]]) {
    it(`served ${served}, called ${called}`, async (t) => {
      const way = await counter(t, await serve(t, { listen: "tcp:127.0.0.1:0", compression: served }));
      const client = await enter(t, way.address, { compression: called });
      const text = "over and over ".repeat(20_000);
      assert.equal(await client.echo(text), text);
      assert.equal(way.passed < text.length, packed, `${way.passed} bytes`);
    });
  }
});
