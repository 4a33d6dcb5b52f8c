// A time-out that does not wait for the worker: it is started anew.
//
//     node restart.mjs WORKER
import { Pool } from "procall";

const pool = await Pool.spawn(process.argv[2] ?? "worker.mjs", { workers: 1 });
try {
  const events = pool.events();

  try {
    await pool.call("message", [{ Toil: 60_000 }], { deadlineMs: 100, onTimeout: "restart" });
  } catch (error) {
    console.log("too slow:", error.code);
  }

  // What happens to the workers comes in order: this one went, and came again.
  for await (const event of events) {
    if (event.what === "ready") {
      console.log(event.worker, "is there again");
      break;
    }
  }
  console.log("Result ->", await pool.call("message", [{ Add: [6, 7] }]));
  await pool.stop();
} finally {
  await pool.close();
}
