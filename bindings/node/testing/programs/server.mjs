// A service in a process of its own: listens at the address given, and tells its parent when it does.
import { context, service } from "procall";

const running = service(
  "test",
  {
    add: (a, b) => a + b,
    pid: () => process.pid,
    hang: () => new Promise(() => {}),
    spin() {
      for (;;);
    },
    async *forever() {
      for (let n = 0; ; n++) yield n;
    },
    async *untilCancelled() {
      const { signal } = context();
      yield "started";
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      process.send("cancelled");
    },
  },
).run({ listen: process.argv[2], onListening: (address) => process.send({ address }) });

process.on("disconnect", () => process.exit(0));
await running;
process.disconnect();
