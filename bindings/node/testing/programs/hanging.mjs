// A service whose handlers do not come back.
import { setTimeout as pause } from "node:timers/promises";

import { service } from "procall";

const hanging = service(
  "hanging",
  {
    pid: () => process.pid,
    spin() {
      for (;;);
    },
    block() {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    },
    async pause(ms) {
      await pause(ms);
      return process.pid;
    },
  },
  { concurrency: Number(process.env.CONCURRENCY ?? 1) },
);

await hanging.run();
