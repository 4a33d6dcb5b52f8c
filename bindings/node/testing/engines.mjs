// An engine, `procall serve`, and services that are registered with it, in processes of their own.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { folder } from "./serving.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const PYTHON = resolve(ROOT, ".venv/bin/python");
const PYTHON_SHOP = resolve(ROOT, "bindings/python/tests/services/shop.py");
export const NODE_SHOP = fileURLToPath(new URL("programs/shop.mjs", import.meta.url));

/** The command `procall`: that of `PROCALL_BIN`, or the one that cargo has built. */
export function command() {
  const path = process.env.PROCALL_BIN ?? resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target", "debug/procall");
  assert.ok(existsSync(path), `there is no ${path}: cargo build -p procall-cli`);
  return path;
}

/** A process whose lines can be waited for. */
export class Process {
  constructor(t, file, args, environment = {}) {
    this.child = spawn(file, args, { env: { ...process.env, ...environment } });
    this.pid = this.child.pid;
    this.gone = once(this.child, "exit");
    // Whoever was killed takes no more.
    this.child.stdin.on("error", () => {});
    this.out = createInterface(this.child.stdout)[Symbol.asyncIterator]();
    this.err = createInterface(this.child.stderr)[Symbol.asyncIterator]();
    t.after(() => this.kill());
  }

  /** The next line on standard error with these words; those before are passed over. */
  async said(words) {
    const before = [];
    for (;;) {
      const { done, value } = await this.err.next();
      assert.ok(!done, `it never said ${words}: ${before.join("\n")}`);
      if (value.includes(words)) return value;
      before.push(value);
    }
  }

  async line() {
    return (await this.out.next()).value;
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.gone;
  }
}

/** A runtime directory of its own, with an engine that can be killed and started again. */
export class House {
  #address = "tcp:127.0.0.1:0";
  /** Further arguments of the engine. */
  arguments = [];

  constructor(t) {
    this.t = t;
    const directory = folder(t);
    chmodSync(directory, 0o700);
    const wanted = { XDG_RUNTIME_DIR: directory, PROCALL_ENGINE: undefined, PROCALL_LISTEN: undefined };
    const before = Object.keys(wanted).map((name) => [name, process.env[name]]);
    const set = ([name, value]) => (value === undefined ? delete process.env[name] : (process.env[name] = value));
    Object.entries(wanted).forEach(set);
    t.after(() => before.forEach(set));
  }

  get address() {
    return this.#address;
  }

  async start() {
    this.engine = new Process(this.t, command(), ["serve", "--listen", this.#address, ...this.arguments]);
    // At its own port again, when it is started again.
    const line = await this.engine.said("listening at tcp:");
    this.#address = line.slice(line.lastIndexOf(" ") + 1);
    return this;
  }

  /** Who is connected, as `procall ps --json` has it, by process. */
  async peers() {
    const { stdout } = await promisify(execFile)(command(), ["ps", "--json"]);
    return new Map(JSON.parse(stdout).engines[0].peers.map((peer) => [peer.pid, peer]));
  }

  /** A shop of either language, which may not be registered yet. */
  shop(language, args = [], environment = {}) {
    if (language === "Node") return new Process(this.t, process.execPath, [NODE_SHOP, ...args], environment);
    assert.ok(existsSync(PYTHON), "the Python package is not built: make build-python");
    return new Process(this.t, PYTHON, [PYTHON_SHOP, language === "Python" ? "plain" : "async", ...args], environment);
  }

  async registered(language, args = [], environment = {}) {
    const shop = this.shop(language, args, environment);
    await shop.said("registered with");
    return shop;
  }
}
