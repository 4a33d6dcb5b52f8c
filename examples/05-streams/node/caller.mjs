// The Node caller: node caller.mjs WORKER
import { Pool } from "procall";

const pool = await Pool.spawn(process.argv[2], { workers: 1 });
try {
  // Out of the worker.
  const numbers = [];
  for await (const n of pool.stream("count", [3])) numbers.push(n);
  console.log("count:", ...numbers);

  // Into it: any iterable, async or not.
  console.log("total:", await pool.call("total", [], { items: Array.from({ length: 100 }, (_, i) => i + 1) }));

  // Both ways.
  let n = 0;
  for await (const doubled of pool.stream("double", [], { items: [1, 2, 3] })) console.log("double:", ++n, "->", doubled);

  // Whoever leaves early cancels the call. The worker sees it a moment later.
  for await (const n of pool.stream("endless")) if (n === 2) break;
  while (!(await pool.call("left")));
  console.log("the worker knows that its reader has left");
} finally {
  await pool.stop();
}
