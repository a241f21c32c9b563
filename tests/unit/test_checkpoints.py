"""Checkpoints, on the reference store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any, cast

import pytest

from hive_state_core import Store, checkpoints
from hive_state_core.checkpoints import Checkpoint, checkpoint_ref
from hive_state_core.errors import AlreadyExists, CorruptData, InvalidArgument, LimitExceeded
from hive_state_core.spi import Append, Batch

pytestmark = pytest.mark.prompt


async def seqs(found: AsyncIterator[Checkpoint]) -> list[int]:
    return [each.seq async for each in found]


@pytest.mark.parametrize("data", [{"b": 1, "a": [1.0, None]}, None, [], "", 0, b"", b"\x00\xff{", 2**70])
@pytest.mark.parametrize("metadata", [None, {}, {"why": "\u0000\U0001f41d", "n": {"a": 1}}])
async def test_round_trip(hive: Store, data: Any, metadata: Any) -> None:
    saved = await hive.checkpoints.save("c", data, metadata=metadata)
    latest = await hive.checkpoints.latest("c")
    assert latest is not None
    for each in (saved, latest):
        assert (each.name, each.seq, each.data, each.metadata) == ("c", 1, data, metadata or {})
        assert type(each.data) is type(data)
    assert saved.at == latest.at
    assert saved.at.tzinfo is UTC
    assert repr(saved) == "Checkpoint('c', seq=1)"


async def test_what_was_saved_is_not_what_the_caller_changes(hive: Store) -> None:
    data = {"n": [1]}
    saved = await hive.checkpoints.save("c", data)
    data["n"].append(2)
    assert saved.data == {"n": [1]}


async def test_latest_get_and_list(hive: Store) -> None:
    assert await hive.checkpoints.latest("c") is None
    assert await hive.checkpoints.get("c", 1) is None
    for n in range(1, 6):
        await hive.checkpoints.save("c", n)
    await hive.checkpoints.save("cc", "other")
    latest, third = await hive.checkpoints.latest("c"), await hive.checkpoints.get("c", 3)
    assert latest is not None
    assert third is not None
    assert (latest.data, third.data, third.seq) == (5, 3, 3)
    assert await hive.checkpoints.get("c", 6) is None
    assert await seqs(hive.checkpoints.list("c")) == [1, 2, 3, 4, 5]
    assert await seqs(hive.checkpoints.list("c", reverse=True, limit=2)) == [5, 4]
    assert await seqs(hive.checkpoints.list("c", limit=3)) == [1, 2, 3]
    assert await seqs(hive.checkpoints.list("none")) == []
    with pytest.raises(InvalidArgument):
        await hive.checkpoints.get("c", 0)
    with pytest.raises(InvalidArgument):
        await seqs(hive.checkpoints.list("c", limit=0))


async def test_racing_saves_have_one_latest(hive: Store) -> None:
    saved = await asyncio.gather(*[hive.checkpoints.save("c", n) for n in range(50)])
    assert sorted(each.seq for each in saved) == list(range(1, 51))
    latest = await hive.checkpoints.latest("c")
    assert latest is not None
    assert latest.data == max(saved, key=lambda each: each.seq).data


async def test_lists_of_many_pages(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SCAN_PAGE", 12)
    for n in range(10):
        await hive.checkpoints.save("c", n)
        await hive.checkpoints.save(f"n{n}", n)
    await hive.checkpoints.prune("c", keep=9)
    assert await seqs(hive.checkpoints.list("c")) == list(range(2, 11))
    assert await seqs(hive.checkpoints.list("c", reverse=True)) == list(range(10, 1, -1))
    assert await seqs(hive.checkpoints.list("c", limit=4)) == [2, 3, 4, 5]
    assert await seqs(hive.checkpoints.list("c", limit=9, reverse=True)) == list(range(10, 1, -1))
    assert [name async for name in hive.checkpoints.names()] == ["c", *[f"n{n}" for n in range(10)]]


async def test_pruning_while_listing_shows_the_rest(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SCAN_PAGE", 12)
    for n in range(10):
        await hive.checkpoints.save("c", n)
    found = []
    async for each in hive.checkpoints.list("c"):
        found.append(each.seq)
        if each.seq == 2:
            await hive.checkpoints.prune("c", keep=3)
    assert found == [1, 2, 3, 8, 9, 10]


async def test_prune_keeps_the_newest_of_each_name(hive: Store) -> None:
    for n in range(1, 15):
        await hive.checkpoints.save("a", n)
    await hive.checkpoints.save("b", 1)
    assert await hive.checkpoints.prune("a") == 4
    assert await hive.checkpoints.prune("a", keep=3) == 7
    assert await hive.checkpoints.prune("a", keep=3) == 0
    assert await hive.checkpoints.prune("b", keep=1) == 0
    assert await hive.checkpoints.prune("none") == 0
    assert await seqs(hive.checkpoints.list("a")) == [12, 13, 14]
    assert await hive.checkpoints.get("a", 11) is None
    assert (await hive.checkpoints.save("a", 15)).seq == 15
    with pytest.raises(InvalidArgument):
        await hive.checkpoints.prune("a", keep=0)


async def test_delete_removes_a_name_and_uses_no_seq_again(hive: Store) -> None:
    await hive.checkpoints.save("a", 1)
    await hive.checkpoints.save("b", 1)
    assert await hive.checkpoints.delete("a")
    assert not await hive.checkpoints.delete("a")
    assert await hive.checkpoints.latest("a") is None
    assert [name async for name in hive.checkpoints.names()] == ["b"]
    assert (await hive.checkpoints.save("a", 2)).seq == 2
    assert await seqs(hive.checkpoints.list("a")) == [2]


async def test_snapshots_are_no_checkpoints(hive: Store) -> None:
    for n in range(11):
        await hive.checkpoints.snapshot({"n": n})
    saved = await hive.checkpoints.snapshot({"n": 11}, metadata={"by": "me"})
    assert (saved.name, saved.seq, saved.metadata) == (None, 12, {"by": "me"})
    assert [name async for name in hive.checkpoints.names()] == []
    (newest,) = [each async for each in hive.checkpoints.snapshots(reverse=True, limit=1)]
    assert newest.data == {"n": 11}
    assert await hive.checkpoints.prune_snapshots() == 2
    assert await seqs(hive.checkpoints.snapshots()) == list(range(3, 13))


async def test_names_are_literal_and_bounded(hive: Store) -> None:
    names = ["%", "a:b", "hive:x", "snapshots", "\u00e9" * 56, "x" * 112]
    for name in names:
        await hive.checkpoints.save(name, 1)
    await hive.events.publish("hive", 1)
    await hive.events.publish("zebra", 1)
    assert [name async for name in hive.checkpoints.names()] == sorted(names, key=str.encode)
    for wrong in ("", "x" * 113, "\u00e9" * 57, "a\0", 5):
        with pytest.raises(InvalidArgument):
            await hive.checkpoints.save(cast(str, wrong), 1)
        with pytest.raises(InvalidArgument):
            hive.checkpoints.list(cast(str, wrong))
    with pytest.raises(LimitExceeded, match="is 113; at most 112"):
        await hive.checkpoints.delete("x" * 113)


async def test_what_cannot_be_saved(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for data, metadata in ((object(), None), ({"a": b""}, None), (1, [1]), (1, {"a": {1}}), (1, b"")):
        with pytest.raises(InvalidArgument):
            await hive.checkpoints.save("c", data, metadata=cast(Any, metadata))
    monkeypatch.setattr(checkpoints, "VALUE_BYTES", 30)
    await hive.checkpoints.save("c", b"x" * 24)
    with pytest.raises(LimitExceeded):
        await hive.checkpoints.save("c", b"x" * 25)


@pytest.mark.parametrize(
    ("body", "raw"),
    [(b"{", False), (b"[]", False), (b'{"data":1,"metadata":[]}', False), (b"\x00\x00\x00\x09{}", True)],
)
async def test_what_is_no_checkpoint(hive: Store, body: bytes, raw: bool) -> None:
    await hive._trips.commit(Batch((Append(checkpoint_ref("c"), body, raw),)))
    (found,) = [each async for each in hive.checkpoints.list("c")]
    with pytest.raises(CorruptData):
        _ = found.data


async def test_in_a_unit(hive: Store) -> None:
    async with hive.atomic() as unit:
        first = unit.checkpoints.save("c", {"n": 1}, metadata={"m": 1})
        second = unit.checkpoints.save("c", b"2")
        snapshot = unit.checkpoints.snapshot([3])
        unit.records.put("c", "k", 1)
    assert (first.result.seq, first.result.data, first.result.metadata) == (1, {"n": 1}, {"m": 1})
    assert (second.result.seq, second.result.data) == (2, b"2")
    assert (snapshot.result.name, snapshot.result.data) == (None, [3])
    unit = hive.atomic()
    unit.checkpoints.save("c", 3)
    unit.records.put("c", "k", 1, if_absent=True)
    with pytest.raises(AlreadyExists):
        await unit.commit()
    assert await seqs(hive.checkpoints.list("c")) == [1, 2]
