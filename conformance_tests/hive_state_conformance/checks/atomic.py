"""Area E: a unit of work is committed as a whole or not at all, over all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import Env, raises, together
from hive_state_core.errors import Conflict, InvalidArgument, LeaseLost, LimitExceeded, NotFound
from hive_state_core.features import Facility
from hive_state_core.limits import BATCH_OPS
from hive_state_core.model import TaskState
from hive_state_core.store import Store


async def move(store: Store, amount: int, commit_id: str | None) -> int:
    """A unit with several verbs; the version it was committed at."""
    async with store.atomic(commit_id=commit_id) as unit:
        unit.records.put("c", "k", amount, index={"n": amount})
        unit.records.delete("c", "gone")
    return unit.version


@check("atomic.all_kinds_together", area="E", number=49, needs={Facility.TASKS})
async def all_kinds_together(env: Env) -> None:
    """Contract: a unit finishes a task, writes records and enqueues the next task, all at one version."""
    store = env.store
    await store.tasks.enqueue("q", 1, id="first")
    (lease,) = await store.tasks.claim("q", worker="w")
    await store.records.put("c", "old", 1)
    async with store.atomic() as unit:
        unit.tasks.complete(lease, {"done": True})
        put = unit.records.put("c", "new", 2)
        deleted = unit.records.delete("c", "old")
        following = unit.tasks.enqueue("q", 2, id="second")
    assert (put.result, deleted.result) == (unit.version, True)
    assert (following.result.id, following.result.created) == ("second", True)
    first, second, record = await env.task("first"), await env.task("second"), await env.record("c", "new")
    assert record is not None
    assert record.version == first.version == second.version == unit.version
    assert record.updated_at == first.updated_at == second.created_at
    assert (first.state, second.state) == (TaskState.COMPLETED, TaskState.READY)
    assert await store.records.get("c", "old") is None


@check("atomic.seen_whole", area="E", number=49, tier=Tier.RACE)
async def seen_whole(env: Env) -> None:
    """Contract: whoever looks sees all of a unit or nothing of it."""
    stores = await with_peer(env)
    ended = asyncio.Event()

    async def write() -> None:
        for turn in range(100):
            async with stores[0].atomic() as unit:
                for key in "abcdef":
                    unit.records.put("c", key, turn)
        ended.set()

    async def look() -> None:
        while not ended.is_set():
            values = {record.value async for record in stores[-1].records.list("c")}
            assert len(values) <= 1, f"torn: {values}"
            await asyncio.sleep(0)  # a driver may answer without a pause

    await together(write(), look())


@check("atomic.late_refusal_undoes_all", area="E", number=50, needs={Facility.TASKS})
async def late_refusal_undoes_all(env: Env) -> None:
    """Contract: if the last verb of a unit is refused, the first leave no trace."""
    store = env.store
    await store.tasks.enqueue("q", 1, id="t")
    (lease,) = await store.tasks.claim("q", worker="w")
    await store.tasks.complete(lease)

    async def late() -> None:
        async with store.atomic() as unit:
            unit.records.put("c", "k", 1)
            unit.tasks.enqueue("q", 2, id="new")
            unit.tasks.complete(lease)

    await raises(LeaseLost, late)
    assert await store.records.get("c", "k") is None
    assert await store.tasks.get("new") is None


@check("atomic.missing_parent_undoes_all", area="E", number=50, needs={Facility.TASKS, Facility.DEPENDENCIES})
async def missing_parent_undoes_all(env: Env) -> None:
    """Contract: a task that depends on one that does not exist is NotFound and refuses its whole unit."""

    async def orphan() -> None:
        async with env.store.atomic() as unit:
            unit.records.put("c", "k", 1)
            unit.tasks.enqueue("q", 1, id="orphan", depends_on=["nobody"])

    await raises(NotFound, orphan)
    assert await env.store.records.get("c", "k") is None
    assert await env.store.tasks.get("orphan") is None


@check("atomic.exception_sends_nothing", area="E", number=50)
async def exception_sends_nothing(env: Env) -> None:
    """Contract: an exception inside the block of a unit commits nothing and comes out as it is."""
    failure = ZeroDivisionError("the caller's own")
    raised: Exception | None = None
    try:
        async with env.store.atomic() as unit:
            unit.records.put("c", "k", 1)
            raise failure
    except Exception as error:
        raised = error
    assert raised is failure
    assert await env.store.records.get("c", "k") is None


@check("atomic.one_version", area="E", number=51)
async def one_version(env: Env) -> None:
    """Contract: all that a unit writes carries one version, above every one before."""
    before = await env.store.records.put("c", "before", 0)
    async with env.store.atomic() as unit:
        for key in "zya":
            unit.records.put("c", key, key)
    versions = {record.key: record.version async for record in env.store.records.list("c")}
    assert versions == {"a": unit.version, "before": before, "y": unit.version, "z": unit.version}
    assert unit.version > before


@check("atomic.too_large_refused", area="E", number=52)
async def too_large_refused(env: Env) -> None:
    """Contract: a unit of the most operations is committed, a larger one is a LimitExceeded without
    effect.
    """
    await env.store.records.put_many("full", {f"{n:04}": n for n in range(BATCH_OPS)})
    assert await env.store.records.count("full") == BATCH_OPS
    too_many = {f"{n:04}": n for n in range(BATCH_OPS + 1)}
    await raises(LimitExceeded, env.store.records.put_many("over", too_many))
    assert await env.store.records.count("over") == 0


@check("atomic.commit_id.once", area="E", number=54)
async def commit_id_once(env: Env) -> None:
    """Contract: a unit repeated with its commit id and content has no second effect and gives the first
    results.
    """
    store = env.store
    await store.records.put("c", "gone", 1)
    first = await move(store, 5, "job-1")
    later = await store.records.put("c", "k", 6)
    assert await move(store, 5, "job-1") == first
    record = await store.records.get("c", "k")
    assert record is not None
    assert (record.value, record.version) == (6, later)
    assert await move(store, 5, "job-2") > later


@check("atomic.commit_id.other_content", area="E", number=54)
async def commit_id_other_content(env: Env) -> None:
    """Contract: a commit id that was used for other content is an InvalidArgument and changes nothing."""
    await move(env.store, 5, "job")
    before = await env.record("c", "k")
    await raises(InvalidArgument, move(env.store, 6, "job"))
    assert await env.record("c", "k") == before


@check("atomic.commit_id.refusal_is_not_kept", area="E", number=54)
async def commit_id_refusal_is_not_kept(env: Env) -> None:
    """Contract: a refused unit is not remembered: it may succeed later under the same commit id."""

    async def create() -> int:
        async with env.store.atomic(commit_id="job") as unit:
            unit.records.put("c", "k", 2, if_absent=True)
        return unit.version

    await env.store.records.put("c", "k", 1)
    await raises(Conflict, create)
    await env.store.records.delete("c", "k")
    version = await create()
    assert await create() == version


@check("atomic.commit_id.at_peer", area="E", number=55)
async def commit_id_at_peer(env: Env) -> None:
    """Contract: a commit id holds for every connection to the store."""
    peer = await env.peer()
    first = await move(env.store, 5, "job")
    await env.store.records.put("c", "k", 6)
    assert await move(peer, 5, "job") == first
    record = await peer.records.get("c", "k", fresh=True)
    assert record is not None
    assert record.value == 6


@check("atomic.commit_id.survives_reopen", area="E", number=55)
async def commit_id_survives_reopen(env: Env) -> None:
    """Contract: a commit id is remembered when the Store is opened anew."""
    first = await move(env.store, 5, "job")
    await env.reopen()
    assert await move(env.store, 5, "job") == first


@check("atomic.commit_id.race", area="E", number=54, tier=Tier.RACE)
async def commit_id_race(env: Env) -> None:
    """Contract: many units of one commit id at once have one effect, and all get its results."""
    stores = await with_peer(env)
    versions = await together(*(move(stores[turn % len(stores)], 5, "job") for turn in range(24)))
    assert len(set(versions)) == 1
    record = await env.store.records.get("c", "k")
    assert record is not None
    assert record.version == versions[0]


@check("atomic.opposite_orders", area="E", number=57, tier=Tier.RACE)
async def opposite_orders(env: Env) -> None:
    """Contract: units that touch the same records in opposite orders all come to their end."""
    stores = await with_peer(env)
    keys = [f"k{n}" for n in range(8)]

    async def write(store: Store, mine: int) -> None:
        order = keys if mine % 2 else keys[::-1]
        for _ in range(3):
            async with store.atomic() as unit:
                for key in order:
                    unit.records.put("c", key, mine)

    await together(*(write(stores[turn % len(stores)], turn) for turn in range(16)))
    records = await env.store.records.get_many("c", keys)
    assert len({record and record.version for record in records}) == 1
    assert len({record and record.value for record in records}) == 1


@check("atomic.result_before_end", area="E", number=51)
async def result_before_end(env: Env) -> None:
    """Contract: results of a unit are there after its end only, and it takes no verbs after that."""

    def result() -> int:
        return pending.result

    def version() -> int:
        return unit.version

    def another_verb() -> object:
        return unit.records.put("c", "k2", 1)

    async with env.store.atomic() as unit:
        pending = unit.records.put("c", "k", 1)
        assert refuses(result)
        assert refuses(version)
    assert result() == version()
    assert refuses(another_verb)


def refuses(call: Callable[[], object]) -> bool:
    """Whether it raises InvalidArgument."""
    try:
        call()
    except InvalidArgument:
        return True
    return False
