// The first five minutes with `import`: pools of Python and of Node, and a service that is found by its name.
import { spawn } from "node:child_process";
import { once } from "node:events";

import { connect, Pool, ProcallError } from "procall";

for (const file of ["calc.py", "calc.mjs"]) {
  const pool = await Pool.spawn(file, { workers: 2 });
  const sum = await pool.calc.add(1, 2);
  const counted = [];
  for await (const n of pool.stream.calc.count(3)) counted.push(n);
  const sums = await pool.map("add", [[1, 2], { a: 3, b: 4 }]).toArray();
  const error = await pool.call("add", [1]).catch((error) => error);
  if (!(error instanceof ProcallError)) throw error;
  console.log(`${file}: ${sum}, ${JSON.stringify(counted)}, ${JSON.stringify(sums)}, ${error.code}`);
  await pool.stop();
}

const greeting = spawn(process.execPath, ["named.cjs"], { stdio: ["ignore", "ignore", "ignore"] });
const ended = once(greeting, "exit");
const greeter = await connect("greeter", { timeoutMs: 30_000 });
console.log(`greeter: ${await greeter.greet("Ada")}`);
greeter.close();
greeting.kill("SIGTERM");
const [code] = await ended;
if (code !== 0) throw new Error(`the service ended with ${code}`);
