// The Node worker.
import { service } from "procall";

await service("greeter", {
  greet(name) {
    console.log("greeting", name);
    return `Hello, ${name}`;
  },
  crash: () => process.exit(7),
}).run();
