"""Pools: calls spread over workers that are started, watched, restarted and never left behind."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import procall
import pytest
from conftest import SERVICES, interrupt_when

PLAIN = SERVICES / "plain.py"
LOOP = SERVICES / "loop.py"


@pytest.fixture
def pool() -> Iterator[procall.Pool]:
    with procall.Pool(PLAIN, workers=2, show_output=False) as pool:
        yield pool


def gone(pid: int, within: float) -> bool:
    """Whether a process ends in time; one that is not our child is asked for."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
    return False


def test_calls(pool: procall.Pool) -> None:
    assert pool.calc.add(1, 2) == 3
    assert pool.calc.add(1, b=2) == 3
    assert pool.call("add", 1, 2) == 3
    assert list(pool.calc.count(3)) == [0, 1, 2]
    assert list(pool.stream("count", 500)) == list(range(500))
    assert pool.submit("add", 1, 2).result() == 3
    assert list(pool.map("add", ((i, i) for i in range(300)))) == [2 * i for i in range(300)]
    with pool.calc.total(scale=3) as stream:
        for i in range(10):
            stream.send(i)
        assert stream.result() == 135
    with pytest.raises(procall.NotFound) as caught:
        pool.calc.ad(1)
    assert caught.value.candidates[0] == "calc.add"
    assert "calc.add" in [method.name for method in pool.methods()]


def test_calls_are_spread(pool: procall.Pool, tmp_path: pathlib.Path) -> None:
    waiting = [pool.submit("wait_for_file", str(tmp_path / "gate")) for _ in range(2)]
    assert {worker.state for worker in pool.workers()} == {"busy"}
    third = pool.submit("pid")
    assert not third.done()
    (tmp_path / "gate").touch()
    assert [each.result() for each in waiting] == [True, True]
    assert third.result() in [worker.pid for worker in pool.workers()]
    assert third.result() == third.result(), "a result can be taken twice"


def test_many_threads(pool: procall.Pool) -> None:
    results: list[int] = []

    def run(base: int) -> None:
        results.extend(pool.add(base, i) for i in range(100))

    threads = [threading.Thread(target=run, args=(base,)) for base in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(base + i for base in range(8) for i in range(100))


def test_a_worker_that_is_killed_during_a_call(pool: procall.Pool) -> None:
    events = pool.events()
    with pytest.raises(procall.WorkerLost) as caught:
        pool.kill()
    error = caught.value
    assert error.executed == "maybe"
    assert "SIGKILL" in str(error)
    assert error.worker is not None
    assert error.worker.startswith("plain/")
    kinds = []
    for event in events:
        kinds.append(event.kind)
        if event.kind == "ready":
            break
    assert kinds == ["exited", "restarting", "started", "ready"]
    assert sum(worker.restarts for worker in pool.workers()) == 1
    assert pool.add(1, 2) == 3


def test_a_worker_that_is_killed_in_the_middle_of_a_stream(pool: procall.Pool) -> None:
    stream = pool.calc.endless()
    next(stream)
    (busy,) = [worker for worker in pool.workers() if worker.state == "busy"]
    assert busy.pid is not None
    os.kill(busy.pid, signal.SIGKILL)
    with pytest.raises(procall.WorkerLost):
        for _ in stream:
            pass


def test_a_worker_that_exits_says_how(pool: procall.Pool) -> None:
    events = pool.events()
    with pytest.raises(procall.HandlerError, match="SystemExit: 3"):
        pool.leave()
    assert pool.add(1, 2) == 3, "it goes away in order, so no call is lost"
    assert "exited with code 3" in next(str(event) for event in events if event.kind == "exited")


def test_restart(pool: procall.Pool) -> None:
    before = {worker.pid for worker in pool.workers()}
    pool.restart(0)
    pool.restart()
    after = {worker.pid for worker in pool.workers()}
    assert not before & after
    assert pool.add(1, 2) == 3
    with pytest.raises(procall.InvalidArgument):
        pool.restart(7)


def test_output(capfd: pytest.CaptureFixture[str], script: Callable[[str], str]) -> None:
    program = script(
        "import sys, procall\ns = procall.Service('s')\n"
        "@s.method\ndef say(text):\n    print(text)\n    print(text, file=sys.stderr)\n"
        "s.run()\n",
        "chatty.py",
    )
    with procall.Pool(program, workers=1) as pool:
        pool.s.say("hello")
        end = time.monotonic() + 60
        while len(lines := pool.output(0)) < 2:
            assert time.monotonic() < end
        assert {(line.worker, line.stream, line.text) for line in lines} == {
            ("chatty/1", "stdout", "hello"),
            ("chatty/1", "stderr", "hello"),
        }
    assert "chatty/1 | hello" in capfd.readouterr().err


def test_a_program_that_fails_to_start(script: Callable[[str], str]) -> None:
    with pytest.raises(procall.SpawnFailed, match="nonsense"):
        procall.Pool(script("raise ValueError('nonsense')"), workers=1, show_output=False)
    with pytest.raises(procall.SpawnFailed):
        procall.Pool("/nonexistent/program.py", workers=1)
    with pytest.raises(TypeError, match="worker"):
        procall.Pool(PLAIN, worker=1)


def test_a_command(tmp_path: pathlib.Path) -> None:
    with procall.Pool([sys.executable, str(LOOP), "mixed"], workers=1, name="x") as pool:
        assert pool.calc.plain_thread() == "MainThread"
        assert pool.workers()[0].name == "x/1"


def test_a_loop_worker_takes_many_calls_at_once() -> None:
    with procall.Pool(LOOP, workers=1, show_output=False) as pool:
        calls = [pool.options(deadline=0.2).submit("slow", str(i)) for i in range(20)]
        assert pool.add(1, 2) == 3
        for call in calls:
            call.cancel()
        for call in calls:
            with pytest.raises((procall.Cancelled, procall.DeadlineExceeded)):
                call.result()


def test_a_stopped_pool(pool: procall.Pool) -> None:
    pids = [worker.pid for worker in pool.workers()]
    pool.stop()
    with pytest.raises(procall.Closed):
        pool.add(1, 2)
    for pid in pids:
        assert pid is not None
        assert gone(pid, 10)


def test_an_error_in_the_block_ends_the_pool_at_once(tmp_path: pathlib.Path) -> None:
    calls = []

    def leave_early() -> None:
        with procall.Pool(PLAIN, workers=1, show_output=False) as pool:
            calls.append(pool.submit("wait_for_file", str(tmp_path / "never")))
            raise LookupError

    with pytest.raises(LookupError):
        leave_early()
    with pytest.raises(procall.Closed):
        calls[0].result()


async def test_asyncio() -> None:
    async with procall.aio.Pool(PLAIN, workers=2, show_output=False) as pool:
        assert await pool.calc.add(1, 2) == 3
        assert await asyncio.gather(*(pool.add(i, i) for i in range(200))) == [
            2 * i for i in range(200)
        ]
        assert [item async for item in pool.calc.count(500)] == list(range(500))
        events = pool.events()
        with pytest.raises(procall.WorkerLost, match="SIGKILL"):
            await pool.kill()
        kinds = []
        async for event in events:
            kinds.append(event.kind)
            if event.kind == "ready":
                break
        assert kinds[-1] == "ready"
        await pool.restart()
        assert len(pool.workers()) == 2
        assert "calc.add" in [method.name for method in await pool.methods()]
    with pytest.raises(procall.Closed):
        await pool.add(1, 2)


async def test_asyncio_cancel() -> None:
    async with procall.aio.Pool(LOOP, workers=1, show_output=False) as pool:
        task = asyncio.create_task(pool.slow("a"))
        await pool.add(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while "cancelled a" not in await pool.what_happened():
            pass


def test_ctrl_c_cancels_a_call_and_the_pool_goes_on(pool: procall.Pool) -> None:
    def printed(text: str) -> bool:
        return any(line.text == text for at in range(2) for line in pool.output(at))

    def began() -> None:
        while not printed("began interrupted"):
            pass

    thread = interrupt_when(began)
    with pytest.raises(KeyboardInterrupt):
        pool.options(deadline=None).until_cancelled("interrupted")
    thread.join()
    # Its handler runs until it is cancelled.
    while not printed("ended interrupted"):
        pass
    assert pool.add(1, 2) == 3
    assert [worker.restarts for worker in pool.workers()] == [0, 0]
    assert pool.metrics().cancelled_requests == 1


HOLDER = """
import re, sys
import procall

s = procall.Service("holder")

@s.method
def spin():
    print("spinning", flush=True)
    # One call into C that takes minutes and never gives the GIL away.
    re.match("(a+)+$", "a" * 40 + "b")

s.run()
"""

PARENT = """
import sys
import procall

pool = procall.Pool(sys.argv[1], workers=2, show_output=False)
call = pool.submit("spin") if sys.argv[2] == "spin" else None
print(*[worker.pid for worker in pool.workers()], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "spin"])
def test_nobody_survives_a_killed_parent(script: Callable[..., str], state: str) -> None:
    holder, parent = script(HOLDER, "holder.py"), script(PARENT, "parent.py")
    process = subprocess.Popen(
        [sys.executable, parent, holder, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    process.kill()
    process.wait()
    assert all(gone(pid, 10) for pid in pids)
    process.stdin.close()
    process.stdout.close()


AT_THE_END = """
import asyncio
import os
import signal
import sys
import procall

how = sys.argv[2]

async def main():
    pool = await procall.aio.Pool(sys.argv[1], workers=2, finish_timeout=0, show_output=False)
    print(*[worker.pid for worker in pool.workers()], flush=True)
    calls = [asyncio.create_task(pool.until_cancelled(name)) for name in "ab"]
    while not all(pool.output(at) for at in range(2)):
        await asyncio.sleep(0)
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.gather(*calls)
    if how == "exit":
        sys.exit(0)

def blocking():
    pool = procall.Pool(sys.argv[1], workers=2, finish_timeout=0, show_output=False)
    print(*[worker.pid for worker in pool.workers()], flush=True)
    calls = [pool.submit("until_cancelled", name) for name in "ab"]
    while not all(pool.output(at) for at in range(2)):
        pass
    if how == "_exit":
        os._exit(0)

try:
    blocking() if how in ("_exit", "submit") else asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("how", ["return", "interrupt", "exit", "submit", "_exit"])
def test_nobody_is_left_of_a_program_that_ends_with_calls_in_flight(
    script: Callable[..., str], how: str
) -> None:
    done = subprocess.run(
        [sys.executable, script(AT_THE_END, "ending.py"), str(PLAIN), how],
        capture_output=True,
        text=True,
        timeout=60,
    )
    pids, _, rest = done.stdout.partition("\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert rest == ("interrupted\n" if how == "interrupt" else "")
    assert all(gone(int(pid), 10) for pid in pids.split())


def test_a_worker_that_holds_the_gil_ends_with_its_channel(script: Callable[..., str]) -> None:
    """Without the kernel's help: the end of the channel alone ends it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        info = os.fstat(theirs.fileno())
        worker = subprocess.Popen(
            [sys.executable, script(HOLDER)],
            env={
                **os.environ,
                "PROCALL_CHANNEL": f"{theirs.fileno()}:{info.st_dev}:{info.st_ino}",
            },
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
        )
        theirs.close()
        # Hello, to which the answers are welcome and call 2 of `spin`.
        assert ours.recv(4096)
        ours.sendall(
            b"\0\0\0\x04\x92\x01\x01\x80" + b"\0\0\0\x0d\x98\x04\x02\xa4spin\0\0\xc0\xc0\xc0"
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"spinning\n"
    assert gone(worker.pid, 10)
    worker.wait()
    worker.stdout.close()
