// A service under the name given, which says where it is as services do: on standard error.
import { service } from "procall";

await service(process.argv[2], {
  add: (a, b) => a + b,
  pid: () => process.pid,
  hang: () => new Promise(() => {}),
  leave: () => process.exit(3),
  crash: () => void setImmediate(() => JSON.parse("{")),
}).run();
