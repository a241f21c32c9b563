"""A trip of one plain call, or of calls that are alike, is done by the commands themselves, and leaves what
it leaves in company."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from hive_state_core import Store, open_store
from hive_state_core.errors import Internal
from hive_state_core.model import QueueRef, RecordRef, StreamRef, TaskImage, TaskRef
from hive_state_core.spi import (
    Append,
    Batch,
    ClaimedTasks,
    ClaimTasks,
    Complete,
    Delete,
    DropStream,
    Enqueue,
    Put,
    Reply,
    SetPaused,
    VersionIs,
)
from hive_state_redis import caller, driver, library
from hive_state_redis.caller import Caller
from hive_state_redis.library import Library

NOBODY = Batch((Delete(RecordRef("no", "such")),))
RECORD, STREAM = RecordRef("c", "k"), StreamRef("s")


def changed(made: Library, old: str, new: str) -> Library:
    """A library in which this stands in place of the old text."""
    text = made.source.partition("\n")[2].partition("\n")[2]
    assert text.count(old) == 1
    return library.named(text.replace(old, new))


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    still = changed(library.library(), 'call("TIME")', "{1700000000, 0}")
    monkeypatch.setattr(caller, "library", lambda: still)


class Sent:
    """The trips of one store: as they are, or each with another call that does nothing."""

    def __init__(self, hive: Store, company: bool) -> None:
        self.hive = hive
        self.company = company
        self.told: list[Any] = []

    async def commit(self, *batches: Batch) -> None:
        sent = [*batches, NOBODY] if self.company else batches
        await self._note(await self.hive._driver.commit(sent, self._trip_id), len(batches))

    async def claim(self, *workers: str, queue: str = "q", limit: int = 1) -> Sequence[TaskImage]:
        requests = [ClaimTasks(queue, worker, 60_000, limit) for worker in workers]
        if self.company:
            requests.append(ClaimTasks("no such", "w", 1000))
        reply = await self.hive._driver.claim(requests, self._trip_id)
        await self._note(reply, len(workers))
        results = cast("Sequence[ClaimedTasks]", reply.results)
        return [task for claimed in results for task in claimed.tasks]

    @property
    def _trip_id(self) -> str:
        return f"trip-{len(self.told)}"

    async def _note(self, reply: Reply[Any], calls: int) -> None:
        """What is kept of it says the same, if it changed anything."""
        kept = await self.hive._driver.outcome(self._trip_id)
        assert kept is None or kept == reply
        self.told.append((kept is None, reply.at, *reply.results[:calls]))


async def life(sent: Sent) -> None:
    """Each call as plain as can be, and with what keeps it from that."""
    for value, version in ((b"new", None), (b"\0", None), (b"refused", 1), (b"expected", (1 << 43) + 2)):
        checks = () if version is None else (VersionIs(RECORD, version),)
        await sent.commit(Batch((Put(RECORD, value, raw=value == b"\0"),), checks))
    await sent.commit(Batch((Put(RECORD, b"indexed", index=(("f", 1),)),)))
    await sent.commit(Batch((Put(RECORD, b"ends", index=(("f", 1),), ttl=60_000),)))
    for n in range(4):
        await sent.commit(Batch((Enqueue(TaskRef(f"t{n}"), "q", b"%d" % n, priority=9 - n),)))
    await sent.commit(Batch((Enqueue(TaskRef("t0"), "q", b"is there"),)))
    await sent.commit(Batch((Enqueue(TaskRef("only"), "other", b"only"),)))
    await sent.commit(Batch((Enqueue(TaskRef("later"), "q", b"later", delay=60_000),)))
    await sent.commit(Batch((Enqueue(TaskRef("child"), "q", b"child", depends_on=("t1",)),)))
    tasks = [task for limit in (1, 1, 2, 1) for task in await sent.claim("w" * 99 * limit, limit=limit)]
    assert [task.ref.id for task in tasks] == ["t3", "t2", "t1", "t0"]
    for task, result in zip(tasks, (None, b"result", b"frees the child", None), strict=True):
        await sent.commit(Batch((Complete(task.ref, task.token, result),)))
    await sent.commit(Batch((Complete(tasks[0].ref, tasks[0].token),)))  # again: refused
    await sent.commit(Batch((Enqueue(TaskRef("next"), "q", b"next"),)))
    await sent.commit(Batch((SetPaused(QueueRef("q"), True),)))
    assert not await sent.claim("w")
    for body in (b"first", b"second", b"\0"):
        await sent.commit(Batch((Append(STREAM, body, raw=body == b"\0"),)))
    await sent.commit(Batch((DropStream(STREAM),)))
    for body in (b"anew", b"goes on"):
        await sent.commit(Batch((Append(STREAM, body),)))
    answers = [outcome.results for _, _, outcome in sent.told[-6:]]
    assert answers == [(1,), (2,), (3,), (True,), (4,), (5,)]


async def lies_in(calls: Caller) -> dict[bytes, Any]:
    """What all keys hold, but for the names of the store and the trips."""
    found: dict[bytes, Any] = {}
    for key in await calls.link.call("KEYS", calls.keys.pattern):
        name, kind = key.removeprefix(calls.keys.prefix), await calls.link.call("TYPE", key)
        if name[:2] == b"c\0":
            continue
        elif kind == b"string":
            found[name] = await calls.link.call("GET", key)
        elif kind == b"hash":
            flat = await calls.link.call("HGETALL", key)
            found[name] = dict(zip(flat[::2], flat[1::2], strict=True))
        elif kind == b"stream":
            found[name] = await calls.link.call("XRANGE", key, "-", "+")
        else:
            reading = "SMEMBERS" if kind == b"set" else "ZRANGE"
            rest = () if kind == b"set" else (0, -1, "WITHSCORES")
            found[name] = sorted(await calls.link.call(reading, key, *rest))
    found[b"h"] = found[b"h"].partition(b"open")[2]
    return found


def puts(value: bytes, versions: Sequence[int | None] = (None, None), **rest: Any) -> list[Batch]:
    """Of a few records."""
    found = []
    for n, version in enumerate(versions):
        put = Put(RecordRef("c", f"k{n}"), value + b" %d" % n, **rest)
        found.append(Batch((put,), () if version is None else (VersionIs(put.ref, version),)))
    return found


def enqueues(numbers: range, queue: str = "q", payload: bytes = b"payload", **rest: Any) -> list[Batch]:
    return [Batch((Enqueue(TaskRef(f"t{n}"), queue, payload + b" %d" % n, **rest),)) for n in numbers]


def completes(claimed: Sequence[TaskImage], result: bytes | None = None, **rest: Any) -> list[Batch]:
    return [Batch((Complete(task.ref, task.token, result, **rest),)) for task in claimed]


async def crowd(sent: Sent) -> None:
    """Calls that are alike, as plain as can be, and with what keeps a run from that."""
    for value, expected in ((b"new", None), (b"over", None), (b"right", 2), (b"wrong", 2), (b"again", 3)):
        version = expected and (1 << 43) + expected
        await sent.commit(*puts(value, (version, version), raw=value == b"over"))
    await sent.commit(
        *puts(b"one", (None, (1 << 43) + 4))
    )  # one expects nothing, the other what is so no more
    await sent.commit(*puts(b"ends", ttl=60_000))
    await sent.commit(*puts(b"ends no more"))
    await sent.commit(*puts(b"found", index=(("f", 1),)))
    await sent.commit(*puts(b"found no more"))
    await sent.commit(*puts(b"one record")[:1] * 2)
    await sent.commit(*enqueues(range(4)))
    await sent.commit(*enqueues(range(4, 8), priority=1, raw=True))
    await sent.commit(*enqueues(range(7, 10)))  # the first is there
    await sent.commit(*enqueues(range(10, 12), delay=60_000))
    await sent.commit(*enqueues(range(12, 14), depends_on=("t4",)))
    await sent.commit(*enqueues(range(14, 16), dedupe_key="one"))
    await sent.commit(*enqueues(range(16, 18), requires=("gpu",)))
    await sent.commit(*enqueues(range(18, 20), queue="other"), *enqueues(range(20, 22)))
    claimed = [*await sent.claim("one", "two"), *await sent.claim("three", "w" * 99)]
    assert [task.ref.id for task in claimed] == ["t4", "t5", "t6", "t7"]
    others = await sent.claim("one", "two", queue="other")  # which is empty then
    await sent.commit(*completes(claimed[1:3]))
    await sent.commit(*completes([claimed[0], claimed[3]]))  # the children of the first are ready now
    await sent.commit(*completes(claimed[2:]))  # again: refused
    mixed = [*await sent.claim("one"), *others]
    await sent.commit(*completes(mixed[:2]))  # of two queues
    await sent.commit(*completes([*await sent.claim("one", "two"), *mixed[2:]], b"result", raw=True))
    await sent.commit(*completes(await sent.claim("one", "two"), b"result"))
    await sent.commit(
        *enqueues(range(30, 32), payload=b"small"), *enqueues(range(32, 36), payload=b"x" * 400)
    )
    for _ in range(3):  # of which not all fit a reply
        await sent.commit(*completes(await sent.claim("one", "two", "three", "four")))


@pytest.mark.parametrize("lives", [life, crowd])
async def test_plain_calls_leave_what_they_leave_in_company(
    url: str, monkeypatch: pytest.MonkeyPatch, lives: Callable[[Sent], Awaitable[None]]
) -> None:
    monkeypatch.setattr(driver, "REPLY_BYTES", 1000)
    seen = []
    for company in (False, True):
        async with open_store(url, namespace=f"company-{company}", janitor=False) as hive:
            await lives(sent := Sent(hive, company))
            its: Any = hive._driver
            seen.append((sent.told, await lies_in(its._caller)))
    (alone, left), (beside, left_beside) = seen
    assert alone == beside
    assert left == left_beside


async def test_plain_calls_that_are_alike_go_the_short_way(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way is taken from them, and nobody misses it."""
    async with open_store(url, namespace="short", janitor=False) as hive:
        sent = Sent(hive, company=False)
        await sent.commit(*puts(b"new"))
        await sent.claim("nobody")
        its: Any = hive._driver
        no_long_way = 'if traits.trip then error("the long way") end reply = run()'
        monkeypatch.setattr(its._caller, "_library", changed(caller.library(), "reply = run()", no_long_way))
        with pytest.raises(Internal):
            await sent.commit(*puts(b"ends", ttl=60_000))
        await sent.commit(*puts(b"over"))
        await sent.commit(*puts(b"right", [outcome.version for outcome in sent.told[-1][2:]]))
        await sent.commit(*enqueues(range(5)))
        await sent.commit(*completes(await sent.claim("one", "two")))
        await sent.commit(*completes(await sent.claim("three", "four"), b"result"))
