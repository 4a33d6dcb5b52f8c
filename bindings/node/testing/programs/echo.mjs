// Gives back what it gets, and says what that is.
import { service } from "procall";

await service("echo", {
  back: (value) => value,
  kind: (value) => (value === null ? "null" : typeof value === "object" ? value.constructor.name : typeof value),
}).run();
