"""Area A: what every user of records relies on."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.env import Env, raises, together
from hive_state_core.errors import InvalidArgument
from hive_state_core.features import Consistency
from hive_state_core.store import Store


@check("records.missing_is_no_error", area="A", number=1)
async def missing_is_no_error(env: Env) -> None:
    """Contract: reading an absent record gives None, deleting or touching it gives False."""
    records = env.store.records
    assert await records.get("c", "absent") is None
    assert await records.get_many("c", ["absent"]) == [None]
    assert await records.delete("c", "absent") is False
    assert await records.touch("c", "absent", ttl=60) is False
    assert await records.get("c", "absent") is None
    assert await records.count("c") == 0


@check("records.put.round_trip", area="A", number=2)
async def put_round_trip(env: Env) -> None:
    """Contract: a record comes back with its value, the version that put returned, and its instants."""
    records = env.store.records
    version = await records.put("c", "k", {"a": [1, "x", None]})
    record = await records.get("c", "k")
    assert record is not None
    assert (record.collection, record.key, record.value) == ("c", "k", {"a": [1, "x", None]})
    assert record.version == record.created_version == version
    assert record.created_at == record.updated_at
    assert record.created_at.tzinfo is UTC
    assert record.expires_at is None


@check("records.overwrite.keeps_creation", area="A", number=2)
async def overwrite_keeps_creation(env: Env) -> None:
    """Contract: overwriting keeps created_at and created_version; deleting and writing again starts anew."""
    records = env.store.records
    first = await records.put("c", "k", 1)
    created = await records.get("c", "k")
    assert created is not None
    await env.until(await env.now())
    second = await records.put("c", "k", 2)
    record = await records.get("c", "k")
    assert record is not None
    assert (record.version, record.created_version) == (second, first)
    assert record.created_at == created.created_at < record.updated_at
    assert await records.delete("c", "k") is True
    third = await records.put("c", "k", 3)
    record = await records.get("c", "k")
    assert record is not None
    assert record.created_version == third
    assert record.created_at == record.updated_at > created.created_at


@check("records.delete.then_absent", area="A", number=1)
async def delete_then_absent(env: Env) -> None:
    """Contract: a deleted record is absent in every way of reading, and can be created anew."""
    records = env.store.records
    await records.put_many("c", {"gone": 1, "stays": 2})
    await records.put("c", "gone", 3, index={"x": 1})
    assert await records.delete("c", "gone") is True
    assert await records.get("c", "gone") is None
    assert (await records.get_many("c", ["gone", "stays"]))[0] is None
    assert [record.key async for record in records.list("c")] == ["stays"]
    assert [record.key async for record in records.list("c", where={"x": 1})] == []
    assert await records.count("c") == 1
    assert await records.delete("c", "gone") is False
    assert await records.touch("c", "gone", ttl=60) is False
    assert await records.put("c", "gone", 4, if_absent=True) > 0


@check("records.get_many.order_doubles_holes", area="A", number=3)
async def get_many_order_doubles_holes(env: Env) -> None:
    """Contract: get_many answers in the order of the keys, with doubles and holes kept."""
    records = env.store.records
    await records.put_many("c", {"a": 1, "b": 2, "d": 4})
    found = await records.get_many("c", ["d", "a", "hole", "a", "b", "d"])
    values = [record and record.value for record in found]
    assert values == [4, 1, None, 1, 2, 4]


@check("records.get_many.one_snapshot", area="A", number=4, tier=Tier.RACE)
async def get_many_one_snapshot(env: Env) -> None:
    """Contract: get_many reads one snapshot, never half of a unit that is committed meanwhile."""
    records = env.store.records
    await records.put_many("c", {"a": 0, "z": 0})
    ended = asyncio.Event()

    async def swap() -> None:
        for turn in range(150):
            await records.put_many("c", {"z": turn, "a": turn})
        ended.set()

    async def read() -> None:
        while not ended.is_set():
            first, last = await records.get_many("c", ["a", "z"])
            assert first is not None
            assert last is not None
            assert first.value == last.value, f"torn: {first.value} and {last.value}"
            await asyncio.sleep(0)  # a driver may answer without a pause

    await together(swap(), read(), read())


@check("records.empty_calls", area="A", number=5)
async def empty_calls(env: Env) -> None:
    """Contract: reading, writing or deleting nothing at all succeeds and writes nothing."""
    records = env.store.records
    assert await records.get_many("c", []) == []
    assert await records.put_many("c", {}) is None
    assert await records.delete_many("c", []) == 0
    async with env.store.atomic():
        pass
    assert (await env.store.stats()).records == {}


@check("records.collections_isolated", area="A", number=6)
async def collections_isolated(env: Env) -> None:
    """Contract: the same key in two collections is two records, and names are literal."""
    records = env.store.records
    names = ["c", "C", "c:", "c:d", "c%", "c_", "c\t", "é"]
    for name in names:
        await records.put(name, "k", name)
    for name in names:
        record = await records.get(name, "k")
        assert record is not None
        assert record.value == name
        assert [found.value async for found in records.list(name)] == [name]
    assert await records.delete("c", "k") is True
    assert await records.get("c:", "k") is not None
    assert await records.count("c") == 0


@check("records.values_are_copies", area="A", number=7)
async def values_are_copies(env: Env) -> None:
    """Contract: changing a value after put, or one that was read, changes nothing in the store."""
    records = env.store.records
    given: dict[str, list[int]] = {"list": [1]}
    await records.put("c", "k", given)
    given["list"].append(2)
    read = await records.get("c", "k")
    assert read is not None
    assert read.value == {"list": [1]}
    read.value["list"].append(3)
    again = await records.get("c", "k")
    assert again is not None
    assert again.value == {"list": [1]}


@check("records.put.replaces_wholly", area="A", number=8)
async def put_replaces_wholly(env: Env) -> None:
    """Contract: put replaces value and index entries as a whole, it merges nothing."""
    records = env.store.records
    await records.put("c", "k", {"a": 1, "b": 2}, index={"x": 1, "y": 2})
    await records.put("c", "k", {"b": 3}, index={"y": 4})
    record = await records.get("c", "k")
    assert record is not None
    assert record.value == {"b": 3}
    assert record.index == (("y", 4),)


@check("records.put_many.all_or_nothing", area="A", number=9)
async def put_many_all_or_nothing(env: Env) -> None:
    """Contract: if one value of put_many cannot be stored, none is."""
    records = env.store.records
    await raises(InvalidArgument, records.put_many("c", {"a": 1, "b": {1, 2}, "d": 3}))
    assert await records.count("c") == 0
    version = await records.put_many("c", {"a": 1, "b": 2})
    found = await records.get_many("c", ["a", "b"])
    assert [record and record.version for record in found] == [version, version]


@check("records.unit.one_verb_per_record", area="A", number=10)
async def unit_one_verb_per_record(env: Env) -> None:
    """Contract: a record named by two verbs of one unit is an InvalidArgument, and nothing is written."""

    async def twice() -> None:
        async with env.store.atomic() as unit:
            unit.records.put("c", "k", 1)
            unit.records.delete("c", "k")

    await raises(InvalidArgument, twice)
    assert await env.store.records.get("c", "k") is None


@check("records.delete_many.counts", area="A", number=11)
async def delete_many_counts(env: Env) -> None:
    """Contract: delete_many counts what was there, each key once."""
    records = env.store.records
    await records.put_many("c", {"a": 1, "b": 2, "d": 3})
    assert await records.delete_many("c", ["a", "absent", "b", "a"]) == 2
    assert [record.key async for record in records.list("c")] == ["d"]


@check("records.falsy_values_are_present", area="A", number=12)
async def falsy_values_are_present(env: Env) -> None:
    """Contract: null, false, 0, empty strings, bytes, lists and objects are values, not absence."""
    falsy: list[Any] = [None, False, 0, 0.0, "", b"", [], {}]
    for place, value in enumerate(falsy):
        await env.store.records.put("c", str(place), value)
    found = await env.store.records.get_many("c", map(str, range(len(falsy))))
    assert [record and (type(record.value), record.value) for record in found] == [
        (type(v), v) for v in falsy
    ]
    assert await env.store.records.count("c") == len(falsy)


@check("records.survive_reopen", area="A", number=13)
async def survive_reopen(env: Env) -> None:
    """Contract: what was acknowledged is there, with the same versions, after the Store was reopened."""
    records = env.store.records
    kept = await records.put("c", "kept", {"a": 1}, ttl=timedelta(days=1), index={"x": True})
    await records.put("c", "deleted", 1)
    await records.delete("c", "deleted")
    before = await env.record("c", "kept")
    await env.reopen()
    assert before is not None
    assert await env.record("c", "kept") == before
    assert await env.store.records.get("c", "deleted") is None
    assert await env.store.records.put("c", "new", 1) > kept


@check("records.visible_to_peer", area="A", number=14)
async def visible_to_peer(env: Env) -> None:
    """Contract: an independent connection sees every write as soon as it was acknowledged."""
    peer = await env.peer()
    for turn in range(20):
        version = await env.store.records.put("c", "k", turn)
        seen = await peer.records.get("c", "k", fresh=True)
        assert seen is not None
        assert (seen.value, seen.version) == (turn, version)
        back = await peer.records.put("c", "k", -turn, if_version=version)
        record = await env.store.records.get("c", "k", fresh=True)
        assert record is not None
        assert (record.value, record.version) == (-turn, back)
    await peer.records.delete("c", "k")
    assert await env.store.records.get("c", "k", fresh=True) is None


@check("records.never_older_than_told", area="A", number=14, tier=Tier.RACE)
async def never_older_than_told(env: Env) -> None:
    """Contract: while a record changes, no Store is told an older version than it was told before, or has
    written; at consistency LINEARIZABLE, than anybody was."""
    stores = [env.store, await env.peer()]
    told = {store: await env.store.records.put("c", "k", 0) for store in stores[:1]}
    whole = env.store.features.consistency is Consistency.LINEARIZABLE

    def heard(store: Store, version: int) -> None:
        told[store] = max(told.get(store, 0), version)

    async def write(store: Store) -> None:
        for turn in range(30):
            heard(store, await store.records.put("c", "k", turn))

    async def read(store: Store) -> None:
        for _ in range(60):
            least = max(told.values()) if whole else told.get(store, 0)
            record = await store.records.get("c", "k")
            assert record is not None
            assert record.version >= least, "it was told more before"
            heard(store, record.version)

    await together(*[write(store) for store in stores], *[read(store) for store in stores * 4])
