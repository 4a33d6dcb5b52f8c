// The Node caller: node caller.mjs WORKER
import { Pool } from "procall";

const pool = await Pool.spawn(process.argv[2], { workers: 1 });
try {
  const { methods } = await pool.methods();
  for (const { name } of methods.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    console.log(name);
    console.log("   right:", await pool.call(name, { order: { name: "tea" } }));
    await pool.call(name, { order: { name: "tea", count: "many" } }).catch((error) => {
      console.log("   wrong:", ...error.fields.map((field) => field.path));
    });
  }
} finally {
  await pool.stop();
}
