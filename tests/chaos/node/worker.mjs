// The Node worker of every scenario.
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

import { service } from "procall";

const ledger = openSync(join(process.env.CHAOS_LEDGER, String(process.pid)), "a");

await service("chaos", {
  async work(id, nonce, millis, payload) {
    writeSync(ledger, `S ${id}\n`);
    if (millis > 0) await setTimeout(Number(millis));
    writeSync(ledger, `E ${id}\n`);
    return [nonce, payload];
  },
}).run();
