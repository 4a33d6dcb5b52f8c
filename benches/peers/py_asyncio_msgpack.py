"""A peer of Python to Python: asyncio streams over a Unix socket, and MessagePack."""

import asyncio

import msgpack
from load import (
    async_latency,
    async_throughput,
    serves,
    show,
    show_payload,
    size,
    task,
    touch,
)

FRAME = 128 << 20


async def receive(reader):
    length = int.from_bytes(await reader.readexactly(4), "big")
    return msgpack.unpackb(await reader.readexactly(length), max_bin_len=FRAME)


def send(writer, message):
    body = msgpack.packb(message)
    writer.write(len(body).to_bytes(4, "big"))
    writer.write(body)


async def answer(reader, writer):
    while True:
        try:
            number, method, params = await receive(reader)
        except asyncio.IncompleteReadError:
            break
        send(writer, [number, touch(params[0]) if method == "touch" else params[0] + params[1]])
        await writer.drain()
    writer.close()


async def serve(path):
    server = await asyncio.start_unix_server(answer, path)
    print("ready", flush=True)
    await server.serve_forever()


async def call(path, window, workload):
    reader, writer = await asyncio.open_unix_connection(path)
    waiting = {}
    last = 0

    async def read():
        while True:
            number, result = await receive(reader)
            waiting.pop(number).set_result(result)

    async def ask(method, *params):
        nonlocal last
        last += 1
        future = waiting[last] = asyncio.get_running_loop().create_future()
        send(writer, [last, method, params])
        await writer.drain()
        return await future

    reading = asyncio.create_task(read())
    content = b"\1" * size(workload)
    if content:
        times = await async_latency(lambda: ask("touch", content), window)
        show_payload(len(content), times)
    else:
        times = await async_latency(lambda: ask("add", 1, 2), window)
        show(times, per_second=await async_throughput(lambda: ask("add", 1, 2), window))
    reading.cancel()
    writer.close()


path, window, workload = task()
asyncio.run(serve(path) if serves() else call(path, window, workload))
