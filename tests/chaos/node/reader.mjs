// Reads a stream of `chaos.count` with pauses, and says what it saw: reader.mjs ADDRESS ID N MOST
import { setTimeout as sleep } from "node:timers/promises";

import { connect, ProcallError } from "procall";

const [address, ...numbers] = process.argv.slice(2);
const [id, n, most] = numbers.map(Number);
const seen = { items: 0, wrong: 0, error: null };
const client = await connect(address);
try {
  for await (const [at, content] of client.stream("chaos.count", [id, n, most])) {
    const length = (at * 7919 + id) % (most + 1);
    const whole = content.length === length && content.every((byte) => byte === (at & 255));
    if (at !== seen.items || !whole) seen.wrong++;
    seen.items++;
    if (at % 47 === 0) await sleep(10);
  }
} catch (error) {
  if (!(error instanceof ProcallError)) throw error;
  seen.error = error.code;
} finally {
  client.close();
}
console.log(JSON.stringify(seen));
