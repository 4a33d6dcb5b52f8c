"""Forked children, and event loops that are not a client's own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import procall
import pytest
from conftest import Served
from pools import LOOP, PLAIN

IN_A_CHILD = """
import asyncio, os, sys
import procall

address, program, how = sys.argv[1:]


def refused(use):
    try:
        use()
    except procall.Closed as error:
        assert error.executed == "no"
        print(error.message, flush=True)


def fork(child):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


async def awaited(calls):
    return await calls.add(1, 2)


match how:
    case "client":
        with procall.connect(address) as calc:
            assert calc.add(1, 2) == 3
            uses = [
                lambda: calc.add(1, 2),
                lambda: calc.options(deadline=1).add(1, 2),
                lambda: calc.submit("add", 1, 2),
                lambda: calc.notify("note", 1),
                lambda: calc.count(3),
                lambda: calc.batch([("add", (1, 2))]),
            ]
            fork(lambda: [refused(use) for use in uses])
            assert calc.add(1, 2) == 3
    case "pool":
        with procall.Pool(program, workers=2, show_output=False, finish_timeout=0) as pool:
            future = pool.submit("wait_for_file", "/nowhere")
            fork(lambda: [refused(use) for use in (lambda: pool.add(1, 2), future.result)])
            future.cancel()
            assert pool.add(1, 2) == 3
    case "aio":
        async def main():
            calc = await procall.aio.connect(address)
            assert await awaited(calc) == 3
            fork(lambda: refused(lambda: calc.add(1, 2)))
            assert await awaited(calc) == 3
            await calc.close()
        asyncio.run(main())
    case "own":
        def own():
            with procall.connect(address) as calc:
                assert calc.add(1, 2) == 3
                assert calc.submit("add", 1, 2).result(30) == 3
            async def soon():
                async with procall.aio.connect(address) as calc:
                    assert await awaited(calc) == 3
            asyncio.run(soon())
            print("works", flush=True)
        with procall.connect(address) as calc:
            assert calc.submit("add", 1, 2).result(30) == 3
            fork(own)
            assert calc.submit("add", 1, 2).result(30) == 3
"""


@pytest.mark.parametrize(("how", "refusals"), [("client", 6), ("pool", 2), ("aio", 1), ("own", 0)])
def test_a_forked_child(plain: Served, script: Callable[..., str], how: str, refusals: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script(IN_A_CHILD), plain.address, str(PLAIN), how],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    if how == "own":
        assert lines == ["works"]
    else:
        assert len(lines) == refusals
        assert all("before the process forked" in line for line in lines)
        assert all("in the child, after the fork" in line for line in lines)


def test_a_client_in_another_event_loop_is_refused(plain: Served) -> None:
    async def connect() -> procall.aio.Client:
        calc = await procall.aio.connect(plain.address)
        assert await calc.add(1, 2) == 3
        return calc

    async def use(calc: procall.aio.Client) -> None:
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await calc.add(1, 2)
        await calc.close()

    asyncio.run(use(asyncio.run(connect())))


def test_a_pool_in_another_event_loop_is_refused() -> None:
    async def start() -> procall.aio.Pool:
        return await procall.aio.Pool(LOOP, workers=1, show_output=False)

    async def use(pool: procall.aio.Pool) -> None:
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await pool.add(1, 2)
        await pool.close()

    asyncio.run(use(asyncio.run(start())))


async def test_blocking_clients_work_inside_a_running_loop(plain: Served) -> None:
    # As in a notebook. The loop stands still meanwhile.
    with procall.connect(plain.address) as calc:
        assert calc.add(1, 2) == 3
        assert list(calc.count(3)) == [0, 1, 2]
    with procall.Pool(PLAIN, workers=1, show_output=False) as pool:
        assert pool.add(1, 2) == 3


async def test_a_timeout_of_asyncio_and_the_deadline_agree(serve: Callable[..., Served]) -> None:
    service = serve("loop.py")
    async with procall.aio.connect(service.address) as calc:
        with pytest.raises(TimeoutError) as by_loop:
            async with asyncio.timeout(0.05):
                await calc.slow("timeout")
        assert not isinstance(by_loop.value, procall.Error)
        assert service.line() == "began timeout"
        assert service.line() == "cancelled timeout"
        with pytest.raises(TimeoutError) as by_call:
            async with asyncio.timeout(60):
                await calc.options(deadline=0.05).slow("deadline")
        assert isinstance(by_call.value, procall.DeadlineExceeded)
        assert service.line() == "began deadline"
        assert service.line() == "cancelled deadline"
