// A service whose one slow call ends when its parent says so.
import { once } from "node:events";

import { service } from "procall";

await service("draining", {
  async slow() {
    process.send("started");
    await once(process, "message");
    process.disconnect();
    return "finished";
  },
  echo: (n) => n,
}).run({ listen: process.argv[2], onListening: () => process.send("listening") });
