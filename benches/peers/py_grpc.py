"""A peer of Python to Python: grpcio over a Unix socket, its messages packed by hand."""

import struct
from concurrent.futures import ThreadPoolExecutor

import grpc
from load import IN_FLIGHT, run, serves, size, task, touch

OPTIONS = [
    ("grpc.max_receive_message_length", 128 << 20),
    ("grpc.max_send_message_length", 128 << 20),
]
PAIR = struct.Struct("<qq")
NUMBER = struct.Struct("<q")

path, window, workload = task()
address = f"unix:{path}"


def same(body):
    return body


if serves():
    handlers = {
        "Add": grpc.unary_unary_rpc_method_handler(
            lambda pair, _: sum(pair), PAIR.unpack, NUMBER.pack
        ),
        "Touch": grpc.unary_unary_rpc_method_handler(
            lambda content, _: touch(content), same, NUMBER.pack
        ),
    }
    server = grpc.server(ThreadPoolExecutor(1), options=OPTIONS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Calc", handlers)])
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def unpack(body):
    return NUMBER.unpack(body)[0]


with grpc.insecure_channel(address, options=OPTIONS) as channel:
    add = channel.unary_unary("/bench.Calc/Add", lambda pair: PAIR.pack(*pair), unpack)
    carry = channel.unary_unary("/bench.Calc/Touch", same, unpack)
    content = b"\1" * size(workload)

    def batch():
        futures = [add.future((n, 1)) for n in range(IN_FLIGHT)]
        for n, future in enumerate(futures):
            assert future.result() == n + 1
        return IN_FLIGHT

    assert add((1, 2)) == 3
    run(lambda: add((1, 2)), lambda: carry(content), window, workload, batch)
