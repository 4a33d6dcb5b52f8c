"""The Python caller: every case against the worker named on the command line."""

import sys
import threading
import time

import corpus
import natives
import procall

# Behind an engine, the worker is a service that registered there; nobody starts it again.
engine = sys.argv[1] == "engine"
pool = (
    procall.connect("pairs", timeout=60)
    if engine
    else procall.Pool(sys.argv[1], workers=1, show_output=False)
)


def same(found, wanted):
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def fails(error, executed, call):
    try:
        result = call()
    except error as raised:
        found = raised
    else:
        raise AssertionError(f"it gave {result!r}")
    assert executed is None or found.executed == executed, f"executed {found.executed}"
    return found


def unary():
    same(pool.call("add", 1, 2), 3)
    same(pool.pairs.add(b=40, a=2), 42)


def nothing():
    # A result that is None is a result.
    same(pool.call("nothing"), None)
    same(pool.pairs.nothing(), None)
    same(pool.call("echo", None), None)
    same(pool.call("echo", value=None), None)


def binding():
    same(pool.call("greet", "Ada"), "hello Ada")
    same(pool.call("greet", "Ada", "good day"), "good day Ada")
    same(pool.call("greet", name="Ada"), "hello Ada")
    same(pool.call("greet", greeting="good day", name="Ada"), "good day Ada")
    same(pool.call("greet", "Ada", greeting="good day"), "good day Ada")
    raised = fails(procall.InvalidArgument, "no", lambda: pool.call("greet", greeting="hey"))
    same(raised.fields[0].path, "/name")
    raised = fails(
        procall.InvalidArgument, "no", lambda: pool.call("greet", name="Ada", greting="hey")
    )
    same(raised.fields[0].path, "/greting")


def error():
    raised = fails(procall.HandlerError, "yes", lambda: pool.call("fail", "on purpose"))
    assert "on purpose" in str(raised), raised
    assert raised.remote_type.endswith("Failure"), raised.remote_type
    # Rust has no stack of an error; the others tell where it came from.
    rust = pool.call("launched")["language"] == "rust"
    assert ("fail" in (raised.remote_traceback or "")) != rust, raised.remote_traceback


def refusals():
    raised = fails(procall.NotFound, "no", lambda: pool.call("ad", 1, 2))
    same(list(raised.candidates), ["pairs.add"])
    fails(procall.InvalidArgument, "no", lambda: pool.call("add", 1, 2, 3))
    fails(procall.InvalidArgument, "no", lambda: pool.call("add", 7, "seven"))


def stream():
    same(list(pool.stream("count", 1000)), list(range(1000)))
    same(list(pool.stream("count", 0)), [])


def stream_in():
    call = pool.duplex("total")
    for n in range(1, 501):
        assert call.send(n), "it wanted no more"
    same(call.result(), 125_250)


def one_more_cancel(before):
    patience = time.monotonic() + 10
    while (now := pool.call("cancels")) != before + 1:
        assert now <= before + 1, f"{now} cancels after {before}"
        assert time.monotonic() < patience, f"only {now} cancels"


def left_early():
    before = pool.call("cancels")
    with pool.stream("endless") as items:
        for wanted in range(3):
            same(next(items), wanted)
    one_more_cancel(before)


def cancel():
    before = pool.call("cancels")
    call = pool.submit("sleep", 60_000)
    threading.Event().wait(0.1)
    call.cancel()
    fails(procall.Cancelled, None, call.result)
    one_more_cancel(before)


def deadline():
    start = time.monotonic()
    raised = fails(
        procall.DeadlineExceeded, None, lambda: pool.options(deadline=0.1).call("sleep", 60_000)
    )
    assert isinstance(raised, TimeoutError)
    assert raised.executed != "no", "executed no"
    assert 0.1 <= time.monotonic() - start < 20, "it came too early or too late"
    same(pool.call("add", 1, 2), 3)


def death():
    raised = fails(procall.WorkerLost, "maybe", lambda: pool.call("die", 3))
    if engine:
        fails(procall.NoWorker, "no", lambda: pool.call("add", 1, 2))
        return
    assert "exited with code 3" in str(raised), raised
    same(pool.call("add", 1, 2), 3)


failed = False
for name, case in [
    ("unary", unary),
    ("no arguments, no result", nothing),
    ("by position and by name", binding),
    ("values", lambda: corpus.round_trips(pool)),
    ("values, refused", lambda: corpus.refusals(pool)),
    ("values of this language", lambda: natives.round_trips(pool)),
    ("error", error),
    ("refusals", refusals),
    ("stream", stream),
    ("stream in", stream_in),
    ("streams both ways", lambda: corpus.both_ways(pool)),
    ("stream left early", left_early),
    ("cancel", cancel),
    ("deadline", deadline),
    ("worker death", death),
]:
    try:
        case()
        print("ok   ", name)
    except Exception as reason:
        failed = True
        print("FAIL ", f"{name}: {type(reason).__name__}: {reason}")
pool.close() if engine else pool.stop()
sys.exit(failed)
