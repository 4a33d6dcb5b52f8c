// A program with idle threads, and nothing more to do.
import { offload } from "procall";

const work = offload(new URL("work.mjs", import.meta.url), { threads: 2 });
const [square] = await Promise.all([work.square(7), work.square(8)]);
process.send(square, () => process.disconnect());
