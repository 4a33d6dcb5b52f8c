"""A peer of Python to Python: pyzmq, a DEALER that calls and a ROUTER that answers."""

import msgpack
import zmq
from load import IN_FLIGHT, run, serves, size, task, touch

path, window, workload = task()
context = zmq.Context()
if serves():
    socket = context.socket(zmq.ROUTER)
    socket.bind(f"ipc://{path}")
    print("ready", flush=True)
    while True:
        caller, number, body, *payload = socket.recv_multipart(copy=False)
        result = touch(payload[0].buffer) if payload else sum(msgpack.unpackb(body.buffer))
        socket.send_multipart([caller, number, msgpack.packb(result)], copy=False)

socket = context.socket(zmq.DEALER)
socket.connect(f"ipc://{path}")
content = b"\1" * size(workload)
ask = msgpack.packb([1, 2])


def call():
    socket.send_multipart([b"1", ask])
    return msgpack.unpackb(socket.recv_multipart()[1])


def carry():
    socket.send_multipart([b"1", b"", content], copy=False)
    return msgpack.unpackb(socket.recv_multipart()[1])


def batch():
    for n in range(IN_FLIGHT):
        socket.send_multipart([str(n).encode(), msgpack.packb([n, 1])])
    for _ in range(IN_FLIGHT):
        number, result = socket.recv_multipart()
        assert msgpack.unpackb(result) == int(number) + 1
    return IN_FLIGHT


assert content or call() == 3
run(call, carry, window, workload, batch)
context.destroy(linger=0)
