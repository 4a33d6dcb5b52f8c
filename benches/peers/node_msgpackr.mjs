// A peer of Node to Node: a Unix socket and msgpackr, frames with their length.
import { connect, createServer } from "node:net";

import { pack, unpack } from "msgpackr";

import { path, run, serves, touch } from "./load.mjs";

// Calls `take` with each message that arrives whole.
function receive(socket, take) {
  let parts = [];
  let held = 0;
  socket.on("data", (part) => {
    parts.push(part);
    held += part.length;
    while (held >= 4) {
      if (parts[0].length < 4) parts = [Buffer.concat(parts)];
      const length = parts[0].readUInt32BE(0);
      if (held < 4 + length) return;
      const all = parts.length === 1 ? parts[0] : Buffer.concat(parts);
      const rest = all.subarray(4 + length);
      parts = rest.length > 0 ? [rest] : [];
      held = rest.length;
      take(unpack(all.subarray(4, 4 + length)));
    }
  });
}

function send(socket, message) {
  const body = pack(message);
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(body.length);
  // One write for what is small, no copy of what is large.
  if (body.length < 65_536) return socket.write(Buffer.concat([head, body]));
  socket.write(head);
  return socket.write(body);
}

if (serves) {
  createServer((socket) => {
    receive(socket, ([id, a, b]) => send(socket, [id, typeof a === "number" ? a + b : touch(a)]));
  }).listen(path, () => console.log("ready"));
} else {
  const socket = connect(path);
  const waiting = new Map();
  let next = 0;
  receive(socket, ([id, result]) => {
    waiting.get(id)(result);
    waiting.delete(id);
  });
  const ask = (...params) =>
    new Promise((resolve) => {
      const id = (next += 1);
      waiting.set(id, resolve);
      send(socket, [id, ...params]);
    });
  await run(
    () => ask(1, 2),
    (payload) => ask(payload),
  );
  socket.destroy();
}
