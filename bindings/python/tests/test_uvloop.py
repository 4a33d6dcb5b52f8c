"""Clients and pools in an event loop that is not asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import procall
import pytest
import uvloop
from conftest import Serve
from pools import LOOP


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def test_a_client(serve: Serve) -> None:
    service = serve("loop.py")

    async def main() -> None:
        async with procall.aio.connect(service.address) as calc:
            sums = await asyncio.gather(*(calc.add(n, 1) for n in range(500)))
            assert sums == list(range(1, 501))
            assert [n async for n in calc.count(5)] == [0, 1, 2, 3, 4]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await calc.slow("x")
            assert service.line() == "began x"
            assert service.line() == "cancelled x"

    run(main())


def test_a_pool() -> None:
    async def main() -> None:
        async with procall.aio.Pool(LOOP, workers=2, show_output=False) as pool:
            results = pool.map("add", ((n, n) for n in range(200)))
            assert [n async for n in results] == [2 * n for n in range(200)]

    run(main())


def test_one_loop_after_the_other(serve: Serve) -> None:
    service = serve("loop.py")
    for _ in range(3):

        async def main() -> None:
            async with procall.aio.connect(service.address) as calc:
                assert await calc.add(1, 2) == 3

        run(main())
