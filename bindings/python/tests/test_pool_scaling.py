"""Pools that grow, shrink and renew themselves, and what they count and tell."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pathlib
import signal
import threading

import procall
import pytest
from pools import PLAIN, expect, expect_soon, pid_of


def test_an_elastic_pool_grows_and_shrinks(tmp_path: pathlib.Path) -> None:
    with procall.Pool(PLAIN, workers=(1, 3), idle_timeout=0.1, show_output=False) as pool:
        events = pool.events()
        for round in range(2):
            assert len(pool.workers()) == 1
            gate = tmp_path / f"gate-{round}"
            busy = [pool.submit("wait_for_file", str(gate)) for _ in range(3)]
            for _ in range(2):
                expect(events, "ready")
            assert len(pool.workers()) == 3
            gate.touch()
            assert [call.result() for call in busy] == [True] * 3
            expect(events, "stopped")
            expect(events, "stopped")
        assert pool.add(1, 2) == 3
        assert len(pool.workers()) == 1


def test_an_elastic_pool_under_no_load_stays_small() -> None:
    with procall.Pool(PLAIN, workers=(2, 8), show_output=False) as pool:
        assert list(pool.map("add", ((i, i) for i in range(100)))) == [2 * i for i in range(100)]
        assert pool.health().workers >= 2
        assert pool.health().is_healthy


async def test_asyncio_elastic(tmp_path: pathlib.Path) -> None:
    options: procall.PoolOptions = {"workers": (1, 2), "idle_timeout": 0.1, "show_output": False}
    async with procall.aio.Pool(PLAIN, **options) as pool:
        events = pool.events()
        calls = asyncio.gather(*(pool.wait_for_file(str(tmp_path / "gate")) for _ in range(2)))
        await expect_soon(events, "ready", "plain/2")
        (tmp_path / "gate").touch()
        assert await calls == [True, True]
        await expect_soon(events, "stopped")
        assert len(pool.workers()) == 1


def test_workers_are_recycled_and_no_call_is_lost() -> None:
    with procall.Pool(PLAIN, workers=2, max_calls=10, show_output=False) as pool:
        events, results = pool.events(), list[int]()

        def run(base: int) -> None:
            results.extend(pool.add(base, i) for i in range(100))

        threads = [threading.Thread(target=run, args=(1000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        told = expect(events, "replacing")
        assert str(told).endswith("is replaced: it has served 10 calls")
        expect(events, "ready", told.worker)
        for thread in threads:
            thread.join()
        assert sorted(results) == [1000 * n + i for n in range(4) for i in range(100)]
        metrics = pool.metrics()
        assert (metrics.total_requests, metrics.successful_requests) == (400, 400)
        assert metrics.restarts >= 1
        assert sum(worker.calls for worker in pool.workers()) == 400


async def test_asyncio_recycling() -> None:
    async with procall.aio.Pool(PLAIN, workers=2, max_calls=20, show_output=False) as pool:
        events = pool.events()
        sums = await asyncio.gather(*(pool.add(i, i) for i in range(200)))
        assert sums == [2 * i for i in range(200)]
        await expect_soon(events, "replacing")
        await expect_soon(events, "ready")
        assert await pool.add(1, 2) == 3
        assert pool.metrics().failed_requests == 0


@pytest.mark.parametrize("limit", [1, "1 KiB"])
def test_a_worker_that_grows_too_large_is_replaced(limit: int | str) -> None:
    with procall.Pool(PLAIN, workers=1, max_memory=limit, show_output=False) as pool:
        events = pool.events()
        (worker,) = pool.workers()
        assert worker.memory is not None
        assert worker.memory > 1 << 20
        told = expect(events, "replacing")
        assert (told.pid, "MiB of memory" in str(told)) == (worker.pid, True)
        expect(events, "ready")
        assert pid_of(pool, 0) != worker.pid


def test_restart_options() -> None:
    options: procall.PoolOptions = {
        "workers": 1,
        "max_restarts": 1,
        "backoff": 0.001,
        "restart_window": 600,
        "show_output": False,
    }
    with procall.Pool(PLAIN, **options) as pool:
        events = pool.events()
        os.kill(pid_of(pool, 0), signal.SIGKILL)
        assert "will be started again in" in str(expect(events, "restarting"))
        expect(events, "ready")
        os.kill(pid_of(pool, 0), signal.SIGKILL)
        assert "more than 1 restarts within 600s" in str(expect(events, "failed"))
        with pytest.raises(procall.NoWorker):
            pool.add(1, 2)
        pool.restart(0)
        assert pool.add(1, 2) == 3, "restarted by hand, its past is forgotten"


def test_metrics_of_a_pool(tmp_path: pathlib.Path) -> None:
    with procall.Pool(PLAIN, workers=1, queue=1, show_output=False) as pool:
        assert pool.metrics().success_rate == 1
        for _ in range(6):
            pool.add(1, 2)
        for _ in range(2):
            with pytest.raises(procall.HandlerError):
                pool.boom()
        busy = pool.submit("wait_for_file", str(tmp_path / "gate"))
        waiting = pool.submit("add", 1, 2)
        with pytest.raises(procall.Overloaded):
            pool.options(retries=0).add(1, 2)
        metrics = pool.metrics()
        assert (metrics.in_flight, metrics.queue_depth) == (2, 1)
        assert "2 in flight (1 queued)" in str(metrics)
        assert waiting.cancel()
        (tmp_path / "gate").touch()
        assert busy.result()
        metrics = pool.metrics()
        assert (metrics.total_requests, metrics.in_flight, metrics.queue_depth) == (11, 0, 0)
        assert (metrics.successful_requests, metrics.failed_requests) == (7, 3)
        assert (metrics.cancelled_requests, metrics.restarts) == (1, 0)
        assert metrics.success_rate == pytest.approx(0.7)
        latency = metrics.latency
        assert 0 <= latency.min <= latency.p50 <= latency.p95 <= latency.p99 <= latency.max
        assert metrics.average_latency == latency.mean > 0
        assert repr(metrics).startswith("<metrics 11 calls: 7 good, 3 failed, 1 cancelled; latency")
        assert dataclasses.asdict(metrics)["latency"]["p99"] == latency.p99
        with pytest.raises(dataclasses.FrozenInstanceError):
            metrics.total_requests = 0  # type: ignore[misc]


def test_metrics_of_a_client(client: procall.Client) -> None:
    assert client.metrics().total_requests == 0
    client.add(1, 2)
    with pytest.raises(procall.HandlerError):
        client.boom()
    with pytest.raises(procall.DeadlineExceeded):
        client.options(deadline=0.05).until_cancelled("x")
    stream = client.endless()
    next(stream)
    stream.close()
    metrics = client.metrics()
    assert (metrics.successful_requests, metrics.failed_requests) == (1, 2)
    assert (metrics.total_requests, metrics.cancelled_requests) == (4, 1)
    assert client.options(deadline=5).metrics() == client.metrics(), "they are the connection's"


async def test_asyncio_figures() -> None:
    async with procall.aio.Pool(PLAIN, workers=1, show_output=False) as pool:
        await asyncio.gather(*(pool.add(i, 1) for i in range(10)))
        with pytest.raises(procall.HandlerError):
            await pool.boom()
        task = asyncio.ensure_future(pool.until_cancelled("x"))
        while "began x" not in str(pool.output(0)[-1:]):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stats = pool.stats()
        metrics = stats.metrics
        assert (metrics.successful_requests, metrics.failed_requests) == (10, 1)
        assert metrics.cancelled_requests == 1
        assert str(pool.health()) == "1 of 1 workers are ready"
        assert stats.workers[0].calls == 12


def test_health_and_stats() -> None:
    with procall.Pool(PLAIN, workers=2, max_restarts=0, show_output=False) as pool:
        health = pool.health()
        assert (health.open, health.ready, health.workers, health.problems) == (True, 2, 2, ())
        assert (health.is_healthy, str(health)) == (True, "2 of 2 workers are ready")
        assert repr(health) == "<health 2 of 2 workers are ready>"
        events = pool.events()
        os.kill(pid_of(pool, 1), signal.SIGKILL)
        expect(events, "failed")
        health = pool.health()
        assert (health.is_healthy, health.ready) == (True, 1)
        assert health.problems[0].startswith("plain/2 has failed: plain/2 was killed by SIGKILL")
        pool.drain()
        stats = pool.stats()
        assert (stats.health.open, stats.health.is_healthy) == (False, False)
        assert "takes no calls" in str(stats.health)
        assert [worker.state for worker in stats.workers][1] == "failed"
        assert stats.metrics.total_requests == 0


def test_what_is_known_of_a_worker() -> None:
    with procall.Pool(PLAIN, workers=1, show_output=False) as pool:
        (worker,) = pool.workers()
        assert worker.uptime is not None
        assert worker.uptime >= 0
        assert worker.memory is not None
        assert worker.memory > 1 << 20
        pool.add(1, 2)
        (later,) = pool.workers()
        assert later.uptime is not None
        assert later.uptime > worker.uptime


async def test_events_are_heard_from_the_asking_on() -> None:
    async with procall.aio.Pool(PLAIN, workers=1, show_output=False) as pool:
        first, events = pid_of(pool, 0), pool.events()
        await pool.restart()
        event = await anext(events)
        assert (event.pid, event.kind) == (first, "draining")
        await events.aclose()
