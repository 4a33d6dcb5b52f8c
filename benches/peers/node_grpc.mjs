// A peer of Node to Node: @grpc/grpc-js over a Unix socket, its messages packed by hand instead of by protobuf.
import grpc from "@grpc/grpc-js";

import { path, run, serves, touch } from "./load.mjs";

const LIMIT = 128 << 20;
const options = { "grpc.max_receive_message_length": LIMIT, "grpc.max_send_message_length": LIMIT };
const same = (body) => body;
const method = (name, requestSerialize, requestDeserialize) => ({
  path: `/bench.Calc/${name}`,
  requestStream: false,
  responseStream: false,
  requestSerialize,
  requestDeserialize,
  responseSerialize: (number) => {
    const body = Buffer.alloc(8);
    body.writeDoubleLE(number);
    return body;
  },
  responseDeserialize: (body) => body.readDoubleLE(0),
});
const packed = ([a, b]) => {
  const body = Buffer.alloc(16);
  body.writeDoubleLE(a, 0);
  body.writeDoubleLE(b, 8);
  return body;
};
const Calc = {
  add: method("Add", packed, (body) => [body.readDoubleLE(0), body.readDoubleLE(8)]),
  touch: method("Touch", same, same),
};

if (serves) {
  const server = new grpc.Server(options);
  server.addService(Calc, {
    add: ({ request: [a, b] }, answer) => answer(null, a + b),
    touch: ({ request }, answer) => answer(null, touch(request)),
  });
  server.bindAsync(`unix:${path}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) throw error;
    console.log("ready");
  });
} else {
  const Client = grpc.makeClientConstructor(Calc, "Calc");
  const client = new Client(`unix:${path}`, grpc.credentials.createInsecure(), options);
  const ask = (name, request) =>
    new Promise((resolve, reject) => {
      client[name](request, (error, result) => (error ? reject(error) : resolve(result)));
    });
  await run(
    () => ask("add", [1, 2]),
    (payload) => ask("touch", payload),
  );
  client.close();
}
