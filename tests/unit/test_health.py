"""`Store.health` and `Store.stats`: what is told, and from what on it is worth a look."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from hive_state_core import Store, open_store
from hive_state_core.errors import Closed, InvalidArgument, Unavailable
from hive_state_core.health import Check, Health, Thresholds, judged
from hive_state_core.histogram import Histogram
from hive_state_core.model import TaskState
from hive_state_core.spi import GroupStats, MemoryStats, PoolStats, QueueStats, Stats

pytestmark = pytest.mark.prompt

AT = 1_700_000_000_000
QUEUE = QueueStats(paused=False, states={}, oldest_ready_at=None, leases_over=0)
GROUP = GroupStats(position=0, lag=0, pending=0, dead=0, oldest_at=None)
EMPTY = Stats(at=AT, records={}, queues={}, streams={}, groups={}, size_bytes=None, backend={})
LIMITS = Thresholds(latency=0.1, backlog=10, age=60, lag=10)


def of(stats: Stats, pings: tuple[float, ...] = (0.001,), commits: Histogram | None = None) -> Health:
    return judged("b", "b://", "default", stats, pings, commits or Histogram(), LIMITS)


def check(health: Health, name: str) -> Check:
    (found,) = [each for each in health.checks if each.name == name]
    return found


def ready(count: int, waited: float, paused: bool = False) -> Stats:
    due = AT - int(waited * 1000)
    queue = replace(QUEUE, paused=paused, states={TaskState.READY: count}, oldest_ready_at=due)
    return replace(EMPTY, queues={"q": queue})


def test_an_empty_store_is_well() -> None:
    health = of(EMPTY)
    assert health.status == "ok"
    assert {each.name for each in health.checks} == {
        *("reachable", "latency_ms", "dead_tasks", "dead_events", "leases_over")
    }


@pytest.mark.parametrize(
    ("count", "waited", "paused", "backlog", "oldest"),
    [
        (10, 60, False, "ok", "ok"),
        (11, 1, False, "warn", "ok"),  # much at once
        (5, 61, False, "ok", "warn"),
        (11, 61, False, "fail", "warn"),  # nobody keeps up
        (11, 61, True, "warn", "warn"),  # somebody stopped it
    ],
)
def test_queues(count: int, waited: float, paused: bool, backlog: str, oldest: str) -> None:
    health = of(ready(count, waited, paused))
    found = check(health, "backlog")
    assert (found.status, found.subject, found.value, found.threshold) == (backlog, "q", count, 10)
    age = check(health, "oldest_ready_s")
    assert (age.status, age.subject, age.value, age.threshold) == (oldest, "q", waited, 60)
    assert ("paused" in found.sentence) == paused
    assert health.status == max(backlog, oldest, key=("ok", "warn", "fail").index)


@pytest.mark.parametrize(
    ("lag", "waited", "status"), [(10, 999, "ok"), (11, 0, "warn"), (11, 61, "fail"), (0, None, "ok")]
)
def test_groups(lag: int, waited: int | None, status: str) -> None:
    oldest = None if waited is None else AT - waited * 1000
    health = of(replace(EMPTY, groups={("s", "g"): replace(GROUP, lag=lag, oldest_at=oldest)}))
    found = check(health, "lag")
    assert (found.status, found.subject, found.value) == (status, "s/g", lag)


def test_what_there_should_be_none_of() -> None:
    queue = replace(QUEUE, states={TaskState.DEAD: 2}, leases_over=3)
    stats = replace(EMPTY, queues={"q": queue}, groups={("s", "g"): replace(GROUP, dead=1)})
    health = of(stats)
    found = {name: check(health, name) for name in ("dead_tasks", "dead_events", "leases_over")}
    assert {name: each.value for name, each in found.items()} == {
        "dead_tasks": 2, "dead_events": 1, "leases_over": 3,
    }  # fmt: skip
    assert {each.status for each in found.values()} == {"warn"}
    assert found["dead_events"].sentence.startswith("1 event is dead")


@pytest.mark.parametrize(("in_use", "waiting", "status"), [(20, 0, "ok"), (20, 3, "warn"), (5, 1, "ok")])
def test_pools(in_use: int, waiting: int, status: str) -> None:
    pool = PoolStats(in_use=in_use, idle=0, most=20, waiting=waiting)
    found = check(of(replace(EMPTY, pools={"server": pool})), "pool_in_use")
    assert (found.status, found.subject, found.value, found.threshold) == (status, "server", in_use, 20)


@pytest.mark.parametrize(
    ("pings", "status"),
    [
        ((0.001, 0.002, 5.0), "ok"),  # one hiccup
        ((0.2, 0.2, 0.001), "warn"),
        ((2.0, 2.0, 2.0), "fail"),
    ],
)
def test_latency(pings: tuple[float, ...], status: str) -> None:
    assert check(of(EMPTY, pings), "latency_ms").status == status


@pytest.mark.parametrize(("trips", "told"), [(19, False), (20, True)])
def test_slow_commits_are_told_if_there_were_enough(trips: int, told: bool) -> None:
    commits = Histogram()
    for _ in range(trips):
        commits.note(0.5)
    health = of(EMPTY, commits=commits)
    assert (health.status == "warn") == told
    assert not told or check(health, "commit_p95_ms").value == pytest.approx(500, rel=0.04)


def test_warnings_of_the_backend_are_checks() -> None:
    health = of(replace(EMPTY, warnings=("the disk is old",)))
    assert health.status == "warn"
    assert check(health, "backend").sentence == "the disk is old"
    health = of(replace(EMPTY, notes=("the disk is old, and mirrored",)))
    assert health.status == "ok"
    assert check(health, "backend").sentence == "the disk is old, and mirrored"


@pytest.mark.parametrize("wrong", [{"latency": 0}, {"backlog": -1}, {"age": "soon"}, {"lag": 1.5}])
def test_thresholds_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Thresholds(**wrong)


async def test_commits_are_told_since_health_was_asked_last() -> None:
    async with open_store("memory://") as hive:
        for number in range(25):
            await hive.records.put("c", "k", number)
        names = [{each.name for each in (await hive.health()).checks} for _ in range(2)]
    assert "commit_p95_ms" in names[0]
    assert "commit_p95_ms" not in names[1]


async def test_a_store_that_does_not_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store("memory://") as hive:

        async def gone(*_: object) -> None:
            raise Unavailable("the server is gone")

        monkeypatch.setattr(hive._driver, "read", gone)
        health = await hive.health()
        assert (health.status, health.stats, type(health.error)) == ("fail", None, Unavailable)
        assert check(health, "reachable").sentence == "the server is gone"

        async def hangs(*_: object) -> None:
            await asyncio.sleep(1)

        monkeypatch.setattr(hive._driver, "read", hangs)
        assert "within 0.05 s" in check(await hive.health(timeout=0.05), "reachable").sentence
        monkeypatch.undo()
    with pytest.raises(Closed):
        await hive.health()


async def test_stats_tell_counts_latencies_and_rates() -> None:
    async with open_store("memory://") as hive:
        await work(hive)
        first = await hive.stats()
        assert first.rates is None
        assert first.records == {"c": 1}
        assert first.operations["put"].calls == 1
        await work(hive)
        await asyncio.sleep(0.05)
        rates = (await hive.stats()).rates
        assert rates is not None
        assert 0.05 <= rates.seconds < 30
        assert rates.queues["q"].enqueued == pytest.approx(2 / rates.seconds, rel=0.1)
        assert rates.queues["q"].ended == pytest.approx(1 / rates.seconds, rel=0.1)
        assert rates.streams == {"s": pytest.approx(3 / rates.seconds, rel=0.1)}
        assert rates.groups == {("s", "g"): pytest.approx(2 / rates.seconds, rel=0.1)}


async def work(hive: Store) -> None:
    """One record, two tasks of which one is completed, three events of which two are handed out."""
    await hive.records.put("c", "k", 1)
    await hive.tasks.enqueue_many("q", [1, 2])
    (lease,) = await hive.tasks.claim("q", worker="w")
    await hive.tasks.complete(lease)
    await hive.events.create_group("s", "g")
    await hive.events.publish_many("s", [1, 2, 3])
    await hive.events.claim("s", "g", limit=2)


async def test_trimming_does_not_look_like_a_standstill() -> None:
    async with open_store("memory://") as hive:
        await hive.events.publish_many("s", list(range(10)))
        await hive.stats()
        await hive.events.publish_many("s", list(range(10)))
        await hive.events.trim("s", keep=1)
        await asyncio.sleep(0.02)
        found = await hive.stats()
        assert found.streams == {"s": 1}
        assert found.rates is not None
        assert found.rates.streams["s"] > 0


@pytest.mark.parametrize(
    ("used", "most", "status", "sentence"),
    [
        (80, 100, "ok", "80 MB of 100 MB are used"),
        (81, 100, "warn", "81 MB of 100 MB are used, more than 80%"),
        (91, 100, "fail", "91 MB of 100 MB are used, more than 80%"),
        (5000, None, "ok", "5,000 MB are used, of any amount"),
    ],
)
def test_memory(used: int, most: int | None, status: str, sentence: str) -> None:
    memory = MemoryStats(used=used * 10**6, most=most and most * 10**6)
    found = check(of(replace(EMPTY, memory={"redis": memory})), "memory_used")
    assert (found.status, found.sentence, found.subject) == (status, sentence, "redis")


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_is_one(share: float) -> None:
    with pytest.raises(InvalidArgument, match="memory is a share"):
        Thresholds(memory=share)
