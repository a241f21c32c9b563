"""Area M: whoever is cancelled leaves an effect that is whole or absent, and a store that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hive_state_conformance.checking import check
from hive_state_conformance.env import PATIENCE, Env, raises, settled
from hive_state_core.errors import Closed, HiveStateError
from hive_state_core.features import Facility
from hive_state_core.spi import Enqueued

Answer = TypeVar("Answer")

TURNS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 25, 50)
"""After so many turns of the event loop a call is cancelled."""


async def cancelled_after(turns: int, call: Coroutine[Any, Any, Answer]) -> Answer | None:
    """The answer, if it was there before the cancellation; anything but that or CancelledError is raised."""
    task = asyncio.create_task(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        async with asyncio.timeout(PATIENCE):
            return await task
    except asyncio.CancelledError:
        return None


@check("cancel.write_is_whole_or_absent", area="M", number=138)
async def write_is_whole_or_absent(env: Env) -> None:
    """Contract: a unit that is cancelled at any point is applied as a whole or not at all."""

    async def write(n: int) -> int:
        async with env.store.atomic() as unit:
            unit.records.put("c", f"{n:02}a", n)
            unit.records.put("c", f"{n:02}b", n)
        return unit.version

    for n in TURNS:
        version = await cancelled_after(n, write(n))
        pair = await env.store.records.get_many("c", [f"{n:02}a", f"{n:02}b"])
        assert (pair[0] is None) == (pair[1] is None), f"half applied when cancelled after {n} turns"
        assert version is None or (pair[0] is not None and pair[0].version == version)
        assert await env.store.records.put("own", "k", n) > (version or 0)


@check("cancel.answers_stay_with_their_callers", area="M", number=138)
async def answers_stay_with_their_callers(env: Env) -> None:
    """Contract: after a cancelled call the next one gets its own answer, of reads and writes alike."""
    await env.store.records.put_many("c", {f"{n}": n for n in TURNS})
    for n in TURNS:
        await cancelled_after(n, env.store.records.get("c", f"{n}"))
        await cancelled_after(n, env.store.records.count("c"))
        calls = [env.store.records.get("c", f"{other}") for other in TURNS]
        answers = await settled(*calls)
        values = [
            None if isinstance(found, HiveStateError) or found is None else found.value for found in answers
        ]
        assert values == list(TURNS)


@check("cancel.neighbours_go_on", area="M", number=139)
async def neighbours_go_on(env: Env) -> None:
    """Contract: calls that travel together with a cancelled one are answered as if it were not there."""
    for n in TURNS[:8]:
        keys = [f"{n}-{k}" for k in range(6)]
        neighbours = [asyncio.ensure_future(env.store.records.put("c", key, n)) for key in keys]
        await cancelled_after(n, env.store.records.put("c", f"{n}-cancelled", n))
        async with asyncio.timeout(PATIENCE):
            versions = await asyncio.gather(*neighbours)
        found = await env.store.records.get_many("c", keys)
        assert [record and record.version for record in found] == versions


@check("cancel.claim_is_given_back", area="M", number=140, needs={Facility.TASKS})
async def claim_is_given_back(env: Env) -> None:
    """Contract: tasks of a cancelled claim are not stuck until their lease ends, and lost no attempt."""
    tasks = env.store.tasks
    made = [(await tasks.enqueue("q", n)).id for n in range(len(TURNS))]
    kept: list[str] = []
    for n in TURNS:
        leases = await cancelled_after(n, tasks.claim("q", worker="w", lease=3600))
        kept += [lease.id for lease in leases or ()]
    got: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(got) < len(made) - len(kept):
            leases = await tasks.claim("q", worker="w", lease=3600, limit=100)
            assert {lease.attempt for lease in leases} <= {1}
            got += [lease.id for lease in leases]
            await asyncio.sleep(0.005)
    assert sorted(got + kept) == sorted(made)


@check("cancel.retry_with_commit_id", area="M", number=141)
async def retry_with_commit_id(env: Env) -> None:
    """Contract: a cancelled unit that is tried again under its commit id is applied once."""

    async def create(n: int) -> int:
        async with env.store.atomic(commit_id=f"job-{n}") as unit:
            unit.records.put("c", f"{n}", n)
        return unit.version

    for n in TURNS:
        await cancelled_after(n, create(n))
        version = await create(n)
        record = await env.store.records.get("c", f"{n}")
        assert record is not None
        assert record.version == record.created_version == version


@check("cancel.timeout_of_nothing", area="M", number=142)
async def timeout_of_nothing(env: Env) -> None:
    """Contract: a time-out that is over already ends as TimeoutError, without half an effect."""
    for n in range(5):
        try:
            async with asyncio.timeout(0):
                await env.store.records.put_many("c", {f"{n}a": n, f"{n}b": n})
        except TimeoutError:
            pass
        pair = await env.store.records.get_many("c", [f"{n}a", f"{n}b"])
        assert (pair[0] is None) == (pair[1] is None)
    assert await env.store.records.put("c", "after", 1) > 0


@check("cancel.is_never_converted", area="M", number=143)
async def is_never_converted(env: Env) -> None:
    """Contract: CancelledError comes out as it is: a TaskGroup whose member fails ends with that failure
    alone.
    """

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def write(n: int) -> None:
        for turn in range(1000):
            await env.store.records.put("c", f"{n}", turn)

    failed: BaseExceptionGroup | None = None
    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for n in range(8):
                group.create_task(write(n))
            group.create_task(fail())
    except BaseExceptionGroup as error:
        failed = error
    assert failed is not None
    assert [type(error) for error in failed.exceptions] == [ZeroDivisionError]
    assert await env.store.records.put("c", "after", 1) > 0


@check("close.ends_what_is_under_way", area="M", number=147)
async def close_ends_what_is_under_way(env: Env) -> None:
    """Contract: close lets calls under way come to their end or raise Closed, and may be called twice."""
    store = await env.elsewhere("-closing")
    writes = [asyncio.ensure_future(store.records.put("c", f"{n}", n)) for n in range(40)]
    reads = [asyncio.ensure_future(store.records.get("c", f"{n}")) for n in range(10)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await store.close()
        answers = await asyncio.gather(*writes, *reads, return_exceptions=True)
        await store.close()
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(error, Closed) for error in errors), f"{errors}"


@check("close.then_closed", area="M", number=147, needs={Facility.TASKS})
async def close_then_closed(env: Env) -> None:
    """Contract: every call on a closed Store raises Closed."""
    store = await env.elsewhere("-closed")
    await store.tasks.enqueue("q", 1)
    (lease,) = await store.tasks.claim("q", worker="w")
    await store.close()
    await raises(Closed, store.records.get("c", "k"))
    await raises(Closed, store.records.put("c", "k", 1))
    await raises(Closed, store.records.count("c"))
    await raises(Closed, store.tasks.enqueue("q", 1))
    await raises(Closed, store.tasks.claim("q", worker="w"))
    await raises(Closed, store.tasks.complete(lease))
    await raises(Closed, store.stats)
    assert await env.store.tasks.enqueue("q", 1, id="other") == Enqueued("other", True)
