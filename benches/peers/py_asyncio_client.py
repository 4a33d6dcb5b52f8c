"""An asyncio Python client for the bench; argv: socket path, window in milliseconds, workload."""

import asyncio
import time

import procall.aio
from load import async_latency, async_throughput, show, show_only, show_payload, size, task


async def main():
    path, window, workload = task()
    async with await procall.aio.connect(f"unix:{path}") as calc:
        content = b"\1" * size(workload)
        if workload == "stream":
            items, start = 0, time.perf_counter()
            while items == 0 or time.perf_counter() - start < window:
                async for _ in calc.count(20_000):
                    items += 1
            show_only(items_per_second=items / (time.perf_counter() - start))
        elif content:
            show_payload(size(workload), await async_latency(lambda: calc.touch(content), window))
        else:
            times = await async_latency(lambda: calc.add(1, 2), window)
            show(times, per_second=await async_throughput(lambda: calc.add(1, 2), window))


asyncio.run(main())
