"""Area G, continued: index entries, and lists that are filtered by them."""

from __future__ import annotations

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env, raises
from hive_state_core.errors import InvalidArgument
from hive_state_core.limits import INDEX_FIELDS, INDEX_VALUE_BYTES
from hive_state_core.model import Scalar


async def found(env: Env, **where: Scalar) -> list[str]:
    """Keys of the records with these index entries; list and count must agree."""
    keys = [record.key async for record in env.store.records.list("c", where=where)]
    assert await env.store.records.count("c", where=where) == len(keys), f"list and count differ for {where}"
    return keys


@check("scan.filter.by_type_and_value", area="G", number=78)
async def filter_by_type_and_value(env: Env) -> None:
    """Contract: index values match by type and value: 1, 1.0, "1", true and null are different."""
    scalars: dict[str, Scalar] = {
        "int": 1, "float": 1.0, "text": "1", "true": True, "null": None, "false": False, "zero": 0,
        "empty": "", "word": "null",
        "large": 2**63 - 1, "near": 2**63 - 2, "half": 0.5, "case": "A", "lower": "a",
    }  # fmt: skip
    for key, value in scalars.items():
        await env.store.records.put("c", key, key, index={"x": value})
    await env.store.records.put("c", "none of it", 1)
    for key, value in scalars.items():
        assert await found(env, x=value) == [key], f"x = {value!r}"
    assert await found(env, x="absent") == []
    assert await found(env, y=1) == []


@check("scan.filter.all_must_hold", area="G", number=78)
async def filter_all_must_hold(env: Env) -> None:
    """Contract: several conditions must all hold, and a field with several values matches each of them."""
    records = env.store.records
    await records.put("c", "a", 1, index={"status": "idle", "skill": ["plan", "code"]})
    await records.put("c", "b", 1, index={"status": "busy", "skill": ["plan"]})
    await records.put("c", "d", 1, index={"status": "idle", "skill": "code"})
    await records.put("other", "a", 1, index={"status": "idle"})
    assert await found(env, status="idle") == ["a", "d"]
    assert await found(env, skill="plan") == ["a", "b"]
    assert await found(env, status="idle", skill="plan") == ["a"]
    assert await found(env, status="plan") == []
    listing = records.list("c", where={"skill": "code"}, start="b", reverse=True)
    assert [record.key async for record in listing] == ["d"]


@check("scan.filter.pages_are_complete", area="G", number=78)
async def filter_pages_are_complete(env: Env) -> None:
    """Contract: filtered pages join to all matches, however rare they are."""
    async with env.store.atomic() as unit:
        for n in range(400):
            unit.records.put("c", f"{n:03}", n, index={"tenth": n % 40 == 7})
    right = [f"{n:03}" for n in range(400) if n % 40 == 7]
    for limit in (1, 3, 10, 100):
        keys: list[str] = []
        cursor = None
        for _ in range(500):
            page = await env.store.records.page("c", where={"tenth": True}, limit=limit, cursor=cursor)
            keys += [record.key for record in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        assert keys == right, f"limit {limit}"
    assert await found(env, tenth=True) == right


@check("scan.index_follows_value", area="G", number=80)
async def index_follows_value(env: Env) -> None:
    """Contract: index entries change and go with their record, in the same commit."""
    records = env.store.records
    version = await records.put("c", "k", 1, index={"x": 1})
    await records.put("c", "k", 2, index={"x": 2}, if_version=version)
    assert (await found(env, x=1), await found(env, x=2)) == ([], ["k"])
    await records.touch("c", "k", ttl=60)
    assert await found(env, x=2) == ["k"]
    await records.put("c", "k", 3)
    assert await found(env, x=2) == []
    await records.put("c", "k", 4, index={"x": 4})
    await records.delete("c", "k")
    assert await found(env, x=4) == []
    await records.put("c", "k", 5)
    assert await found(env, x=4) == []


@check("scan.index_limits", area="G", number=80)
async def index_limits(env: Env) -> None:
    """Contract: index entries up to the limits are kept and found, others are an InvalidArgument."""
    most: dict[str, Scalar] = {f"f{n}": n for n in range(INDEX_FIELDS)}
    await env.store.records.put("c", "most", 1, index=most)
    assert await found(env, **most) == ["most"]
    text = "é" * (INDEX_VALUE_BYTES // 2)
    await env.store.records.put("c", "long", 1, index={"x": text})
    assert await found(env, x=text) == ["long"]
    for unfit in (
        {**most, "one more": 1},
        {"x": text + "y"},
        {"x": [[1]]},
        {"x": float("nan")},
        {"x": 2**63},
    ):
        await raises(InvalidArgument, env.store.records.put("c", "k", 1, index=unfit))  # type: ignore[arg-type]
    assert await env.store.records.count("c") == 2
