// A Node client for the bench; argv: socket path, window in milliseconds.
import { connect } from "../../bindings/node/dist/index.mjs";
import { latency, show, throughput } from "./load.mjs";

const calc = await connect(`unix:${process.argv[2]}`);
const window = Number(process.argv[3]);
const call = () => calc.add(1, 2);
const sequential = await latency(call, window);
show(sequential, await throughput(call, window));
await calc.close();
