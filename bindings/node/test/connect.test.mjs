// Services that are found by name, without any server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { connect, context, service } from "procall";

import { deferred, folder, serve } from "../testing/serving.mjs";

const PROGRAM = fileURLToPath(new URL("../testing/programs/hello.mjs", import.meta.url));
const PATIENCE = 50_000;

/** What lies in the runtime directory. */
function files(runtime) {
  const path = join(runtime, "procall");
  return existsSync(path) ? readdirSync(path).sort() : [];
}

/** A service in a process of its own; resolves once it says that it listens. */
async function start(t, name) {
  const child = spawn(process.execPath, [PROGRAM, name], { stdio: ["ignore", "ignore", "pipe"] });
  const gone = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  const [line] = await once(createInterface(child.stderr), "line");
  return { child, gone, line };
}

describe("clients", { timeout: 120_000 }, () => {
  it("are known to the other side by their names", async (t) => {
    const PYTHON = fileURLToPath(new URL("../../../.venv/bin/python", import.meta.url));
    const ECHO = fileURLToPath(new URL("../testing/programs/echo.py", import.meta.url));
    const PROCALL_LISTEN = `unix:${join(folder(t), "echo.sock")}`;
    const child = spawn(PYTHON, [ECHO], { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, PROCALL_LISTEN } });
    const gone = once(child, "exit");
    t.after(async () => {
      child.kill("SIGKILL");
      await gone;
    });
    const names = [[{}, "connect.test.mjs"], [{ name: "night\u001b\nly" }, "nightly"]];
    for (const [options, name] of names) {
      const client = await connect(PROCALL_LISTEN, { ...options, timeoutMs: PATIENCE });
      t.after(() => client.close());
      assert.equal(await client.caller(), name);
    }
  });
});

describe("services found by name", { timeout: 120_000 }, () => {
  const { XDG_RUNTIME_DIR: before } = process.env;
  let runtime;
  beforeEach((t) => {
    runtime = process.env.XDG_RUNTIME_DIR = folder(t);
  });
  afterEach(() => {
    if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = before;
  });

  it("are called by several callers at once", async (t) => {
    const { line } = await start(t, "calc");
    assert.equal(line, `procall: listening at unix:${runtime}/procall/calc.sock`);
    assert.deepEqual(files(runtime), ["calc.sock", "calc.sock.lock"]);
    const calls = Array.from({ length: 8 }, async (_, n) => {
      const calc = await connect("calc");
      const sums = await Promise.all(Array.from({ length: 100 }, (_, m) => calc.add(n, m)));
      calc.close();
      return sums.reduce((all, sum) => all + sum, 0);
    });
    assert.deepEqual(await Promise.all(calls), Array.from({ length: 8 }, (_, n) => 100 * n + 4950));
  });

  it("may come later", async (t) => {
    const calls = Array.from({ length: 8 }, async () => {
      const calc = await connect("calc", { timeoutMs: PATIENCE });
      const sum = await calc.add(5, 3);
      calc.close();
      return sum;
    });
    await start(t, "calc");
    assert.deepEqual(await Promise.all(calls), Array(8).fill(8));
  });

  it("leave nothing after an orderly end", async (t) => {
    for (const signal of ["SIGTERM", "SIGINT"]) {
      const { child, gone } = await start(t, "calc");
      child.kill(signal);
      assert.deepEqual(await gone, [0, null]);
      assert.deepEqual(files(runtime), []);
    }
  });

  it("leave nothing when they exit, or fail", async (t) => {
    for (const [method, code] of [
      ["leave", 3],
      ["crash", 1],
    ]) {
      const { gone } = await start(t, "calc");
      const calc = await connect("calc");
      // Its answer may come or not.
      calc.notify(method);
      assert.deepEqual(await gone, [code, null]);
      assert.deepEqual(files(runtime), [], method);
      calc.close();
    }
  });

  it("end their calls when they are killed, and the next start heals", async (t) => {
    const { child, gone } = await start(t, "calc");
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect("calc")));
    const calls = clients.map((calc) => calc.hang());
    await Promise.all(clients.map((calc) => calc.pid()));
    child.kill("SIGKILL");
    const outcomes = await Promise.allSettled(calls);
    assert.deepEqual(
      outcomes.map(({ reason }) => reason?.code),
      Array(8).fill("CONNECTION_LOST"),
    );
    await gone;
    assert.deepEqual(files(runtime), ["calc.sock", "calc.sock.lock"]);
    const next = await start(t, "calc");
    const calc = await connect("calc");
    assert.equal(await calc.pid(), next.child.pid);
    for (const client of [calc, ...clients]) client.close();
  });

  it("have a name that is served once", async (t) => {
    const { child } = await start(t, "calc");
    await assert.rejects(service("calc", { one: () => 1 }).run(), (error) => {
      assert.equal(error.code, "NAME_TAKEN");
      assert.equal(error.executed, "no");
      assert.ok(error.message.includes(`another process (pid ${child.pid}, listening at unix:`), error.message);
      return true;
    });
  });

  it("are missed with a hint", async (t) => {
    await start(t, "math");
    await assert.rejects(connect("maths", { timeoutMs: 0 }), (error) => {
      assert.equal(error.code, "NO_WORKER");
      assert.equal(error.executed, "no");
      assert.deepEqual(error.candidates, ["math"]);
      assert.match(error.message, /nothing listens at unix:.*\/procall\/maths\.sock \(waited 0\.0 s\); did you mean math\?; start it, e\.g\./);
      return true;
    });
  });

  it("are waited for as long as was said", async () => {
    await assert.rejects(connect("calc", { timeoutMs: 30 }), { code: "NO_WORKER" });
  });

  it("are no longer looked for once the signal says so", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const search = connect("calc", { timeoutMs: Infinity, signal: controller.signal });
    // The loop runs on meanwhile.
    for (let n = 0; n < 100; n++) await new Promise((resolve) => setImmediate(resolve));
    controller.abort(reason);
    await assert.rejects(search, { code: "CANCELLED", executed: "no", cause: reason });
    await assert.rejects(connect("calc", { signal: AbortSignal.abort(reason) }), { code: "CANCELLED", cause: reason });
  });

  it("are told from those that do not answer, and these can be given up", async (t) => {
    const path = join(folder(t), "mute.sock");
    const mute = createServer({ pauseOnConnect: false });
    const ends = [];
    mute.on("connection", (socket) => ends.push(once(socket.resume(), "end")));
    mute.listen(path);
    t.after(() => mute.close());
    await once(mute, "listening");
    await assert.rejects(connect(`unix:${path}`, { timeoutMs: 5 }), { code: "NO_WORKER", message: /does not answer/ });
    const controller = new AbortController();
    const connecting = connect(`unix:${path}`, { timeoutMs: PATIENCE, signal: controller.signal });
    await once(mute, "connection");
    controller.abort();
    await assert.rejects(connecting, { code: "CANCELLED" });
    // Nothing of either stays.
    assert.equal(ends.length, 2);
    await Promise.all(ends);
  });

  it("are looked for no longer than the handler has that does it", async (t) => {
    const found = deferred();
    const { client } = await serve(t, {
      seek: () =>
        connect("nobody", { timeoutMs: Infinity, context: context() }).catch((error) => {
          found.resolve(error);
        }),
    });
    await assert.rejects(client.call("seek", [], { deadlineMs: 100 }), { code: "DEADLINE_EXCEEDED" });
    // Whichever comes first: the end of its time, or the word that nobody waits any more.
    assert.match((await found.promise).code, /NO_WORKER|CANCELLED/);
  });

  it("are not looked for in a directory that others can enter", async () => {
    mkdirSync(join(runtime, "procall"));
    chmodSync(join(runtime, "procall"), 0o777);
    await assert.rejects(connect("calc", { timeoutMs: PATIENCE }), { code: "PERMISSION_DENIED", message: /chmod 700/ });
    await assert.rejects(service("calc", { one: () => 1 }).run(), { code: "PERMISSION_DENIED" });
  });

  it("are looked for by programs that have nothing else to do", async () => {
    const text = `import { connect } from "procall"; await connect("calc", { timeoutMs: 50 }).catch((e) => console.log(e.code));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", text], { cwd: fileURLToPath(new URL("..", import.meta.url)) });
    const [line] = await once(createInterface(child.stdout), "line");
    assert.equal(line, "NO_WORKER");
    await once(child, "exit");
  });
});
