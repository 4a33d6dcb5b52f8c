// The Node parent: every way to start a worker that the table named on the command line has.
import assert from "node:assert/strict";
import { readFileSync, realpathSync } from "node:fs";
import { Pool } from "procall";

const ARGS = ["$(exit 1); `exit 1`", "", "ü \"quoted\" 'twice' *", "--flag=1"];

async function check(row) {
  const { spawn, command, interpreter, cwd } = row;
  const options = { workers: 1, args: ARGS, env: { ...row.env, PAIRS_SAID: "a=b; ü" }, restart: { maxUnready: 1 } };
  if (interpreter !== undefined) options.interpreter = interpreter;
  if (cwd !== undefined) options.cwd = cwd;
  let pool;
  try {
    pool = await (spawn === undefined ? Pool.command(command, options) : Pool.spawn(spawn, options));
  } catch (error) {
    assert.equal(error.code, "SPAWN_FAILED", String(error));
    assert.ok(row.fails !== undefined && error.message.includes(row.fails), String(error));
    return;
  }
  try {
    assert.equal(row.fails, undefined, "it started");
    assert.equal(await pool.call("add", [1, 2]), 3);
    const launched = await pool.call("launched");
    assert.equal(launched.language, row.language);
    assert.deepEqual(launched.args, ARGS);
    assert.equal(launched.cwd, realpathSync(cwd ?? "."));
    assert.deepEqual(launched.env, { PAIRS_SAID: "a=b; ü" });
    assert.ok(launched.program.startsWith(row.program ?? ""), launched.program);
  } finally {
    await pool.stop();
  }
}

for (const row of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  if (row.callers !== undefined && !row.callers.includes("node")) continue;
  try {
    await check(row);
    console.log("ok   ", row.name);
  } catch (reason) {
    process.exitCode = 1;
    console.log("FAIL ", `${row.name}: ${reason}`);
  }
}
