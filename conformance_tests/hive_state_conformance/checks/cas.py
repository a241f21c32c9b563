"""Area D: compare and set, the base of everything that several agents share."""

from __future__ import annotations

from typing import cast

from hive_state_conformance.checking import NotRun, Tier, check
from hive_state_conformance.env import Env, raises, settled, together
from hive_state_core.errors import AlreadyExists, Conflict, InvalidArgument
from hive_state_core.features import Facility
from hive_state_core.model import RecordRef
from hive_state_core.spi import Batch, Put
from hive_state_core.store import Store


async def with_peer(env: Env) -> list[Store]:
    """The store, and a second connection to it where there can be one."""
    try:
        return [env.store, await env.peer()]
    except NotRun:
        return [env.store]


@check("cas.create_race", area="D", number=36, tier=Tier.RACE)
async def create_race(env: Env) -> None:
    """Contract: of many that create one record at once exactly one wins, the others get AlreadyExists."""
    stores = await with_peer(env)
    racers = [stores[turn % len(stores)].records.put("c", "k", turn, if_absent=True) for turn in range(64)]
    answers = await settled(*racers)
    winners = [turn for turn, answer in enumerate(answers) if isinstance(answer, int)]
    assert len(winners) == 1
    assert sum(isinstance(answer, AlreadyExists) for answer in answers) == 63
    record = await env.store.records.get("c", "k")
    assert record is not None
    assert (record.value, record.version) == (winners[0], answers[winners[0]])


@check("cas.stale_refused", area="D", number=37)
async def stale_refused(env: Env) -> None:
    """Contract: put with a stale version is a Conflict and leaves value, version, TTL and index untouched."""
    records = env.store.records
    first = await records.put("c", "k", 1, ttl=3600, index={"x": 1})
    second = await records.put("c", "k", 2, ttl=7200, index={"x": 2}, if_version=first)
    assert second > first
    before = await env.record("c", "k")
    await raises(Conflict, records.put("c", "k", 3, if_version=first, index={"x": 3}))
    await raises(Conflict, records.put("c", "k", 3, if_version=second + 1))
    error = await raises(Conflict, records.put("c", "k", 3, if_absent=True))
    assert isinstance(error, AlreadyExists)
    assert await env.record("c", "k") == before


@check("cas.counter_race", area="D", number=38, tier=Tier.RACE)
async def counter_race(env: Env) -> None:
    """Contract: a counter that many raise by compare-and-set loops ends at the number of raises."""
    stores = await with_peer(env)
    await env.store.records.put("c", "counter", 0)

    async def raise_it(store: Store) -> None:
        for _ in range(6):
            while True:
                record = await store.records.get("c", "counter")
                assert record is not None
                try:
                    await store.records.put("c", "counter", record.value + 1, if_version=record.version)
                    break
                except Conflict:
                    continue

    await together(*(raise_it(stores[turn % len(stores)]) for turn in range(10)))
    record = await env.store.records.get("c", "counter", fresh=True)  # another store may have been the last
    assert record is not None
    assert record.value == 60


@check("cas.versions_never_repeat", area="D", number=39)
async def versions_never_repeat(env: Env) -> None:
    """Contract: versions of a record grow with every write, through delete and re-creation too."""
    records = env.store.records
    seen: list[int] = []
    for turn in range(3):
        seen += [await records.put("c", "k", turn), await records.put("c", "k", turn)]
        assert await records.delete("c", "k", if_version=seen[-1]) is True
    other = await records.put("c", "other", 0)
    assert seen == sorted(set(seen))
    assert other > seen[-1]
    again = await records.put("c", "k", 9, if_absent=True)
    for stale in seen:
        await raises(Conflict, records.put("c", "k", 10, if_version=stale))
    assert again > seen[-1]


@check("cas.stale_delete_refused", area="D", number=40)
async def stale_delete_refused(env: Env) -> None:
    """Contract: delete with a stale version is a Conflict and deletes nothing."""
    records = env.store.records
    first = await records.put("c", "k", 1)
    second = await records.put("c", "k", 2)
    await raises(Conflict, records.delete("c", "k", if_version=first))
    record = await records.get("c", "k")
    assert record is not None
    assert record.version == second
    assert await records.delete("c", "k", if_version=second) is True


@check("cas.version_of_absent", area="D", number=41)
async def version_of_absent(env: Env) -> None:
    """Contract: a write that expects a version of an absent record is a Conflict and creates nothing."""
    records = env.store.records
    error = await raises(Conflict, records.put("c", "k", 1, if_version=7))
    assert not isinstance(error, AlreadyExists)
    await raises(Conflict, records.delete("c", "k", if_version=7))
    assert await records.get("c", "k") is None


@check("cas.expired_is_absent", area="D", number=42)
async def expired_is_absent(env: Env) -> None:
    """Contract: to compare-and-set an expired record is an absent one."""
    records = env.store.records
    version = await records.put("c", "k", 1, ttl=0.02)
    image = await env.record("c", "k")
    await env.until(image.expires_at if image and image.expires_at else await env.now())
    error = cast(Conflict, await raises(Conflict, records.put("c", "k", 2, if_version=version)))
    assert (error.expected, error.actual) == (version, 0)
    await raises(Conflict, records.delete("c", "k", if_version=version))
    async with env.store.atomic() as unit:
        unit.records.expect("c", "k", version=None)
        unit.records.put("c", "witness", 1)
    assert await records.put("c", "k", 3, if_absent=True) > version


@check("cas.same_bytes_new_version", area="D", number=43)
async def same_bytes_new_version(env: Env) -> None:
    """Contract: writing the same value again gives the record a new version."""
    first = await env.store.records.put("c", "k", {"a": 1})
    second = await env.store.records.put("c", "k", {"a": 1})
    assert second > first
    await raises(Conflict, env.store.records.put("c", "k", 2, if_version=first))


@check("cas.conflict_says_what", area="D", number=44)
async def conflict_says_what(env: Env) -> None:
    """Contract: a Conflict names the record, both versions and the place of the check in its unit."""
    version = await env.store.records.put("c", "there", 1)

    async def unit_with_stale_check() -> None:
        async with env.store.atomic() as unit:
            unit.records.expect("c", "there", version=version)
            unit.records.expect("c", "absent", version=None)
            unit.records.put("c", "there", 2, if_version=version + 5)

    error = cast(Conflict, await raises(Conflict, unit_with_stale_check))
    assert (error.expected, error.actual, error.index) == (version + 5, version, 2)
    assert "'there'" in error.key
    assert "'c'" in error.key


@check("cas.malformed_versions", area="D", number=45)
async def malformed_versions(env: Env) -> None:
    """Contract: what cannot be a version is an InvalidArgument."""
    await env.store.records.put("c", "k", 1)
    for unfit in (0, -1, True, 1.0, "1", 2**53, 2**63):
        await raises(InvalidArgument, env.store.records.put("c", "k", 2, if_version=cast(int, unfit)))
        await raises(InvalidArgument, env.store.records.delete("c", "k", if_version=cast(int, unfit)))
    await raises(InvalidArgument, env.store.records.put("c", "k", 2, if_version=1, if_absent=True))


@check("cas.touch_is_a_write", area="D", number=46)
async def touch_is_a_write(env: Env) -> None:
    """Contract: touch gives the record a new version and leaves value, index and creation alone."""
    version = await env.store.records.put("c", "k", {"a": 1}, index={"x": 1})
    before = await env.record("c", "k")
    assert await env.store.records.touch("c", "k", ttl=3600) is True
    after = await env.record("c", "k")
    assert before is not None
    assert after is not None
    assert after.version > version
    assert (after.value, after.index, after.created_version) == (before.value, before.index, version)
    await raises(Conflict, env.store.records.put("c", "k", 2, if_version=version))


@check("cas.refused_batch_leaves_nothing", area="D", number=47)
async def refused_batch_leaves_nothing(env: Env) -> None:
    """Contract: if one check of a unit fails, none of its writes and deletes is done."""
    records = env.store.records
    await records.put_many("c", {"old": 1, "checked": 1})
    before = [record.version async for record in records.list("c")]

    async def refused() -> None:
        async with env.store.atomic() as unit:
            unit.records.put("c", "new", 1)
            unit.records.delete("c", "old")
            unit.records.touch("c", "checked", ttl=60)
            unit.records.expect("c", "checked", version=1)

    await raises(Conflict, refused)
    assert [record.version async for record in records.list("c")] == before
    assert await records.get("c", "new") is None


@check("cas.refused_batch_enqueues_nothing", area="D", number=47, needs={Facility.TASKS})
async def refused_batch_enqueues_nothing(env: Env) -> None:
    """Contract: if one check of a unit fails, none of its tasks is enqueued."""
    await env.store.records.put("c", "k", 1)

    async def refused() -> None:
        async with env.store.atomic() as unit:
            unit.tasks.enqueue("q", {"n": 1}, id="t", dedupe_key="once")
            unit.records.put("c", "k", 2, if_absent=True)

    await raises(Conflict, refused)
    assert await env.store.tasks.get("t") is None
    assert await env.store.tasks.claim("q", worker="w") == []
    assert (await env.store.tasks.enqueue("q", 1, dedupe_key="once")).created is True


@check("cas.no_write_skew", area="D", number=48, tier=Tier.RACE)
async def no_write_skew(env: Env) -> None:
    """Contract: of two units that each check what the other writes at most one commits."""
    stores = await with_peer(env)
    for turn in range(15):
        left, right = RecordRef("c", f"left{turn}"), RecordRef("c", f"right{turn}")

        async def take(store: Store, mine: RecordRef, other: RecordRef) -> bool:
            try:
                async with store.atomic() as unit:
                    unit.records.expect(other.collection, other.key, version=None)
                    unit.records.put(mine.collection, mine.key, 1)
            except Conflict:
                return False
            return True

        won = await together(take(stores[0], left, right), take(stores[-1], right, left))
        assert won != [True, True], "both committed"
        assert any(won), "neither committed"
        put = Batch((Put(left, b"2"), Put(right, b"2")))
        await env.commit(put)
