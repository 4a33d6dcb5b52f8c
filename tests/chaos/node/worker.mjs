// The Node worker of every scenario; what its methods do is said in the README.
import { existsSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { context, method, ProcallError, service } from "procall";

const folder = process.env.CHAOS_LEDGER;
const ledger = openSync(join(folder, String(process.pid)), "a");

// One write for each line, so that none is torn when the process is killed.
const note = (...words) => writeSync(ledger, `${words.join(" ")}\n`);
const nanos = () => BigInt(Date.now()) * 1_000_000n;

async function work(id, nonce, millis, payload) {
  note("S", id);
  if (millis > 0) await sleep(Number(millis));
  note("E", id);
  return [nonce, payload];
}

async function wait(id, millis) {
  const { signal } = context();
  note("S", id);
  try {
    await sleep(Number(millis), undefined, { signal });
  } catch (error) {
    note("C", id, nanos());
    throw error;
  }
  note("E", id);
  return id;
}

function* count(id, n, most) {
  let made = 0;
  try {
    while (made < n) {
      const at = made++;
      yield [at, new Uint8Array((at * 7919 + Number(id)) % (Number(most) + 1)).fill(at & 255)];
    }
  } finally {
    note("P", id, made, nanos());
  }
}

async function fickle(id, nonce, millis, payload) {
  note("A", id);
  if (existsSync(join(folder, "down"))) throw new ProcallError("UNAVAILABLE", "down, as wanted");
  return work(id, nonce, millis, payload);
}

function die(id, way) {
  note("D", id);
  if (way === "exit") process.exit(7);
  if (way === "abort") process.abort();
  if (way === "rejection") {
    Promise.reject(new Error("nobody catches this"));
  } else {
    process.kill(process.pid, way === "segv" ? "SIGSEGV" : "SIGKILL");
  }
  return sleep(60_000, id);
}

// Gives the longest time that one write took, in microseconds.
function spew(size) {
  const chunk = Uint8Array.from({ length: 1 << 16 }, (_, at) => (at % 256 === 10 ? 0 : at % 256));
  let longest = 0n;
  for (let number = 0; number < Number(size) / chunk.length; number++) {
    const begun = process.hrtime.bigint();
    for (let written = 0; written < chunk.length; ) {
      try {
        written += writeSync(1 + (number % 2), chunk, written);
      } catch (error) {
        if (error.code !== "EAGAIN") throw error;
      }
    }
    const took = process.hrtime.bigint() - begun;
    if (took > longest) longest = took;
  }
  return longest / 1000n;
}

const start = process.env.CHAOS_START;
if (start && !existsSync(join(folder, "healed"))) {
  for (let line = 0; line < 30; line++) console.error("line", line, "of a worker that does not come up");
  if (start === "silent") await sleep(3_600_000);
  if (start === "exit") process.exit(3);
  setTimeout(() => process.exit(4), 1_000);
}

await service("chaos", {
  work,
  wait,
  count,
  swallow: (payload) => payload.length,
  give: (size) => new Uint8Array(Number(size)),
  fickle: method({ idempotent: true }, fickle),
  die: method({ idempotent: true }, die),
  spew,
  heard: (number, _payload) => void note("N", number, nanos()),
}).run();
