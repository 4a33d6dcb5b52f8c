// A service that calls on: `hopper.mjs NAME CONCURRENCY`. `go` calls the first of the services that it is given with the rest, and tells how
// many calls that made, or the cycle that the innermost call met and whether that was executed.
import { connect, context, ProcallError, service } from "procall";

const [name, concurrency] = process.argv.slice(2);
const methods = {
  async go(path) {
    const ctx = context();
    if (path.length === 0) return 1;
    const client = await connect(path[0]);
    try {
      const rest = await ctx.with(client).go(path.slice(1));
      return typeof rest === "number" ? rest + 1 : rest;
    } catch (error) {
      if (!(error instanceof ProcallError) || error.code !== "DEADLOCK") throw error;
      return { chain: error.chain, executed: error.executed, says: error.message };
    } finally {
      client.close();
    }
  },
  hold() {
    process.stdout.write("held\n");
    return new Promise((resolve) => process.stdin.once("data", () => resolve(null)));
  },
};
await service(name, methods, { concurrency: Number(concurrency) }).run();
process.stdin.unref();
