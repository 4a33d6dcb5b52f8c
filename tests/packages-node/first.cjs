// The first five minutes with `require`.
const { spawn } = require("node:child_process");
const { once } = require("node:events");

const { connect, Pool, ProcallError } = require("procall");

async function main() {
  for (const file of ["calc.py", "calc.mjs"]) {
    const pool = await Pool.spawn(file, { workers: 2 });
    const sum = await pool.calc.add(1, 2);
    const counted = [];
    for await (const n of pool.stream.calc.count(3)) counted.push(n);
    const outcomes = await pool.batch([["add", [1, 2]], ["add", { a: 3, b: 4 }]]);
    const error = await pool.call("add", [1]).catch((error) => error);
    if (!(error instanceof ProcallError)) throw error;
    console.log(`${file}: ${sum}, ${JSON.stringify(counted)}, ${JSON.stringify(outcomes.map(({ value }) => value))}, ${error.code}`);
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
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
