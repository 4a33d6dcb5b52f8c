// The Node client, while the worker runs in another terminal.
import { connect } from "procall";

const calculator = await connect("calculator");
console.log("Result:", await calculator.add({ a: 10, b: 20 }));
console.log("ping:", await calculator.call("ping", [], { deadlineMs: 5_000 }));
calculator.close();
