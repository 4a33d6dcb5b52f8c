"""What was counted of calls, and whether a pool is well."""

from __future__ import annotations

from dataclasses import dataclass

from procall._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from procall._workers import WorkerInfo


@public
@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the start of a call to its end, the wait for a worker included; all 0 before the
    first has ended.

    ::

        calc.add(1, 2)
        latency = calc.metrics().latency
        assert 0 < latency.p50 <= latency.p99 <= latency.max
    """

    mean: float
    p50: float
    """Half of the calls took no longer."""
    p95: float
    """95 of 100 calls took no longer."""
    p99: float
    """99 of 100 calls took no longer."""
    min: float
    max: float

    def __str__(self) -> str:
        names = ("mean", "p50", "p95", "p99", "min", "max")
        return ", ".join(f"{name} {_span(getattr(self, name))}" for name in names)


@public
@dataclass(frozen=True, slots=True)
class Metrics:
    """What was counted of the calls of a client or pool since its start.

    ::

        metrics = pool.metrics()
        print(f"{metrics.total_requests} calls, {metrics.success_rate:.1%} good, p99",
              metrics.latency.p99)
    """

    total_requests: int
    """Calls that were started, those in progress included."""
    successful_requests: int
    """Calls that ended with a result."""
    failed_requests: int
    """Calls that ended with an error, a handler's own included."""
    cancelled_requests: int
    """Calls that the caller gave up before they ended, apart from its deadline."""
    in_flight: int
    """Calls in progress, those included that wait."""
    success_rate: float
    """The share of the calls that ended well, from 0 to 1; 1 before any has ended. Cancelled calls
    do not count.
    """
    latency: Latency
    """Of the last 1,024 calls that were not cancelled."""
    average_latency: float
    """The mean latency in seconds."""
    queue_depth: int
    """Calls that wait for a worker of the pool, or for their turn on a connection that carries as
    many as it may.
    """
    restarts: int
    """How often workers were started again; 0 for a single connection."""
    heartbeat_round_trip: float | None
    """Seconds from the last ping to its answer; of a pool, of whichever worker answered last."""
    missed_heartbeats: int
    """How often the other side fell silent."""
    retries: int
    """Attempts after a first one; each is a request of its own in the other counts."""

    arrays_copied: int
    """Arrays of 16 KiB or more that were copied once, into memory that the other side looks at."""
    arrays_as_bytes: int
    """Such arrays that were meant for shared memory and crossed as bytes all the same."""
    arrays_in_place: int
    """Such arrays that were not copied at all."""

    def __str__(self) -> str:
        counts = f"{self.total_requests} calls: {self.successful_requests} good"
        if self.failed_requests:
            counts += f", {self.failed_requests} failed"
        if self.cancelled_requests:
            counts += f", {self.cancelled_requests} cancelled"
        if self.in_flight:
            counts += f", {self.in_flight} in flight ({self.queue_depth} queued)"
        if self.retries:
            counts += f", {self.retries} retries"
        if self.restarts:
            counts += f", {self.restarts} restarts"
        return f"{counts}; latency {self.latency}"

    def __repr__(self) -> str:
        return f"<metrics {self}>"


@public
@dataclass(frozen=True, slots=True)
class Health:
    """Whether a pool is well.

    ::

        health = pool.health()
        if not health.is_healthy:
            print(health)  # 0 of 2 workers are ready; calc/1 has failed: ...
    """

    open: bool
    """The pool takes calls: it is not draining, stopping or closed."""
    ready: int
    """Workers that calls go to."""
    workers: int
    """Workers in all."""
    problems: tuple[str, ...]
    """What is wrong, one sentence a worker, as in ``calc/2 does not answer``."""
    is_healthy: bool
    """It takes calls and has workers to give them to, some of which may be in trouble."""
    text: str
    """All of it in one sentence."""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<health {self.text}>"


@public
@dataclass(frozen=True, slots=True)
class Stats:
    """All there is to know of a pool at once.

    ::

        stats = pool.stats()
        print(stats.health, stats.metrics, *stats.workers, sep="\\n")
    """

    metrics: Metrics
    health: Health
    workers: list[WorkerInfo]


def metrics(facts: dict[str, Any]) -> Metrics:
    """The metrics that the native half tells."""
    return Metrics(**{**facts, "latency": Latency(**facts["latency"])})


def health(facts: dict[str, Any]) -> Health:
    """The health that the native half tells."""
    return Health(**{**facts, "problems": tuple(facts["problems"])})


def _span(seconds: float) -> str:
    """As people write it: ``1.2 ms``."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms"
