// An engine over TLS: services that register with it, and callers.
import assert from "node:assert/strict";
import { chmodSync, cpSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

import { connect } from "procall";

import { command, House, NODE_SHOP, Process } from "../testing/engines.mjs";
import { folder } from "../testing/serving.mjs";

const CERTIFICATES = fileURLToPath(new URL("../../../tests/certificates", import.meta.url));
const failure = (promise) => promise.then((value) => assert.fail(`it answered ${value}`), (error) => error);

/** An engine at a free port over TLS, and a service that has registered with what its environment says. */
async function start(t, args = [], environment = {}) {
  new House(t); // Its runtime directory.
  const files = folder(t);
  cpSync(CERTIFICATES, files, { recursive: true });
  for (const name of readdirSync(files)) chmodSync(join(files, name), 0o600);
  const file = (name) => resolve(files, name);
  const own = ["--no-http", "--tls-cert", file("server.pem"), "--tls-key", file("server.key")];
  const given = args.map((arg) => (arg.endsWith(".pem") ? file(arg) : arg));
  const engine = new Process(t, command(), ["serve", "--listen", "tls:127.0.0.1:0", ...own, ...given]);
  const address = (await engine.said("listening at tls:")).split(" ").at(-1);
  const ours = Object.entries(environment).map(([name, value]) => [name, file(value)]);
  // Elsewhere, so that it has no other way.
  const where = { XDG_RUNTIME_DIR: files, PROCALL_ENGINE: address, PROCALL_TLS_CA: file("ca.pem") };
  const shop = new Process(t, process.execPath, [NODE_SHOP], { ...where, ...Object.fromEntries(ours) });
  await shop.said("registered with");
  return { address, file };
}

async function enter(t, target, options) {
  const client = await connect(target, options);
  t.after(() => client.close());
  return client;
}

it("serves and calls over TLS", { timeout: 120_000 }, async (t) => {
  const { address, file } = await start(t);
  const client = await enter(t, address, { ca: file("ca.pem") });
  assert.equal(await client.shop.add(1, 2), 3);
  const named = await enter(t, address.replace("127.0.0.1", "localhost"), { ca: file("ca.pem") });
  assert.equal(await named.shop.add(3, 4), 7);
});

it("says who is not trusted, with the fix", { timeout: 120_000 }, async (t) => {
  const { address, file } = await start(t);
  const unknown = await failure(connect(address, { ca: file("other-ca.pem") }));
  assert.equal(unknown.code, "UNAUTHENTICATED");
  assert.match(unknown.message, /PROCALL_TLS_CA=FILE, or the option `ca`/);
  const plain = await failure(connect(address.replace("tls:", "tcp:")));
  assert.match(plain.message, /connect with tls: instead of tcp:/);
  const missing = await failure(connect(address, { ca: file("none.pem") }));
  assert.equal(missing.code, "INVALID_ARGUMENT");
});

it("shows a certificate where one is wanted", { timeout: 120_000 }, async (t) => {
  const environment = { PROCALL_TLS_CERT: "client.pem", PROCALL_TLS_KEY: "client.key" };
  const { address, file } = await start(t, ["--tls-client-ca", "ca.pem"], environment);
  const own = { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
  const client = await enter(t, address, own);
  assert.equal(await client.shop.add(1, 2), 3);
  const refused = await failure(connect(address, { ca: file("ca.pem") }));
  assert.equal(refused.code, "UNAUTHENTICATED");
  assert.match(refused.message, /PROCALL_TLS_CERT/);
});
