import { offload, service } from "procall";

const work = offload(new URL("work.mjs", import.meta.url), { threads: 1 });

await service("calc", {
  add: (a, b) => work.add(a, b),
  *count(n) {
    for (let at = 0; at < n; at++) yield at;
  },
}).run();
