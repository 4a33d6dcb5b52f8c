// The Node caller: node caller.mjs WORKER
import { connect, Pool } from "procall";
import { NotAnImage } from "./not-an-image.mjs";

function tell({ code, executed, retryable }) {
  console.log(`${code}: executed ${executed}, retryable ${retryable}`);
}

const pool = await Pool.spawn(process.argv[2], { workers: 1, errors: [NotAnImage] });
try {
  await pool.call("width", ["notes.txt"]).catch((error) => {
    if (error instanceof NotAnImage) console.log("not an image:", error.path); // its own class, with its own members
  });
  for (const [method, ...args] of [["divide", 1, 0], ["divide", 1], ["multiply", 1, 2], ["crash"]]) {
    await pool.call(method, args).catch(tell);
  }
} finally {
  await pool.stop();
}
await connect("nobody", { timeoutMs: 0 }).catch(tell);
