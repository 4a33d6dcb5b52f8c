// Connects to the address given, makes one call, tells its parent the result, and closes nothing: an idle client must not keep it.
import { connect } from "procall";

const [, , address, method, ...params] = process.argv;
process.send({ pid: process.pid });
const client = await connect(address);
const result = await client.call(method, params.map(Number), { deadlineMs: null });
if (process.connected) process.send({ result }, () => process.disconnect());
