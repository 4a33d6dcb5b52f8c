// The Node caller: node caller.mjs WORKER
import { Pool } from "procall";

const words = ["one", "three", "eleven"];
const pool = await Pool.spawn(process.argv[2], { workers: 2 });
try {
  // One method, any number of arguments; the bar is drawn where there is a terminal.
  const sizes = await pool.map("size", words.map((word) => [word]), { progress: true }).toArray();
  console.log("map:", ...sizes);

  // A handful of different calls in one write, each with its own outcome.
  for (const { value, error } of await pool.batch([["size", ["four"]], ["size", [4]]])) console.log("batch:", error?.code ?? value);

  // Calls that are started together, and their results later.
  const sums = await Promise.all(words.map((word) => pool.call("size", [word])));
  console.log("submit:", sums.reduce((a, b) => a + b));

  // How far a call has come. At most ten reports a second travel.
  const reports = [];
  const learned = await pool.call("learn", [3], { progress: (report) => reports.push(report) });
  console.log("progress:", learned, "after", reports[0]);
} finally {
  await pool.stop();
}
