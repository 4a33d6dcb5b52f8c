// A service that runs wherever the surroundings say.
import { service } from "procall";

process.on("disconnect", () => process.exit(0));
await service("named", { pid: () => process.pid }).run({ onListening: (address) => process.send({ address }) });
