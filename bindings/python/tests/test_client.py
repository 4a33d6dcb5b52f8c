"""The blocking client against a service of plain handlers, over Unix sockets and TCP."""

from __future__ import annotations

import builtins
import pathlib
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable

import procall
import pytest
from conftest import Serve, Served, interrupt_when


def test_calls(calc: procall.Client) -> None:
    assert calc.add(1, 2) == 3
    assert calc.add(1) == 6
    assert calc.add(a=1, b=3) == 4
    assert calc.call("add", 1, 2) == 3
    assert calc.call("calc.add", 1, 2) == 3
    assert calc.calc.add(1, 2) == 3


def test_arguments_by_position_and_by_name(calc: procall.Client) -> None:
    assert calc.add(1, b=3) == 4
    with pytest.raises(procall.InvalidArgument, match="a is given by position and by name"):
        calc.add(1, a=3)
    assert calc.everything(1, "x") == [[1, "x"], {}]
    assert calc.everything(a=1) == [[], {"a": 1}]
    with pytest.raises(procall.InvalidArgument, match="signature of nothing is not known"):
        calc.nothing(1, b=2)


def test_methods_tell_what_they_are(calc: procall.Client) -> None:
    methods = {method.name: method for method in calc.methods()}
    add = methods["calc.add"]
    assert add.description == "Adds two numbers."
    assert add.idempotent
    assert add.shape == "unary"
    assert add.params == ["a", "b"]
    assert add.params_schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert add.result_schema == {"type": "integer"}
    assert methods["calc.count"].shape == "items_out"
    assert methods["calc.total"].shape == "items_in"
    assert methods["calc.double"].shape == "duplex"
    assert calc.call("procall.methods")["version"] == "1.2"
    assert calc.call("procall.ping") is None


def test_an_unknown_method_names_candidates(calc: procall.Client) -> None:
    with pytest.raises(procall.NotFound) as caught:
        calc.ad(1, 2)
    assert caught.value.candidates == ["calc.add"]
    assert caught.value.executed == "no"
    assert not caught.value.retryable
    assert isinstance(caught.value, LookupError)
    assert str(caught.value) == (
        'NOT_FOUND: service "calc" has no method "ad"; did you mean calc.add? (executed: no)'
    )


def test_wrong_arguments_name_the_field(calc: procall.Client) -> None:
    def wrong(*args: object, **kwargs: object) -> list[str]:
        with pytest.raises(procall.InvalidArgument) as caught:
            calc.add(*args, **kwargs)
        assert caught.value.executed == "no"
        return [field.path for field in caught.value.fields]

    assert wrong() == ["/0"]
    assert wrong(b=1) == ["/a"]
    assert wrong(1, 2, 3) == ["/2"]
    assert wrong(1, "x") == ["/1"]
    assert wrong(a=1, b="x") == ["/b"]
    assert wrong(True) == ["/0"]
    assert wrong(1.5) == ["/0"]
    assert wrong(None) == ["/0"]
    assert wrong(a=1, c=2) == ["/c"]
    with pytest.raises(procall.InvalidArgument, match="argument b must be int, not str"):
        calc.add(1, "x")


def test_simple_types_are_checked(calc: procall.Client) -> None:
    right = {
        "whole": 1,
        "real": 1.5,
        "text": "",
        "flag": True,
        "data": b"",
        "items": [],
        "extra": {},
    }
    kinds = ["int", "float", "str", "bool", "bytes", "list", "dict"]
    assert calc.kinds(**right) == kinds
    assert calc.kinds(**{**right, "real": 2})[1] == "int", "an int is as good as a float"
    for name in right:
        with pytest.raises(procall.InvalidArgument, match=f"argument {name}") as caught:
            calc.kinds(**{**right, name: None})
        assert caught.value.fields[0].path == f"/{name}"
    with pytest.raises(
        procall.InvalidArgument, match=r"argument items has \[1\], which must be int"
    ):
        calc.kinds(**{**right, "items": [1, "x"]})


def test_hints_become_values(calc: procall.Client) -> None:
    given = {"point": {"x": 1}, "colour": "red", "mode": "a", "maybe": None, "named": {"name": "n"}}
    assert calc.shaped(**given) == [{"x": 1, "y": 0}, "red", "a", None, {"name": "n"}]
    for name, value in {
        "point": {"y": 1},
        "colour": "green",
        "mode": "c",
        "maybe": "x",
        "named": {},
    }.items():
        with pytest.raises(procall.InvalidArgument, match=f"argument {name}"):
            calc.shaped(**{**given, name: value})
    assert calc.far(x=1, y=2) == 3, "a sole object takes the whole map"
    assert calc.far(point={"x": 1}) == 1


def test_a_handler_that_raises(calc: procall.Client) -> None:
    with pytest.raises(procall.HandlerError) as caught:
        calc.boom("first\nsecond")
    error = caught.value
    assert error.remote_type == "ValueError"
    assert error.message == "first\nsecond"
    assert error.executed == "yes"
    assert isinstance(error, RuntimeError)
    assert error.remote_traceback is not None
    assert "in boom" in error.remote_traceback
    assert "plain.py" in error.remote_traceback
    assert "\n" not in str(error)
    assert "in boom" in "".join(traceback.format_exception(error)), "whoever prints it sees both"


def test_a_handler_may_choose_the_code(calc: procall.Client) -> None:
    with pytest.raises(procall.PermissionDenied, match="not for you") as caught:
        calc.refuse()
    assert caught.value.executed == "yes"
    assert isinstance(caught.value, builtins.PermissionError)


def test_an_error_of_a_nested_call_is_an_error_of_the_handler(served: Served, serve: Serve) -> None:
    other = serve("plain.py")
    with procall.connect(served.address) as calc, pytest.raises(procall.HandlerError) as caught:
        calc.pass_on(other.address)
    assert caught.value.remote_type == "NotFound"
    assert caught.value.executed == "yes"


def test_an_unsendable_result_names_the_path(calc: procall.Client) -> None:
    with pytest.raises(
        procall.InvalidResult, match=r"the result bad\[1\] is of type set"
    ) as caught:
        calc.unsendable()
    assert caught.value.executed == "yes"
    assert caught.value.fields[0].path == "/bad/1"


def test_too_large(client: procall.Client) -> None:
    with pytest.raises(procall.ResultTooLarge) as result:
        client.huge()
    assert result.value.executed == "yes"
    with pytest.raises(procall.InvalidArgument, match="limit") as params:
        client.echo(b"x" * ((256 << 20) + 1))
    assert params.value.executed == "no"
    assert client.add(1, 2) == 3, "the connection lives on"


def test_errors_survive_pickle(calc: procall.Client) -> None:
    with pytest.raises(procall.NotFound) as caught:
        calc.ad(1)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.candidates == caught.value.candidates


def test_an_error_of_ones_own_is_simple() -> None:
    error = procall.Overloaded("busy")
    assert (str(error), error.code, error.retryable) == ("busy", "OVERLOADED", True)


def test_names_of_python_are_no_methods(calc: procall.Client) -> None:
    with pytest.raises(AttributeError):
        calc._private  # noqa: B018
    with pytest.raises(AttributeError):
        calc.add.__wrapped__  # noqa: B018
    assert not hasattr(procall, "nothing")


def test_deadline(plain: Served) -> None:
    with procall.connect(plain.address) as calc:
        with pytest.raises(procall.DeadlineExceeded) as caught:
            calc.options(deadline=0.5).until_cancelled("x")
        assert isinstance(caught.value, TimeoutError)
        assert plain.line() == "began x"
        assert plain.line() == "ended x", "the handler is told"
        assert calc.options(deadline=None).remaining() is None
        assert 29 < calc.remaining() <= 30
        assert calc.options(deadline=5).remaining() <= 5
    with pytest.raises(ValueError, match="-1"):
        calc.options(deadline=-1)


def test_nested_calls_inherit_the_deadline(plain: Served, serve: Serve) -> None:
    other = serve("plain.py")
    with procall.connect(plain.address) as calc:
        left = calc.options(deadline=2).nested_remaining(other.address)
        assert 0 < left <= 2
        assert 29 < calc.nested_remaining(other.address) <= 30


def test_a_call_that_expires_in_the_queue_never_starts(plain: Served) -> None:
    with procall.connect(plain.address) as calc, procall.connect(plain.address) as other:
        thread = threading.Thread(
            target=lambda: suppressed(calc.options(deadline=0.3).until_cancelled, "a")
        )
        thread.start()
        assert plain.line() == "began a"
        with pytest.raises(procall.DeadlineExceeded):
            other.options(deadline=0.01).until_cancelled("b")
        thread.join()
        assert calc.which_ran() == ["a"]


def suppressed(function: Callable[..., object], *args: object) -> None:
    with pytest.raises(procall.Error):
        function(*args)


def test_ctrl_c_cancels_the_call(plain: Served) -> None:
    with procall.connect(plain.address) as calc:
        thread = interrupt_when(plain.line)
        with pytest.raises(KeyboardInterrupt):
            calc.options(deadline=None).until_cancelled("x")
        thread.join()
        assert plain.line() == "ended x"
        assert calc.add(1, 2) == 3


def test_ctrl_c_while_another_thread_reads_the_link(serve: Serve) -> None:
    loop = serve("loop.py")
    with procall.connect(loop.address) as calc:
        other = threading.Thread(target=suppressed, args=(calc.options(deadline=1).slow, "a"))
        other.start()
        assert loop.line() == "began a"
        interrupter = interrupt_when(loop.line)
        with pytest.raises(KeyboardInterrupt):
            calc.options(deadline=None).slow("b")
        interrupter.join()
        assert loop.line() == "cancelled b"
        other.join()


def test_streams(calc: procall.Client) -> None:
    assert list(calc.count(5)) == [0, 1, 2, 3, 4]
    assert list(calc.stream("count", 0)) == []
    assert list(calc.stream("count", 1000)) == list(range(1000))
    assert sum(map(len, calc.count(20, size=300_000))) == 6_000_000


def test_a_stream_that_fails(calc: procall.Client) -> None:
    stream = calc.count_then_fail(3)
    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    with pytest.raises(procall.HandlerError, match="enough"):
        next(stream)
    assert list(stream) == []
    with pytest.raises(procall.InvalidResult, match="the item is of type set"):
        list(calc.bad_item())


def test_leaving_a_stream_early_closes_the_generator(calc: procall.Client) -> None:
    with calc.endless() as stream:
        for item in stream:
            if item == 3:
                break
    stream = calc.endless()
    next(stream)
    del stream
    wait_until(lambda: calc.endless_state()[1] == 2)


def wait_until(condition: Callable[[], bool]) -> None:
    """Asks again and again; each question is a call, so the other side gets its turn."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end


def test_a_slow_reader_holds_back_only_its_own_stream(calc: procall.Client) -> None:
    with calc.endless() as slow:
        assert next(slow) == 1
        assert calc.add(1, 2) == 3
        assert list(calc.count(500)) == list(range(500))
        made = calc.endless_state()[0]
        assert made < 500, "credit bounds what is made ahead"
        assert calc.endless_state()[0] == made
        assert [next(slow) for _ in range(500)] == list(range(2, 502))


def test_sending_a_stream(calc: procall.Client) -> None:
    with calc.total(scale=2) as stream:
        for item in range(1000):
            assert stream.send(item)
        assert stream.result() == 999_000
    assert calc.duplex("total").result() == 0


def test_a_handler_that_stops_reading(calc: procall.Client) -> None:
    with calc.first() as stream:
        while stream.send(7):
            pass
        assert stream.result() == 7


def test_both_ways(calc: procall.Client) -> None:
    with calc.duplex("double") as stream:
        for item in range(10):
            stream.send(item)
            assert next(stream) == 2 * item
        stream.finish()
        assert list(stream) == []


def test_a_stream_called_as_a_value(client: procall.Client) -> None:
    with pytest.raises(procall.InvalidArgument, match=r"calc\.count returns a stream"):
        client.call("count", 3)
    with pytest.raises(procall.InvalidArgument, match="single values"):
        list(client.stream("add", 1, 2))


def test_context(calc: procall.Client) -> None:
    reports: list[tuple[int, int | None, str]] = []
    told = calc.options(meta={"trace": "t"}, progress=lambda *report: reports.append(report))
    assert told.context(1) == [1, 2, "calc.context", False, {"trace": "t"}]
    assert reports[-1] == (2, 2, "")
    assert calc.context(1, b=5) == [1, 5, "calc.context", False, {}]


def test_notifications(calc: procall.Client) -> None:
    calc.notify("note", 1)
    calc.notify("note", "raise")
    calc.notify("nothing", 2)
    calc.notify("note", what=3)
    assert calc.notes() == [1, "raise", 3]


def test_threads_share_a_client(calc: procall.Client) -> None:
    failures: list[object] = []

    def run(base: int) -> None:
        for i in range(200):
            if calc.add(base, i) != base + i:
                failures.append((base, i))

    threads = [threading.Thread(target=run, args=(base,)) for base in range(0, 8000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_client_that_is_killed_cancels_its_calls(
    plain: Served, script: Callable[[str], str]
) -> None:
    program = script(f"import procall; procall.connect({plain.address!r}).until_cancelled('x')")
    with subprocess.Popen([sys.executable, program]) as caller:
        assert plain.line() == "began x"
        caller.kill()
    assert plain.line() == "ended x"
    with procall.connect(plain.address) as calc:
        assert calc.add(1, 2) == 3


def test_a_service_that_is_killed(calc: procall.Client) -> None:
    with pytest.raises(procall.ConnectionLost) as caught:
        calc.kill()
    assert caught.value.executed == "maybe"
    assert isinstance(caught.value, ConnectionError)
    with pytest.raises(procall.ConnectionLost) as again:
        calc.add(1, 2)
    assert again.value.executed == "no"


def test_a_closed_client(calc: procall.Client) -> None:
    calc.close()
    calc.close()
    with pytest.raises(procall.Closed):
        calc.add(1, 2)


def test_connecting_to_nobody(tmp_path: pathlib.Path) -> None:
    with pytest.raises(procall.NoWorker, match="nothing listens"):
        procall.connect(f"unix:{tmp_path}/none.sock", timeout=0)
    with pytest.raises(procall.NoWorker):
        procall.connect("tcp:127.0.0.1:1", timeout=0)
    with pytest.raises(procall.InvalidArgument):
        procall.connect("../x")
    with pytest.raises(procall.InvalidArgument):
        procall.connect("what:ever")


def test_connecting_to_a_stranger_who_says_nothing(tmp_path: pathlib.Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute.sock"))
        listener.listen()
        with pytest.raises(procall.NoWorker, match="does not answer"):
            procall.connect(f"unix:{tmp_path}/mute.sock", timeout=0.05)
