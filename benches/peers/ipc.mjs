// A child process and messages to it, as a caller that awaits answers.
import { fork } from "node:child_process";

import { placed } from "./load.mjs";

export function partner(file, options = {}) {
  const child = fork(file, { ...placed(), ...options });
  const waiting = new Map();
  let next = 0;
  child.on("message", ({ id, result }) => {
    waiting.get(id)(result);
    waiting.delete(id);
  });
  const ask = (message) =>
    new Promise((resolve) => {
      const id = (next += 1);
      waiting.set(id, resolve);
      child.send({ id, ...message });
    });
  return { ask, end: () => child.disconnect() };
}
