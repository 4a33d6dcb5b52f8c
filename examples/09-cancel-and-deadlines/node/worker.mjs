// The Node worker.
import { setTimeout as sleep } from "node:timers/promises";
import { context, service } from "procall";

let cancelled = 0;

await service("work", {
  async slowly(seconds) {
    const { signal } = context(); // before the first await
    try {
      await sleep(seconds * 1_000, undefined, { signal });
    } catch (error) {
      cancelled++;
      throw error;
    }
    return "done";
  },
  remaining() {
    const { deadlineMs } = context();
    return deadlineMs === null ? null : deadlineMs / 1_000;
  },
  cancels: () => cancelled,
}).run();
