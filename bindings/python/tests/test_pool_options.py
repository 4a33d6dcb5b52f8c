"""What a pool and its calls can be told, and what they say to nonsense."""

from __future__ import annotations

import pathlib
from typing import Any

import procall
import pytest
from pools import PLAIN

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"workers": 0}, "1 to 1024 workers, not 0"),
    ({"workers": (3, 2)}, "1 to 1024 workers, not 3 to 2"),
    ({"workers": "4"}, r"workers is '4': give a number of processes, or \(least, most\)"),
    ({"workers": (1, 2, 3)}, r"workers is \(1, 2, 3\): give"),
    ({"workers": True}, "workers is True: give"),
    ({"workers": 1.5}, "workers is 1.5: give"),
    ({"dispatch": "roundrobin"}, "dispatch: .* idle_first, .*; did you mean round_robin?"),
    ({"dispatch": 3}, "dispatch: .* least_loaded"),
    ({"max_calls": 0}, "leave max_calls out"),
    ({"max_calls": "many"}, "max_calls is 'many': give a whole number"),
    ({"max_memory": "2 gigs"}, 'max_memory: "2 gigs" .* 2GiB'),
    ({"on_cancel": "stop"}, 'on_cancel: "stop" is nothing .* there are abandon and kill'),
    ({"on_cancel": "kill", "concurrency": 2}, "is for workers that take one call at a time"),
    ({"hang_timeout": 0}, "cannot hang for no time at all; leave hang_timeout out"),
    ({"cancel_grace": "5 s"}, "cancel_grace is '5 s': give seconds from 0"),
    ({"max_memory": -1}, 'max_memory is -1: give a number of bytes, or a text such as "2GiB"'),
    ({"idle_timeout": -1}, "idle_timeout is -1: give seconds"),
    ({"backoff": float("nan")}, "backoff is nan: give seconds"),
    ({"ready_timeout": "soon"}, "ready_timeout is 'soon': give seconds"),
    ({"args": "abc"}, "args is 'abc': give a list"),
    ({"args": [8000]}, r"args is \[8000\]: give a list of texts"),
    ({"env": {"PORT": 8000}}, "env is .*: give a dict of texts"),
    ({"cwd": 3}, "cwd is 3: give a path"),
    ({"name": 3}, "name is 3: give a text"),
    ({"show_output": "yes"}, "show_output is 'yes': give True or False"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=lambda value: str(value)[:30])
async def test_wrong_values(options: dict[str, Any], said: str) -> None:
    with pytest.raises(procall.InvalidArgument, match=said) as caught:
        procall.Pool(PLAIN, **options)
    assert caught.value.executed == "no"
    with pytest.raises(procall.InvalidArgument, match=said):
        await procall.aio.Pool(PLAIN, **options)


def test_a_program_that_is_none() -> None:
    for program in (5, [5]):
        with pytest.raises(procall.InvalidArgument, match=r"program is .* a file, or the parts"):
            procall.Pool(program)  # type: ignore[arg-type]
    with pytest.raises(procall.SpawnFailed, match="the command is empty"):
        procall.Pool([])


async def test_unknown_options() -> None:
    with pytest.raises(TypeError, match=r"no option max_restart; did you mean max_restarts\?"):
        procall.Pool(PLAIN, max_restart=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"no option worker; did you mean workers\?"):
        await procall.aio.Pool(PLAIN, worker=1)  # type: ignore[call-arg]


def test_the_options_are_those_that_are_written_down() -> None:
    with pytest.raises(TypeError, match="there are") as caught:
        procall.Pool(PLAIN, nonsense=1)  # type: ignore[call-arg]
    known = str(caught.value).partition("there are ")[2].split(", ")
    assert set(known) == set(procall.PoolOptions.__annotations__)


def test_all_options_at_once(tmp_path: pathlib.Path) -> None:
    options: procall.PoolOptions = {
        "workers": 1,
        "idle_timeout": 60,
        "dispatch": "least_loaded",
        "max_calls": 10_000,
        "max_memory": "2GiB",
        "hang_timeout": 60,
        "on_cancel": "kill",
        "cancel_grace": 0.5,
        "concurrency": 1,
        "queue": 10,
        "max_restarts": 5,
        "restart_window": 60.0,
        "max_unready": 3,
        "backoff": 0.1,
        "max_backoff": 10,
        "heartbeat": False,
        "args": ["a", tmp_path],
        "env": {"COLOUR": "red"},
        "cwd": tmp_path,
        "interpreter": None,
        "default_python": None,
        "name": "x",
        "transport": "unix",
        "compression": False,
        "ready_timeout": float("inf"),
        "finish_timeout": 10,
        "stop_timeout": 5,
        "show_output": False,
    }
    assert set(options) == set(procall.PoolOptions.__annotations__)
    with procall.Pool(PLAIN, **options) as pool:
        assert pool.add(1, 2) == 3
        assert pool.workers()[0].name == "x/1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"deadline": -1}, "deadline is -1: give seconds from 0, or None"),
        ({"deadline": "soon"}, "deadline is 'soon': give"),
        ({"key": 7}, "key is 7: give a text"),
        ({"to": 2}, "to is 2: give a text"),
        ({"on_timeout": "retry"}, 'on_timeout is \'retry\': give "return" or "restart"'),
        ({"meta": [1]}, r"meta is \[1\]: give a dict"),
        ({"progress": 1}, "progress is 1: give True for a bar, or a function"),
    ],
)
def test_wrong_options_of_calls(client: procall.Client, options: dict[str, Any], said: str) -> None:
    with pytest.raises(procall.InvalidArgument, match=said):
        client.options(**options)


def test_options_for_pools_do_nothing_on_one_connection(client: procall.Client) -> None:
    pinned = client.options(key="user-7", to="calc/9", on_timeout="restart")
    assert pinned.add(1, 2) == 3
    assert pinned.options(deadline=5).add(1, 2) == 3


def test_dispatch_policies() -> None:
    def pids(dispatch: Any) -> list[int]:
        with procall.Pool(PLAIN, workers=2, dispatch=dispatch, show_output=False) as pool:
            return [pool.pid() for _ in range(6)]

    assert len(set(pids(None))) == 1, "the first idle one"
    assert len(set(pids("idle_first"))) == 1
    for policy in ("round_robin", "least_loaded"):
        found = pids(policy)
        assert found[0] != found[1], policy
        assert found == found[:2] * 3, policy


async def test_a_pool_that_was_not_started_says_so() -> None:
    pool = procall.aio.Pool(PLAIN, workers=1)
    for use in (lambda: pool.add(1, 2), pool.workers, pool.metrics, pool.events, pool.options):
        with pytest.raises(RuntimeError, match="async with"):
            use()
