// The Node caller: give it a worker of any language.
//
//     node caller.mjs WORKER
import { Pool } from "procall";

const pool = await Pool.spawn(process.argv[2] ?? "worker.mjs", { workers: 1 });
try {
  console.log("1 + 2 =", await pool.hello.add(1, 2));
  console.log("4 * 7 =", await pool.hello.multiply(4, 7));
  console.log("10! =", await pool.hello.factorial(10));
  console.log("21 + 3 =", await pool.hello.add(21, 3));
} finally {
  await pool.close();
}
