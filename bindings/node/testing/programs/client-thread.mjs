// A thread with a client and a service of its own; calls as often as it is told, and says so.
import { parentPort, workerData } from "node:worker_threads";

import { connect, service } from "procall";

const running = await service("thread", { twice: (n) => 2 * n }).start({ listen: "tcp:127.0.0.1:0", onListening() {} });
const [shared, own] = [await connect(workerData.address), await connect(running.address)];
for (let n = 0; n < workerData.calls; n += 2) {
  const sums = await Promise.all([shared.add(n, 1), own.twice(n)]);
  if (sums[0] !== n + 1 || sums[1] !== 2 * n) throw new Error(`${n}: ${sums}`);
}
parentPort.postMessage("called");
if (workerData.stays) {
  // Goes on calling until it is terminated in the middle.
  for (;;) await shared.add(1, 2);
}
shared.close();
own.close();
await running.stop();
