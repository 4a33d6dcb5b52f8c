// The Node worker: it says which errors its callers may expect.
import { method, service } from "procall";
import { NotAnImage } from "./not-an-image.mjs";

await service("images", {
  width: method({ errors: [NotAnImage] }, (path) => {
    if (!path.endsWith(".png")) throw new NotAnImage(path);
    return 80;
  }),
  divide(a, b) {
    if (b === 0) throw new RangeError("the divisor is 0"); // an error that nobody declared
    return a / b;
  },
  crash: () => process.exit(1),
}).run();
