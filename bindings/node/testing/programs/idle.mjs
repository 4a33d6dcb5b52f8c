// A program that has a client and a pool, uses both, closes neither, and has nothing more to do.
import { fileURLToPath } from "node:url";

import { connect, Pool, service } from "procall";

const running = await service("idle", { one: () => 1 }).start({ listen: "tcp:127.0.0.1:0", onListening() {} });
const client = await connect(running.address);
await client.one();
const pool = await Pool.spawn(fileURLToPath(new URL("worker.mjs", import.meta.url)), { workers: 1 });
await pool.call("add", [1, 2]);
await running.stop();
process.send("used", () => process.disconnect());
