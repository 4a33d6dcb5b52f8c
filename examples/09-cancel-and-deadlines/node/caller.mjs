// The Node caller: node caller.mjs WORKER
import { Pool } from "procall";

const pool = await Pool.spawn(process.argv[2], { workers: 1 });
try {
  // Every call has a deadline: 30 s, if nothing else is said.
  await pool.call("slowly", [60], { deadlineMs: 100 }).catch((error) => console.log("too slow:", error.code));
  const left = await pool.call("remaining", [], { deadlineMs: 5_000 });
  console.log("no more than 5 s:", left <= 5 ? "yes" : left);
  const open = await pool.call("remaining", [], { deadlineMs: null });
  console.log("no deadline:", open === null ? "yes" : open);

  // A signal that is aborted cancels the call.
  const controller = new AbortController();
  const call = pool.call("slowly", [60], { signal: controller.signal });
  await pool.call("cancels"); // by now the worker has that one too
  controller.abort();
  console.log("cancelled:", await call.then(() => "no", (error) => (error.name === "AbortError" || error.code === "CANCELLED" ? "yes" : error)));

  // The worker sees it a moment later.
  while ((await pool.call("cancels")) < 2);
  console.log("the worker knows of both");
} finally {
  await pool.stop();
}
