// The Node host: give it a worker of any language.
//
//     node host.mjs WORKER
import { Pool } from "procall";

const onOutput = (line) => console.error(`${line.worker} | ${line.text}`);
const pool = await Pool.spawn(process.argv[2] ?? "worker.mjs", { workers: 4, onOutput });
try {
  console.log("Result ->", await pool.call("message", [{ Add: [6, 7] }]));
  console.log("Result ->", await pool.call("message", [{ Sub: [21, 19] }]));

  // Nobody answers this one.
  pool.notify("message", [{ Note: "hello" }]);

  // The worker is left to finish, and gets nothing else before it has.
  try {
    await pool.call("message", [{ Toil: 500 }], { deadlineMs: 100 });
  } catch (error) {
    console.log("too slow:", error.code);
  }
  console.log("Result ->", await pool.call("message", [{ Add: [20, 22] }]));
  await pool.stop();
} finally {
  await pool.close();
}
