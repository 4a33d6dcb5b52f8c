// A pool whose worker prints: shown on standard error, silenced, or told to a function.
import { fileURLToPath } from "node:url";

import { Pool } from "procall";

const options = { shown: {}, silent: { showOutput: false }, told: { onOutput() {} } }[process.argv[2]];
const pool = await Pool.spawn(fileURLToPath(new URL("worker.mjs", import.meta.url)), { workers: 1, ...options });
await pool.call("print", ["hello"]);
await pool.stop();
process.send("done", () => process.disconnect());
