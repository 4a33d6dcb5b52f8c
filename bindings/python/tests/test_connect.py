"""Services that are found by name, without any server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import procall
import pytest
from conftest import Serve, Served

PATIENCE = 60


class Runtime:
    """A runtime directory of the test's own, and services in it."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.directory = path / "procall"
        self.stack = contextlib.ExitStack()

    def files(self) -> list[str]:
        return sorted(os.listdir(self.directory)) if self.directory.exists() else []

    def start(self, name: str, kind: str = "plain") -> Served:
        environment = {key: os.environ[key] for key in os.environ if key != "PROCALL_LISTEN"}
        served = Served("named.py", name, kind, listen=None, environment=environment)
        self.stack.callback(served.end)
        return served


@pytest.fixture
def runtime(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    runtime = Runtime(tmp_path)
    with runtime.stack:
        yield runtime


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", ["plain", "async", "mixed"])
def test_a_service_is_found_by_name(runtime: Runtime, kind: str) -> None:
    served = runtime.start("calc", kind)
    assert served.address == f"unix:{runtime.directory}/calc.sock"
    assert runtime.files() == ["calc.sock", "calc.sock.lock"]
    with procall.connect("calc") as calc:
        assert calc.call("add_soon" if kind == "async" else "add", 5, 3) == 8


@pytest.mark.parametrize("kind", ["plain", "async", "mixed"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_leaves_nothing(runtime: Runtime, kind: str, number: int) -> None:
    served = runtime.start("calc", kind)
    served.signal(number)
    assert served.wait() == 0
    assert runtime.files() == []


def test_a_handler_that_exits_leaves_nothing(runtime: Runtime) -> None:
    served = runtime.start("calc")
    with procall.connect("calc") as calc, pytest.raises(procall.HandlerError):
        calc.leave()
    assert served.wait() == 3
    assert runtime.files() == []


@pytest.mark.parametrize("kind", ["plain", "async", "mixed"])
def test_kill_9_ends_calls_and_the_next_start_heals(runtime: Runtime, kind: str) -> None:
    hang = "hang_soon" if kind == "async" else "hang"
    served = runtime.start("calc", kind)
    outcomes: list[procall.Error] = []

    def call(client: procall.Client) -> None:
        try:
            client.call(hang)
        except procall.Error as error:
            outcomes.append(error)

    clients = [procall.connect("calc") for _ in range(8)]
    threads = [threading.Thread(target=call, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    assert served.line() == "hanging"
    served.signal(signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert [type(outcome) for outcome in outcomes] == [procall.ConnectionLost] * 8
    served.wait()
    assert runtime.files() == ["calc.sock", "calc.sock.lock"]

    runtime.start("calc", kind)
    with procall.connect("calc") as calc:
        assert calc.call("add_soon" if kind == "async" else "add", 5, 3) == 8
    for client in clients:
        client.close()


def test_a_name_is_served_once(runtime: Runtime) -> None:
    served = runtime.start("calc")
    service = procall.Service("calc")
    service.method(len, name="size")
    with pytest.raises(procall.NameTaken) as caught:
        service.run()
    assert (caught.value.code, caught.value.executed) == ("NAME_TAKEN", "no")
    assert f"another process (pid {served.pid}, listening at unix:" in str(caught.value)
    assert not caught.value.retryable


def test_the_service_may_come_later(runtime: Runtime) -> None:
    results: list[int] = []

    def call() -> None:
        with procall.connect("calc", timeout=PATIENCE) as calc:
            results.append(calc.add(5, 3))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    # The threads wait without the interpreter's lock, or this would not go on.
    runtime.start("calc")
    for thread in threads:
        thread.join()
    assert results == [8] * 8


async def test_the_service_may_come_later_for_asyncio(runtime: Runtime) -> None:
    async def call() -> int:
        async with procall.aio.connect("calc", timeout=PATIENCE) as calc:
            result: int = await calc.add(5, 3)
            return result

    calls = [asyncio.create_task(call()) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.to_thread(runtime.start, "calc")
    assert await asyncio.gather(*calls) == [8] * 8


async def test_the_loop_runs_on_and_a_cancelled_search_leaves_nothing(runtime: Runtime) -> None:
    before = descriptors()
    search = asyncio.ensure_future(procall.aio.connect("calc", timeout=None)._connect())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not search.done()
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    assert descriptors() == before


async def test_a_cancelled_greeting_leaves_nothing(tmp_path: pathlib.Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute.sock"))
        listener.listen()
        listener.setblocking(False)
        # The hub of this loop.
        with pytest.raises(procall.NoWorker):
            await procall.aio.connect(f"unix:{tmp_path}/none.sock", timeout=0)
        connecting = procall.aio.connect(f"unix:{tmp_path}/mute.sock", timeout=PATIENCE)
        task = asyncio.ensure_future(connecting._connect())
        peer, _ = await asyncio.get_running_loop().sock_accept(listener)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with peer:
            # What the client had sent, and then the end: its side is closed.
            while await asyncio.get_running_loop().sock_recv(peer, 4096):
                pass


async def test_who_does_not_answer_asyncio(tmp_path: pathlib.Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute.sock"))
        listener.listen()
        with pytest.raises(procall.NoWorker, match="does not answer"):
            await procall.aio.connect(f"unix:{tmp_path}/mute.sock", timeout=0.01)


def test_ctrl_c_ends_the_search(runtime: Runtime) -> None:
    program = (
        "import procall\n"
        "print('searching', flush=True)\n"
        "try:\n"
        "    procall.connect('calc', timeout=None)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as searching:
        assert searching.stdout is not None
        assert searching.stdout.readline() == "searching\n"
        # It sleeps between two looks, and nowhere else.
        status = pathlib.Path(f"/proc/{searching.pid}/status")
        wait_until(lambda: "State:\tS" in status.read_text())
        searching.send_signal(signal.SIGINT)
        assert searching.stdout.read() == "interrupted\n"


def wait_until(happened: Callable[[], bool]) -> None:
    while not happened():
        os.sched_yield()


def test_when_the_time_is_up_the_error_helps(runtime: Runtime) -> None:
    runtime.start("math")
    with pytest.raises(procall.NoWorker) as caught:
        procall.connect("maths", timeout=0)
    error = caught.value
    assert error.executed == "no"
    assert error.candidates == ["math"]
    assert f"nothing listens at unix:{runtime.directory}/maths.sock (waited 0.0 s)" in str(error)
    assert "did you mean math?" in str(error)
    assert "start it, e.g. `python maths.py` or `procall run maths.py`" in str(error)


async def test_the_same_for_asyncio(runtime: Runtime) -> None:
    with pytest.raises(procall.NoWorker, match=r"nothing listens at unix:.*/calc\.sock"):
        await procall.aio.connect("calc", timeout=0)
    with pytest.raises(procall.InvalidArgument):
        await procall.aio.connect("../calc", timeout=None)


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_times_that_are_none(wrong: float) -> None:
    with pytest.raises(procall.InvalidArgument, match="give seconds"):
        procall.connect("calc", timeout=wrong)


@pytest.mark.parametrize(("kind", "seek"), [("plain", "seek"), ("async", "seek_soon")])
def test_within_a_handler_its_time_is_the_limit(runtime: Runtime, kind: str, seek: str) -> None:
    served = runtime.start("calc", kind)
    with procall.connect("calc") as calc:
        call = calc.options(deadline=0.2)
        with contextlib.suppress(procall.DeadlineExceeded):
            call.call(seek, "nobody")
        if kind == "plain":
            # It asked for ten minutes; an async handler may have been cancelled by then.
            assert served.line() == "NoWorker"


def test_a_directory_that_is_open_to_others_is_refused(runtime: Runtime) -> None:
    runtime.directory.mkdir()
    runtime.directory.chmod(0o777)
    with pytest.raises(procall.PermissionDenied, match="chmod 700"):
        procall.connect("calc", timeout=PATIENCE)
    with pytest.raises(procall.PermissionDenied, match="chmod 700"):
        procall.Service("calc").run()


def test_a_service_of_another_user_is_refused_by_name(runtime: Runtime) -> None:
    if os.geteuid() != 0:
        # Only root can become another user; the rule itself is tested in Rust.
        return
    runtime.directory.mkdir(mode=0o700)
    path = str(runtime.directory / "calc.sock")
    program = (
        "import os, socket, sys\n"
        "listener = socket.socket(socket.AF_UNIX)\n"
        f"listener.bind({path!r})\n"
        "os.setuid(54321)\n"
        "listener.listen()\n"
        "print('listening', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "listening\n"
        with pytest.raises(procall.PermissionDenied, match=f"user 54321 .pid {stranger.pid}."):
            procall.connect("calc", timeout=PATIENCE)
        stranger.communicate("")


def test_a_forked_child_takes_nothing_away(runtime: Runtime) -> None:
    program = (
        "import os, procall\n"
        "calc = procall.Service('calc')\n"
        "calc.method(len, name='size')\n"
        "nowhere = (None, None, None, None, (None,) * 4, None)\n"
        "server = calc._open(nowhere)\n"
        "directory = os.path.dirname(server.address.removeprefix('unix:'))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    server.close()\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print(*sorted(os.listdir(directory)))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    import signal\n"
        "    signal.pause()\n"
        "server.close()\n"
        "print(*os.listdir(directory))\n"
        "calc._open(nowhere).close()\n"
        "os.kill(child, 9)\n"
        "os.waitpid(child, 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    # The child's closing removes nothing; the parent's frees the name though a child has copies.
    assert done.stdout == "calc.sock calc.sock.lock\n\n"


def test_the_other_side_knows_the_name(serve: Serve, tmp_path: pathlib.Path) -> None:
    address = serve("plain.py").address
    with procall.connect(address, name="night\x1b\nly") as client:
        assert client.caller() == "nightly"
    script = tmp_path / "report.py"
    script.write_text("import sys, procall; print(procall.connect(sys.argv[1]).caller())")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__main__.py").write_text(script.read_text())
    for program, name in [
        ([str(script)], "report.py"),
        (["-m", "package"], "package"),
        (["-c", script.read_text()], pathlib.Path(sys.executable).name),
    ]:
        done = subprocess.run(
            [sys.executable, *program, address],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
        )
        assert (done.stdout.strip(), done.stderr) == (name, "")


async def test_the_other_side_knows_the_name_in_asyncio(serve: Serve) -> None:
    async with procall.aio.connect(serve("plain.py").address, name="nightly") as client:
        assert await client.caller() == "nightly"
