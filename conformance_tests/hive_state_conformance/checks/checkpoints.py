"""Area K: checkpoints, of which the newest of each name counts."""

from __future__ import annotations

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import Env, raises, together
from hive_state_core.checkpoints import NAME_MOST, PREFIX
from hive_state_core.codec import Json
from hive_state_core.errors import Conflict, InvalidArgument, LimitExceeded
from hive_state_core.features import Facility
from hive_state_core.model import StreamRef
from hive_state_core.spi import StreamRead
from hive_state_core.store import Store

STREAMS = {Facility.STREAMS}


@check("checkpoints.latest", area="K", number=128, needs=STREAMS)
async def latest(env: Env) -> None:
    """Contract: the latest checkpoint of a name is the one that was saved last, with its data, metadata and
    instant; names know nothing of one another.
    """
    checkpoints = env.store.checkpoints
    assert await checkpoints.latest("nightly") is None
    first = await checkpoints.save("nightly", {"n": 1})
    second = await checkpoints.save("nightly", {"n": [2, None]}, metadata={"by": "me", "parent": first.seq})
    await checkpoints.save("hourly", {"n": 3})
    found = await checkpoints.latest("nightly")
    assert found is not None
    assert (found.name, found.seq, found.at) == ("nightly", second.seq, second.at)
    assert (found.data, found.metadata) == ({"n": [2, None]}, {"by": "me", "parent": first.seq})
    again = await checkpoints.get("nightly", first.seq)
    assert again is not None
    assert (again.data, again.metadata) == ({"n": 1}, {})
    assert await checkpoints.get("nightly", 3) is None
    assert [name async for name in checkpoints.names()] == ["hourly", "nightly"]


@check("checkpoints.saved_at_once", area="K", number=128, needs=STREAMS, tier=Tier.RACE)
async def saved_at_once(env: Env) -> None:
    """Contract: of checkpoints that are saved at once none is lost, each has its own number, and the latest
    is that with the highest, whoever asks.
    """
    stores = await with_peer(env)

    async def save(n: int) -> int:
        return (await stores[n % len(stores)].checkpoints.save("c", n)).seq

    numbers = await together(*map(save, range(20)))
    assert sorted(numbers) == list(range(1, 21))
    for store in stores:  # any of them may have saved the latest
        found = await store.checkpoints.latest("c")
        assert found is not None
        assert (found.seq, found.data) == (20, numbers.index(20))


@check("checkpoints.values", area="K", number=129, needs=STREAMS)
async def values(env: Env) -> None:
    """Contract: data of a checkpoint are any value, or bytes, and come back as they were."""
    kept: list[Json] = [None, [], {}, 0.5, "\0\N{GRINNING FACE}", 2**63, b"\0\xff", b"", [[{"a": [1, 1.0]}]]]
    for data in kept:
        await env.store.checkpoints.save("c", data, metadata={"kind": type(data).__name__})
        found = await env.store.checkpoints.latest("c")
        assert found is not None
        assert (repr(found.data), found.metadata) == (repr(data), {"kind": type(data).__name__})
    await raises(InvalidArgument, env.store.checkpoints.save("c", float("nan")))
    await raises(InvalidArgument, env.store.checkpoints.save("", 1))
    await raises(LimitExceeded, env.store.checkpoints.save("n" * (NAME_MOST + 1), 1))
    assert (await env.store.checkpoints.save("n" * NAME_MOST, 1)).seq == 1


@check("checkpoints.list", area="K", number=130, needs=STREAMS)
async def listing(env: Env) -> None:
    """Contract: checkpoints are listed newest first or oldest first, up to a limit, page by page."""
    checkpoints = env.store.checkpoints
    async with env.store.atomic() as unit:
        for n in range(300):
            unit.checkpoints.save("c", n)
    assert [each.data async for each in checkpoints.list("c", reverse=True, limit=3)] == [299, 298, 297]
    assert [each.data async for each in checkpoints.list("c", reverse=True)] == list(range(299, -1, -1))
    assert [each.seq async for each in checkpoints.list("c")] == list(range(1, 301))
    assert [each async for each in checkpoints.list("nothing")] == []


@check("checkpoints.prune", area="K", number=131, needs=STREAMS)
async def prune(env: Env) -> None:
    """Contract: prune keeps the newest so many of one name, whatever else there is, and their numbers."""
    checkpoints = env.store.checkpoints
    for n in range(8):
        await checkpoints.save("c", n)
        await checkpoints.save("other", n)
    assert await checkpoints.prune("c", keep=3) == 5
    assert [(each.seq, each.data) async for each in checkpoints.list("c")] == [(6, 5), (7, 6), (8, 7)]
    assert await checkpoints.prune("c", keep=3) == 0
    assert await checkpoints.prune("nothing", keep=1) == 0
    assert len([each async for each in checkpoints.list("other")]) == 8
    assert await checkpoints.get("c", 5) is None
    assert (await checkpoints.save("c", 8)).seq == 9
    await raises(InvalidArgument, checkpoints.prune("c", keep=0))


@check("checkpoints.delete", area="K", number=131, needs=STREAMS)
async def delete(env: Env) -> None:
    """Contract: deleting a name removes all of its checkpoints, leaves no row of them, and uses no number
    twice.
    """
    checkpoints = env.store.checkpoints
    for n in range(3):
        await checkpoints.save("c", n)
    assert await checkpoints.delete("c") is True
    assert await checkpoints.delete("c") is False
    assert await checkpoints.latest("c") is None
    assert [name async for name in checkpoints.names()] == []
    ref = StreamRef(f"{PREFIX}c")
    (page,) = (await env.driver.stream([StreamRead(ref, 1, 100)])).results
    assert (list(page.events), (await env.driver.read([ref])).results) == ([], [None])
    assert (await env.store.stats()).streams == {}
    assert (await checkpoints.save("c", 3)).seq == 4


@check("checkpoints.in_a_unit", area="K", number=129, needs=STREAMS)
async def in_a_unit(env: Env) -> None:
    """Contract: a checkpoint is saved with the rest of its unit, or not at all."""

    async def save(n: int, version: int | None) -> None:
        async with env.store.atomic() as unit:
            unit.checkpoints.save("c", n)
            unit.checkpoints.snapshot({"n": n})
            unit.records.expect("c", "k", version=version)

    await save(1, None)
    await raises(Conflict, save(2, 7))
    found = await env.store.checkpoints.latest("c")
    assert found is not None
    assert found.data == 1
    assert [each.data async for each in env.store.checkpoints.snapshots()] == [{"n": 1}]


@check("checkpoints.snapshots", area="K", number=130, needs=STREAMS)
async def snapshots(env: Env) -> None:
    """Contract: snapshots of the system are numbered, listed and pruned on their own, and are no checkpoint
    of any name.
    """
    checkpoints = env.store.checkpoints
    for n in range(4):
        await checkpoints.snapshot({"agents": n}, metadata={"n": n})
    found = [(each.seq, each.name, each.data) async for each in checkpoints.snapshots(reverse=True, limit=2)]
    assert found == [(4, None, {"agents": 3}), (3, None, {"agents": 2})]
    assert await checkpoints.prune_snapshots(keep=1) == 3
    assert [each.seq async for each in checkpoints.snapshots()] == [4]
    assert [name async for name in checkpoints.names()] == []


@check("checkpoints.at_peer", area="K", number=128, needs=STREAMS)
async def at_peer(env: Env) -> None:
    """Contract: an independent connection finds a checkpoint as soon as it was saved."""
    peer = await env.peer()
    for n in range(1, 4):
        await env.store.checkpoints.save("c", n)
        assert await data_of(peer) == n
        await peer.checkpoints.save("c", -n)
        assert await data_of(env.store) == -n


async def data_of(store: Store) -> object:
    found = await store.checkpoints.latest("c")
    return found and found.data
