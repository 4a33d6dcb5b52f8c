"""What exceptions carry, and that they survive a pickle."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import pydoc
import traceback

import procall
import pytest
from pools import PLAIN
from procall._errors import CLASSES

BUILTINS = {
    "CLOSED": RuntimeError,
    "CONNECTION_LOST": ConnectionError,
    "DEADLINE_EXCEEDED": TimeoutError,
    "HANDLER_ERROR": RuntimeError,
    "INVALID_ARGUMENT": ValueError,
    "INVALID_RESULT": ValueError,
    "NOT_FOUND": LookupError,
    "NO_WORKER": ConnectionError,
    "OVERLOADED": ConnectionError,
    "PERMISSION_DENIED": PermissionError,
    "RESULT_TOO_LARGE": ValueError,
    "UNAUTHENTICATED": PermissionError,
    "UNAVAILABLE": ConnectionError,
    "WORKER_LOST": ConnectionError,
}

FACTS = {
    "executed": "maybe",
    "retryable": True,
    "worker": "calc/2 (pid 4131)",
    "remote_type": "KeyError",
    "remote_traceback": "Traceback: here",
    "retry_after": 0.25,
    "fields": [("/a", "wrong")],
    "candidates": ["calc.add"],
    "details": {"a": [1]},
}


@pytest.mark.parametrize(("code", "builtin"), BUILTINS.items())
def test_the_fitting_builtin_catches_them(code: str, builtin: type[Exception]) -> None:
    with pytest.raises(builtin) as caught:
        raise CLASSES[code]("why")
    assert isinstance(caught.value, procall.Error)
    assert caught.value.code == code


@pytest.mark.parametrize("code", CLASSES)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_errors_can_be_pickled(code: str, protocol: int) -> None:
    error = CLASSES[code]("why", **FACTS)
    again = pickle.loads(pickle.dumps(error, protocol))
    for same in (again, copy.copy(error), copy.deepcopy(error)):
        assert type(same) is type(error)
        assert str(same) == str(error)
        assert same.message == "why"
        assert {name: getattr(same, name) for name in FACTS if name != "fields"} == {
            name: value for name, value in FACTS.items() if name != "fields"
        }
        assert same.fields == [procall.FieldError("/a", "wrong")]
        assert same.__notes__ == error.__notes__


def test_an_error_of_a_handlers_own_can_be_pickled() -> None:
    own = pickle.loads(pickle.dumps(procall.PermissionDenied("not for you")))
    assert type(own) is procall.PermissionDenied
    assert str(own) == "not for you"


@pytest.mark.parametrize("name", [name for name in procall.__all__ if name[0] != "_"])
def test_what_is_public_says_where_it_is(name: str) -> None:
    item = getattr(procall, name)
    if inspect.ismodule(item):
        return
    assert (item.__module__, item.__name__) == ("procall", name)
    assert pickle.loads(pickle.dumps(item)) is item
    kind = "class" if inspect.isclass(item) else "function"
    told = pydoc.render_doc(item, renderer=pydoc.plaintext)
    assert f": {kind} {name} in module procall\n" in told


def test_a_traceback_names_the_public_class() -> None:
    with pytest.raises(procall.SpawnFailed) as caught:
        procall.Pool("nothing.py")
    (line,) = traceback.format_exception_only(caught.value)
    assert line.startswith("procall.SpawnFailed: SPAWN_FAILED: ")


def _fail() -> None:
    with procall.Pool(PLAIN, workers=1, show_output=False) as pool:
        pool.boom("far away")


def test_errors_cross_a_multiprocessing_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        with pytest.raises(procall.HandlerError, match="far away") as caught:
            processes.apply(_fail)
        assert caught.value.executed == "yes"
        assert caught.value.remote_type == "ValueError"
        assert "far away" in (caught.value.remote_traceback or "")


def test_what_is_printed_of_an_error() -> None:
    with procall.Pool(PLAIN, workers=1, show_output=False) as pool:
        with pytest.raises(procall.HandlerError) as caught:
            pool.boom("bad luck")
        with pytest.raises(procall.WorkerLost) as lost:
            pool.kill()
    assert str(caught.value) == "HANDLER_ERROR: ValueError: bad luck (executed: yes)"
    printed = "".join(traceback.format_exception(caught.value))
    assert "at the other side:\nTraceback" in printed
    assert "plain.py" in printed
    assert "plain/1" in (lost.value.worker or "")
