"""Services that are registered with an engine, and callers that find them through it."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import signal
import threading
from collections.abc import Iterator

import engines
import procall
import pytest
from engines import House
from procall import _errors

PATIENCE = 60
KINDS = pytest.mark.parametrize("kind", ["plain", "async"])


@pytest.fixture
def house(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("PROCALL_ENGINE", raising=False)
    monkeypatch.delenv("PROCALL_LISTEN", raising=False)
    with engines.house(tmp_path) as house:
        house.start()
        yield house


@dataclasses.dataclass
class SoldOut(Exception):
    item: str
    wanted: int


@pytest.fixture
def sold_out() -> Iterator[None]:
    before = dict(_errors.REGISTERED)
    procall.register_error(SoldOut)
    yield
    _errors.REGISTERED.clear()
    _errors.REGISTERED.update(before)


def passing(error: procall.Error) -> None:
    """Whoever comes back to an engine meanwhile may be there before or after the caller."""
    assert isinstance(error, (procall.NoWorker, procall.NotFound)), error
    assert error.executed == "no"


def until_answered(client: procall.Client, *args: int) -> int:
    """Asks until the service is back. Every refusal must be one that a program can pass over."""
    while True:
        try:
            return int(client.options(wait=True, deadline=PATIENCE).call("shop.add", *args))
        except procall.Error as error:
            passing(error)


@KINDS
def test_service_registers_with_the_engine_that_runs_and_is_found_by_name(
    house: House, kind: str, sold_out: None
) -> None:
    house.registered(kind)
    with procall.connect("shop") as shop:
        assert shop.add(1, 2) == 3
        assert shop.shop.add(b=1, a=2) == 3
        assert list(shop.count(200)) == list(range(200))
        total = shop.duplex("total")
        for n in range(100):
            assert total.send(n)
        assert total.result() == 4950
        with pytest.raises(SoldOut) as raised:
            shop.order("lamp", 3)
        assert raised.value == SoldOut("lamp", 3)
        with pytest.raises(procall.InvalidArgument):
            shop.add(1, "x")
        assert "shop.add" in [method.name for method in shop.methods()]
        outcomes = shop.batch([("add", (1, 2)), ("add", (3, 4))])
        assert [outcome.result() for outcome in outcomes] == [3, 7]
        assert shop.submit("add", 4, 5).result() == 9


async def test_asyncio_callers_find_it_too(house: House, sold_out: None) -> None:
    house.registered("plain")
    async with procall.aio.connect("shop") as shop:
        assert await shop.add(1, 2) == 3
        assert [n async for n in shop.stream("count", 3)] == [0, 1, 2]
        with pytest.raises(SoldOut):
            await shop.order("lamp", 3)
    async with procall.aio.connect("shop", engine=house.address) as shop:
        assert await shop.add(2, 2) == 4


def test_engine_can_be_named_and_its_address_leads_to_all(house: House) -> None:
    house.registered("plain", PROCALL_ENGINE=house.address)
    with procall.connect("shop", engine=house.address) as shop:
        assert shop.add(1, 2) == 3
    with procall.connect(house.address) as engine:
        assert engine.call("shop.add", 1, 2) == 3
        assert "shop.add" in [row["name"] for row in engine.call("procall.engine.list")]
        assert "shop.add" in [method.name for method in engine.methods()]


@KINDS
def test_engine_that_is_killed_and_started_again_gets_everybody_back(
    house: House, kind: str
) -> None:
    service = house.registered(kind)
    with procall.connect("shop") as shop:
        pid = shop.pid()
        flight = shop.submit("brief")
        assert service.line() == "brief"
        house.engine.kill()
        with pytest.raises(procall.ConnectionLost):
            flight.result()
        service.write("\n")
        # It waits for the connection.
        waiting = shop.submit("procall.ping")
        house.start()
        waiting.result()
        assert until_answered(shop, 20, 22) == 42
        assert shop.pid() == pid, "the service came back by itself"


@KINDS
def test_asyncio_callers_come_back_on_their_loop(house: House, kind: str) -> None:
    import asyncio

    house.registered(kind)

    async def calls() -> None:
        async with procall.aio.connect("shop") as shop:
            pid = await shop.pid()
            await asyncio.to_thread(house.engine.kill)
            lost = asyncio.ensure_future(shop.options(wait=True).call("shop.add", 1, 2))
            await asyncio.to_thread(house.start)
            with contextlib.suppress(procall.ConnectionLost):
                await lost
            while True:
                try:
                    found = await shop.options(wait=True, deadline=PATIENCE).call("shop.pid")
                    break
                except procall.Error as error:
                    passing(error)
            assert found == pid, "the service came back by itself"
            assert [n async for n in shop.stream("count", 3)] == [0, 1, 2]

    asyncio.run(calls())


@KINDS
def test_service_that_is_killed_ends_its_calls_and_is_back_when_started_again(
    house: House, kind: str
) -> None:
    service = house.registered(kind)
    with procall.connect("shop") as shop:
        flight = shop.submit("hang")
        assert service.line() == "hanging"
        service.kill()
        with pytest.raises(procall.WorkerLost) as lost:
            flight.result()
        assert lost.value.executed == "maybe"
        with pytest.raises(procall.NoWorker) as absent:
            shop.add(1, 2)
        assert absent.value.executed == "no"
        house.registered(kind)
        assert shop.add(1, 2) == 3


@KINDS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_let_calls_in_flight_finish(
    house: House, kind: str, number: signal.Signals
) -> None:
    service = house.registered(kind)
    with procall.connect("shop") as shop:
        flight = shop.submit("brief")
        assert service.line() == "brief"
        service.process.send_signal(number)
        service.write("\n")
        assert flight.result() == "finished"
        assert service.line() == "done"
        assert service.process.wait(20) == 0


def test_service_can_be_stopped_while_its_engine_is_away(house: House) -> None:
    for kind in ("plain", "async"):
        service = house.registered(kind)
        house.engine.kill()
        assert house.interrupt(service) == 0
        assert service.line() == "done"
        house.start()


def test_versions_of_a_service_are_told_apart(house: House) -> None:
    house.registered("plain", "1.0")
    house.registered("plain", "2.0")
    with procall.connect("shop") as shop:
        assert {shop.options(version="2.0").which() for _ in range(4)} == {"2.0"}
        assert {shop.options(version="1.0").which() for _ in range(4)} == {"1.0"}
        with pytest.raises(procall.Error) as raised:
            shop.options(version="3.0").which()
        assert raised.value.executed == "no"
        with pytest.raises(procall.InvalidArgument, match="version is 2: give a text"):
            shop.options(version=2)  # type: ignore[arg-type]


def test_call_that_waits_gets_the_worker_that_comes(house: House) -> None:
    first = house.registered("plain")
    with procall.connect("shop") as shop:
        first.kill()
        with pytest.raises((procall.NoWorker, procall.WorkerLost)):
            shop.add(1, 2)
        waiting = shop.options(wait=True, deadline=PATIENCE).submit("add", 1, 2)
        house.registered("plain")
        assert waiting.result() == 3


def test_worker_has_a_name_of_its_own_that_no_other_may_take(house: House) -> None:
    named = house.registered("plain", "", "corner")
    house.registered("plain")
    with procall.connect("shop") as shop:
        assert {shop.options(to="corner").pid() for _ in range(4)} == {named.pid}
    other = house.shop("plain", "", "corner")
    assert "NameTaken" in other.said("NameTaken")
    assert other.process.wait(20) == 1


def test_refused_registration_is_raised_with_its_fields(house: House) -> None:
    service = procall.Service("odd")

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    document = service.document()
    document["methods"][0]["params_schema"] = {"type": "no such type"}
    service.document = lambda: document  # type: ignore[method-assign]
    with pytest.raises(procall.InvalidArgument) as raised:
        service.run()
    assert [field.path for field in raised.value.fields] == ["/methods/0/params_schema"]


def test_no_engine_is_an_error_that_names_the_fix(house: House) -> None:
    house.engine.kill()
    for service in (procall.Service("late"), procall.Service("soon")):
        if service.name == "soon":

            @service.method
            async def ping() -> None: ...

        with pytest.raises(procall.NoWorker, match="procall serve") as raised:
            service.run(engine=house.address)
        assert raised.value.executed == "no"
    with pytest.raises(procall.NoWorker, match="procall serve"):
        procall.connect("shop", engine=house.address, timeout=0)
    with pytest.raises(procall.InvalidArgument, match="give one of them"):
        procall.Service("late").run(engine=house.address, listen="late")


def test_what_is_no_engine_takes_no_registrations(house: House, tmp_path: pathlib.Path) -> None:
    address = f"unix:{tmp_path}/plain.sock"
    service = procall.Service("plain")
    said = threading.Event()
    service._announce = lambda _server: said.set()  # type: ignore[method-assign]
    thread = threading.Thread(target=service.run, kwargs={"listen": address})
    thread.start()
    try:
        assert said.wait(20)
        with pytest.raises(procall.InvalidArgument, match="no engine"):
            procall.Service("lost").run(engine=address)
    finally:
        service.stop()
        thread.join(20)
