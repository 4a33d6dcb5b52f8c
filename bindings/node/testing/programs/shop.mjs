// A service for an engine: `shop.mjs [VERSION [NAME]]`.
import { service } from "procall";

class SoldOut extends Error {
  constructor(item, wanted) {
    super(`${wanted} of ${item} are not there`);
    this.item = item;
    this.wanted = wanted;
  }
}

const [version, name] = process.argv.slice(2);
let sold = 0;
const methods = {
  add: (a, b) => a + b,
  pid: () => process.pid,
  serial: () => (sold += 1),
  which: () => version,
  async *count(n) {
    for (let i = 0; i < n; i++) yield i;
  },
  async total(items) {
    let total = 0;
    for await (const item of items) total += item;
    return total;
  },
  order(item, wanted) {
    throw new SoldOut(item, wanted);
  },
  hang() {
    process.stdout.write("hanging\n");
    return new Promise(() => {});
  },
  brief() {
    process.stdout.write("brief\n");
    return new Promise((resolve) => process.stdin.once("data", () => resolve("finished")));
  },
};
const options = { version, methods: { order: { errors: [SoldOut] }, total: { itemsIn: true } } };
await service("shop", methods, options).run({ name: name || undefined, identity: process.env.SHOP_IDENTITY });
process.stdout.write("done\n");
process.stdin.unref();
process.exitCode = 0;
