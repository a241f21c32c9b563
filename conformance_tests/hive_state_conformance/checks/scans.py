"""Area G: lists and pages, in byte order, without a hole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import cast

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.env import Env, raises, together
from hive_state_core.errors import InvalidArgument
from hive_state_core.records import Record
from hive_state_core.store import Store

MANY = 10_050
"""More than the round numbers at which scans of other stores have been cut."""


async def fill(store: Store, keys: Iterable[str], collection: str = "c") -> list[str]:
    """Write a record for each key; the keys in byte order."""
    left = list(keys)
    in_order = sorted(left, key=str.encode)
    while left:
        await store.records.put_many(collection, dict.fromkeys(left[:1000], 1))
        left = left[1000:]
    return in_order


async def pages(store: Store, limit: int, **query: object) -> list[list[str]]:
    """The keys of each page."""
    found, cursor = [], None
    while True:
        page = await store.records.page("c", limit=limit, cursor=cursor, **query)  # type: ignore[arg-type]
        await asyncio.sleep(0)  # a store in memory may answer without a pause
        found.append([record.key for record in page.items])
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(found) < 1000, "the pages do not end"


@check("scan.byte_order", area="G", number=70)
async def byte_order(env: Env) -> None:
    """Contract: keys are listed in the byte order of their UTF-8, in every script and case."""
    keys = [
        "a",
        "B",
        "b",
        "A",
        "á",
        "z",
        "Z",
        "10",
        "2",
        "_",
        "-",
        "~",
        "é",
        "蜂",
        "🐝",
        "\uffff",
        "\ue000",
        "aa",
        " ",
    ]
    in_order = await fill(env.store, keys)
    assert [record.key async for record in env.store.records.list("c")] == in_order
    assert [key for page in await pages(env.store, 4) for key in page] == in_order


@check("scan.bounds", area="G", number=71)
async def bounds(env: Env) -> None:
    """Contract: start is in, stop is out, and a range that begins at or after its stop is empty."""
    keys = await fill(env.store, ["a", "b", "ba", "c", "é"])
    for start in (None, "a", "aa", "b", "c", "zz", "é"):
        for stop in (None, "a", "b", "bb", "c", "é", "\U0010ffff"):
            low, high = (start or "").encode(), None if stop is None else stop.encode()
            right = [key for key in keys if key.encode() >= low and (high is None or key.encode() < high)]
            for reverse in (False, True):
                query = env.store.records.list("c", start=start, stop=stop, reverse=reverse)
                found = [record.key async for record in query]
                assert found == (right[::-1] if reverse else right), f"{start!r} to {stop!r}"


@check("scan.prefix_is_literal", area="G", number=71)
async def prefix_is_literal(env: Env) -> None:
    """Contract: a prefix means its own characters, up to the last code point, and joins with the bounds."""
    keys = [
        "a",
        "a%",
        "a%b",
        "ab",
        "a_",
        "A%",
        "a\U0010ffff",
        "a\U0010ffffb",
        "\U0010ffff",
        "\U0010ffff\U0010ffff",
    ]
    keys = await fill(env.store, keys)
    records = env.store.records
    for prefix in (*keys, "", "a%c"):
        right = [key for key in keys if key.startswith(prefix)]
        assert [record.key async for record in records.list("c", prefix=prefix)] == right, (
            f"prefix {prefix!r}"
        )
        assert await records.count("c", prefix=prefix) == len(right), f"count of prefix {prefix!r}"
    bounded = records.list("c", prefix="a", start="a%a", stop="ab")
    assert [record.key async for record in bounded] == ["a%b", "a_"]


@check("scan.page_edges", area="G", number=72)
async def page_edges(env: Env) -> None:
    """Contract: pages of any size join to the whole list, and the last has no cursor."""
    keys = await fill(env.store, [f"{n:02}" for n in range(12)])
    for limit in (1, 2, 5, 6, 11, 12, 13, 1000):
        for reverse in (False, True):
            found = await pages(env.store, limit, reverse=reverse)
            assert all(len(page) <= limit for page in found), f"a page above the limit {limit}"
            assert [key for page in found for key in page] == (keys[::-1] if reverse else keys), (
                f"limit {limit}"
            )
    empty = await env.store.records.page("empty", limit=5)
    assert (empty.items, empty.cursor) == ([], None)
    for unfit in (0, -1, 1001):
        await raises(InvalidArgument, env.store.records.page("c", limit=unfit))


@check("scan.stable_under_change", area="G", number=73, tier=Tier.RACE)
async def stable_under_change(env: Env) -> None:
    """Contract: a record that is there all the while is listed exactly once, whatever happens around it."""
    lasting = await fill(env.store, [f"{n:03}" for n in range(0, 120, 2)])
    ended = asyncio.Event()

    async def disturb() -> None:
        turn = 1
        while not ended.is_set():
            key = f"{turn % 120:03}"
            await env.store.records.put("c", key, 2)
            await env.store.records.put("c", f"{(turn * 7) % 120 // 2 * 2:03}", 3)
            await env.store.records.delete("c", key)
            await asyncio.sleep(0)  # a driver may answer without a pause
            turn += 2

    async def look() -> None:
        try:
            for turn in range(6):
                found = [key for page in await pages(env.store, 7, reverse=bool(turn % 2)) for key in page]
                assert [key for key in sorted(found) if int(key) % 2 == 0] == lasting
        finally:
            ended.set()

    await together(disturb(), look())


@check("scan.cursor_key_deleted", area="G", number=74)
async def cursor_key_deleted(env: Env) -> None:
    """Contract: a cursor goes on at the right place when its own record is gone."""
    await fill(env.store, "abcdef")
    for reverse, rest in ((False, ["d", "e", "f"]), (True, ["b", "a"])):
        await env.store.records.put("c", "c", 1)
        page = await env.store.records.page("c", limit=3 + reverse, reverse=reverse)
        assert page.items[-1].key == "c"
        await env.store.records.delete("c", "c")
        following = await env.store.records.page("c", limit=10, reverse=reverse, cursor=page.cursor)
        assert [record.key for record in following.items] == rest


@check("scan.cursor_elsewhere", area="G", number=75)
async def cursor_elsewhere(env: Env) -> None:
    """Contract: a cursor is good at any connection of the store."""
    await fill(env.store, "abcd")
    page = await env.store.records.page("c", limit=2)
    peer = await env.peer()
    following = await peer.records.page("c", limit=2, cursor=page.cursor)
    assert [record.key for record in following.items] == ["c", "d"]


@check("scan.cursor_of_another_query", area="G", number=75)
async def cursor_of_another_query(env: Env) -> None:
    """Contract: a cursor of another query, a cut or a made-up one is an InvalidArgument, never page 1."""
    await fill(env.store, "abcd")
    records = env.store.records
    cursor = (await records.page("c", limit=2)).cursor
    assert cursor is not None
    for unfit in ("", "x", "???", cursor[:-3], cursor[:6], "A" + cursor, cursor.swapcase()):
        await raises(InvalidArgument, records.page("c", limit=2, cursor=unfit))
    await raises(InvalidArgument, records.page("d", limit=2, cursor=cursor))
    await raises(InvalidArgument, records.page("c", limit=2, cursor=cursor, reverse=True))
    await raises(InvalidArgument, records.page("c", limit=2, cursor=cursor, prefix="a"))


@check("scan.reverse_is_the_mirror", area="G", number=76)
async def reverse_is_the_mirror(env: Env) -> None:
    """Contract: reverse lists the same records, exactly the other way round."""
    await fill(env.store, [f"{n}é" for n in range(40)])
    for prefix in ("", "1", "3"):
        forward = [record.key async for record in env.store.records.list("c", prefix=prefix)]
        backward = [record.key async for record in env.store.records.list("c", prefix=prefix, reverse=True)]
        assert backward == forward[::-1]
        assert [
            key for page in await pages(env.store, 3, prefix=prefix, reverse=True) for key in page
        ] == backward


@check("scan.many_rows", area="G", number=77)
async def many_rows(env: Env) -> None:
    """Contract: a list of ten thousand records is complete, and so is their count."""
    keys = await fill(env.store, (f"{n:05}" for n in range(MANY)))
    assert [record.key async for record in env.store.records.list("c")] == keys
    assert await env.store.records.count("c") == MANY
    assert len([1 async for _ in env.store.records.list("c", start="09000", reverse=True)]) == MANY - 9000


@check("scan.left_early", area="G", number=79)
async def left_early(env: Env) -> None:
    """Contract: a list that is left before its end holds nothing open and disturbs nothing."""
    await fill(env.store, [f"{n:03}" for n in range(600)])
    for _ in range(20):
        listing = cast("AsyncGenerator[Record]", env.store.records.list("c"))
        async with aclosing(listing):
            assert (await anext(listing)).key == "000"
        await env.store.records.put("c", "000", 2)
    assert await env.store.records.count("c") == 600
