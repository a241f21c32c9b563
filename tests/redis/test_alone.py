"""A trip of one plain call is done by the commands themselves, and leaves what it leaves in company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from hive_state_core import Store, open_store
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
from hive_state_redis import caller, library
from hive_state_redis.caller import Caller

NOBODY = Batch((Delete(RecordRef("no", "such")),))
RECORD, STREAM = RecordRef("c", "k"), StreamRef("s")


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = library.library().source.partition("\n")[2].partition("\n")[2]
    assert text.count('call("TIME")') == 1
    still = library.named(text.replace('call("TIME")', "{1700000000, 0}"))
    monkeypatch.setattr(caller, "library", lambda: still)


class Sent:
    """The trips of one store, each of one call, or with another that does nothing."""

    def __init__(self, hive: Store, company: bool) -> None:
        self.hive = hive
        self.company = company
        self.told: list[Any] = []

    async def commit(self, batch: Batch) -> None:
        batches = [batch, NOBODY] if self.company else [batch]
        await self._note(await self.hive._driver.commit(batches, self._trip_id))

    async def claim(self, queue: str = "q", limit: int = 1, worker: str = "w") -> Sequence[TaskImage]:
        requests = [ClaimTasks(queue, worker, 60_000, limit)]
        if self.company:
            requests.append(ClaimTasks("no such", "w", 1000))
        reply = await self.hive._driver.claim(requests, self._trip_id)
        await self._note(reply)
        return cast(ClaimedTasks, reply.results[0]).tasks

    @property
    def _trip_id(self) -> str:
        return f"trip-{len(self.told)}"

    async def _note(self, reply: Reply[Any]) -> None:
        """What is kept of it says the same, if it changed anything."""
        kept = await self.hive._driver.outcome(self._trip_id)
        assert kept is None or kept == reply
        self.told.append((kept is None, reply.at, reply.results[0]))


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
    tasks = [
        task for limit in (1, 1, 2, 1) for task in await sent.claim(limit=limit, worker="w" * 99 * limit)
    ]
    assert [task.ref.id for task in tasks] == ["t3", "t2", "t1", "t0"]
    for task, result in zip(tasks, (None, b"result", b"frees the child", None), strict=True):
        await sent.commit(Batch((Complete(task.ref, task.token, result),)))
    await sent.commit(Batch((Complete(tasks[0].ref, tasks[0].token),)))  # again: refused
    await sent.commit(Batch((Enqueue(TaskRef("next"), "q", b"next"),)))
    await sent.commit(Batch((SetPaused(QueueRef("q"), True),)))
    assert not await sent.claim()
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


async def test_a_lone_call_leaves_what_it_leaves_in_company(url: str) -> None:
    seen = []
    for company in (False, True):
        async with open_store(url, namespace=f"company-{company}", janitor=False) as hive:
            await life(sent := Sent(hive, company))
            driver: Any = hive._driver
            seen.append((sent.told, await lies_in(driver._caller)))
    (alone, left), (beside, left_beside) = seen
    assert alone == beside
    assert left == left_beside
