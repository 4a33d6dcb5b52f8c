// Services for tests: in this process or in one of its own, at addresses that vanish with the test.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { connect, service } from "procall";

/** A folder that goes with the test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "procall-test-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A service in this process and a client of it, both over a Unix socket. */
export async function serve(t, methods, options = {}) {
  const { listen = `unix:${join(folder(t), "test.sock")}`, ...rest } = options;
  const running = await service("test", methods, rest).start({ listen, onListening() {} });
  const client = await connect(running.address);
  t.after(async () => {
    client.close();
    await running.stop();
  });
  return { client, running, address: running.address };
}

/** A program of the folder `programs` in a process of its own; resolves when it says that it is ready, with what it said. */
export async function program(t, name, args = [], options = {}) {
  const path = fileURLToPath(new URL(`programs/${name}`, import.meta.url));
  const child = fork(path, args, { stdio: ["ignore", "pipe", "pipe", "ipc"], ...options });
  const gone = once(child, "exit");
  let stderr = "";
  child.stderr.on("data", (data) => (stderr += data));
  child.stdout.resume();
  t.after(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  const ready = await Promise.race([once(child, "message"), gone.then(() => Promise.reject(new Error(`${name} ended: ${stderr}`)))]);
  return { child, ready: ready[0], gone, stderr: () => stderr };
}

/** The service of `programs/server.mjs` in a process of its own, and a client of it. */
export async function server(t) {
  const { child, ready, gone } = await program(t, "server.mjs", [`unix:${join(folder(t), "server.sock")}`]);
  const client = await connect(ready.address);
  t.after(() => client.close());
  return { child, client, address: ready.address, gone };
}

/** A promise with its resolver. */
export function deferred() {
  let resolve;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}
