"""Health: what an operator has to know of a store, as checks with a value, a threshold and a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Literal

import msgspec

from hive_state_core import validate
from hive_state_core.errors import HiveStateError, InvalidArgument
from hive_state_core.histogram import Histogram
from hive_state_core.limits import VERSION_MAX
from hive_state_core.model import TaskState
from hive_state_core.spi import CacheStats, GroupStats, MemoryStats, PoolStats, QueueStats, Stats
from hive_state_core.validate import Duration

Status = Literal["ok", "warn", "fail"]
_ORDER: tuple[Status, ...] = ("ok", "warn", "fail")

ENOUGH_TRIPS = 20
"""Trips that a percentile is told of, at least: a store that is hardly used is not slow."""


ENOUGH_READS = 1000
"""That a hit ratio is told of, at least."""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """From what on something is worth a look. Durations are seconds or a timedelta.

    latency  of the store; ten times as long is a failure
    backlog  ready tasks of a queue; a failure if the oldest is also older than `age`: nobody keeps up
    age      of the oldest task that is ready, and of the oldest event that is not finished
    hit_ratio  of the single records that a cache was asked for, if there were enough: less is worth a look;
               None = what the store was configured with
    lag      events that a group was not handed yet; a failure if the oldest is also older than `age`
    memory   share of what a server may use, from 0 to 1; a failure from halfway between that and all of it
    """

    latency: Duration = 0.1
    backlog: int = 1000
    age: Duration = 300
    lag: int = 1000
    hit_ratio: float | None = None
    memory: float = 0.8

    def __post_init__(self) -> None:
        validate.duration(self.latency, "latency")
        validate.duration(self.age, "age")
        validate.integer(self.backlog, "backlog", 0, VERSION_MAX)
        validate.integer(self.lag, "lag", 0, VERSION_MAX)
        if self.hit_ratio is not None and not 0 <= self.hit_ratio <= 1:
            raise InvalidArgument(f"hit_ratio is a share from 0 to 1, not {self.hit_ratio}")
        if not 0 < self.memory <= 1:
            raise InvalidArgument(f"memory is a share above 0 and up to 1, not {self.memory}")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `name` and `subject` (the queue, the group, the server) tell it from the
    others, and stay the same; `value` and `threshold` are in the unit that the name says, None where there
    is none."""

    name: str
    status: Status
    sentence: str
    subject: str | None = None
    value: float | None = None
    threshold: float | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is the worst of the checks. `at` is the store's time, `stats` what it counted, `warnings` what
    the backend says of itself; all three are missing if the store could not be asked, and `error` says why.
    `url` is that of the store that was opened, `lives_in` where the hive lives (see `Store.lives_in`).
    """

    status: Status
    backend: str
    url: str
    namespace: str
    checks: tuple[Check, ...]
    lives_in: str | None = None
    at: datetime | None = None
    stats: Stats | None = None
    warnings: tuple[str, ...] = ()
    error: HiveStateError | None = None


def judged(
    backend: str,
    url: str,
    namespace: str,
    stats: Stats,
    pings: Sequence[float],
    commits: Histogram,
    limits: Thresholds,
) -> Health:
    """The health of a store that answers.

    pings    seconds that some reads took
    commits  what the trips of writes took since health was asked last
    """
    checks = (
        Check(name="reachable", status="ok", sentence="the store answers"),
        *_latencies(pings, commits, limits),
        *chain.from_iterable(_queue(*each, stats.at, limits) for each in sorted(stats.queues.items())),
        *(_group(f"{s}/{g}", each, stats.at, limits) for (s, g), each in sorted(stats.groups.items())),
        *_in_all(stats),
        *(_cache(stats.cache, limits) if stats.cache else ()),
        *(_pool(server, pool) for server, pool in sorted(stats.pools.items())),
        *(_memory(server, memory, limits) for server, memory in sorted(stats.memory.items())),
        *(Check(name="backend", status="warn", sentence=warning) for warning in stats.warnings),
        *(Check(name="backend", status="ok", sentence=note) for note in stats.notes),
    )
    return Health(
        status=worst(checks),
        backend=backend,
        url=url,
        namespace=namespace,
        checks=checks,
        at=validate.instant(stats.at),
        stats=stats,
        warnings=stats.warnings,
    )


def unreachable(backend: str, url: str, namespace: str, error: HiveStateError) -> Health:
    """The health of a store that cannot be opened, or does not answer."""
    check = Check(name="reachable", status="fail", sentence=str(error))
    return Health(status="fail", backend=backend, url=url, namespace=namespace, checks=(check,), error=error)


def worst(checks: Sequence[Check]) -> Status:
    return max((check.status for check in checks), key=_ORDER.index, default="ok")


def _latencies(pings: Sequence[float], commits: Histogram, limits: Thresholds) -> Iterator[Check]:
    """Of reads just now, the middle one; of the writes of this process, if there were enough."""
    yield _latency("latency_ms", "a read takes", sorted(pings)[len(pings) // 2] * 1000, limits)
    found = commits.latency()
    if found.calls >= ENOUGH_TRIPS:
        yield _latency("commit_p95_ms", "95 % of the commits take at most", found.p95_ms, limits)


def _latency(name: str, what: str, value: float, limits: Thresholds) -> Check:
    most = validate.duration(limits.latency, "latency")
    status: Status = "fail" if value > 10 * most else "warn" if value > most else "ok"
    return Check(
        name=name,
        status=status,
        sentence=f"{what} {value:.1f} ms" + _than(value > most, f"{most} ms"),
        value=round(value, 3),
        threshold=most,
    )


def _queue(queue: str, found: QueueStats, at: int, limits: Thresholds) -> Iterator[Check]:
    ready = found.states.get(TaskState.READY, 0)
    age, most = _age(found.oldest_ready_at, at), _seconds(limits.age)
    many, old = ready > limits.backlog, age > most
    paused = "; the queue is paused" if found.paused else ""
    waited = f"the oldest has waited for {age:.1f} s" if found.oldest_ready_at else "nothing is waiting"
    yield Check(
        name="backlog",
        subject=queue,
        status=_piled(many, old and not found.paused),
        sentence=f"{_count(ready, 'task')} ready{_than(many, limits.backlog)}{paused}",
        value=ready,
        threshold=limits.backlog,
    )
    yield Check(
        name="oldest_ready_s",
        subject=queue,
        status="warn" if old else "ok",
        sentence=f"{waited}{_than(old, f'{most:g} s')}{paused}",
        value=age,
        threshold=most,
    )


def _group(subject: str, found: GroupStats, at: int, limits: Thresholds) -> Check:
    age = _age(found.oldest_at, at)
    many = found.lag > limits.lag
    oldest = "" if found.oldest_at is None else f"; the oldest that is not finished is {age:.1f} s old"
    return Check(
        name="lag",
        subject=subject,
        status=_piled(many, age > _seconds(limits.age)),
        sentence=f"{_count(found.lag, 'event')} not handed out yet{_than(many, limits.lag)}{oldest}",
        value=found.lag,
        threshold=limits.lag,
    )


def _piled(many: bool, old: bool) -> Status:
    """Much at once is worth a look; if it is old too, nobody keeps up with it."""
    if not many:
        return "ok"
    return "fail" if old else "warn"


def _in_all(stats: Stats) -> Iterator[Check]:
    """Counts over all queues and groups."""
    queues, groups = stats.queues.values(), stats.groups.values()
    dead = sum(queue.states.get(TaskState.DEAD, 0) for queue in queues)
    yield _none("dead_tasks", dead, f"{_count(dead, 'task')} dead: redrive or remove them")
    gone = sum(group.dead for group in groups)
    yield _none("dead_events", gone, f"{_count(gone, 'event')} dead in a group: redrive or discard them")
    over = sum(queue.leases_over for queue in queues)
    said = f"{_count(over, 'lease')} over and not taken away: does anybody claim from these queues?"
    yield _none("leases_over", over, said)


def _none(name: str, found: int, otherwise: str) -> Check:
    """There should be none of these."""
    status: Status = "warn" if found else "ok"
    sentence = otherwise if found else f"no {name.replace('_', ' ')}"
    return Check(name=name, status=status, sentence=sentence, value=found, threshold=0)


def _cache(cache: CacheStats, limits: Thresholds) -> Iterator[Check]:
    """A cache that is hardly used has no ratio worth a look, and one without a bound no part of it."""
    said = "answers" if cache.connected else "cannot be reached: reads go to the durable store"
    yield Check(
        name="cache_connected",
        status="ok" if cache.connected else "warn",
        sentence=f"the cache {said}",
        value=float(cache.connected),
    )
    if cache.hit_ratio is not None and cache.asked >= ENOUGH_READS:
        target = cache.target if limits.hit_ratio is None else limits.hit_ratio
        low = cache.hit_ratio < target
        yield Check(
            name="cache_hit_ratio",
            status="warn" if low else "ok",
            sentence=f"{cache.hit_ratio:.1%} of {cache.asked:,} reads were hits"
            + (f", less than {target:.0%}" if low else ""),
            value=round(cache.hit_ratio, 4),
            threshold=target,
        )


def _pool(server: str, pool: PoolStats) -> Check:
    starved = pool.waiting > 0 and pool.in_use >= pool.most
    waiting = f"; {_count(pool.waiting, 'call')} waiting for one" if pool.waiting else ""
    return Check(
        name="pool_in_use",
        subject=server,
        status="warn" if starved else "ok",
        sentence=f"{pool.in_use} connections in use and {pool.idle} idle, of {pool.most}{waiting}",
        value=pool.in_use,
        threshold=pool.most,
    )


def _memory(server: str, memory: MemoryStats, limits: Thresholds) -> Check:
    if memory.most is None:
        sentence = f"{_megabytes(memory.used)} are used, of any amount"
        return Check(name="memory_used", subject=server, status="ok", sentence=sentence)
    share, most = memory.used / memory.most, limits.memory
    status: Status = "fail" if share > (1 + most) / 2 else "warn" if share > most else "ok"
    return Check(
        name="memory_used",
        subject=server,
        status=status,
        sentence=f"{_megabytes(memory.used)} of {_megabytes(memory.most)} are used"
        + _than(share > most, f"{most:.0%}"),
        value=round(share, 4),
        threshold=most,
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _age(since: int | None, at: int) -> float:
    return 0.0 if since is None else max(0, at - since) / 1000


def _seconds(span: Duration) -> float:
    return validate.duration(span, "age") / 1000


def _count(number: int, what: str) -> str:
    return f"1 {what} is" if number == 1 else f"{number:,} {what}s are"


def _than(over: bool, threshold: object) -> str:
    return f", more than {threshold}" if over else ""
