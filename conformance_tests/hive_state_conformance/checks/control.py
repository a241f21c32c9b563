"""Area R: the control row, which says who may write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.checking import NotRun, Tier, check
from hive_state_conformance.env import PATIENCE, Env, raises, together
from hive_state_conformance.harness import driver_of
from hive_state_conformance.transfer import NEEDS, TASKS, port, sinks, standby, turn
from hive_state_core.errors import Conflict, InvalidArgument, NotPrimary, Sealed, StoreMoved
from hive_state_core.model import RecordRef
from hive_state_core.spi import (
    CACHE,
    PEER,
    TERM_MAX,
    Batch,
    ClaimTasks,
    Control,
    ControlState,
    Put,
    Retention,
)
from hive_state_core.store import Store

OPEN, SEALED = ControlState.OPEN, ControlState.SEALED
MOVED, STANDBY = ControlState.MOVED, ControlState.STANDBY


def put(key: str, value: bytes = b"1") -> Batch:
    return Batch((Put(RecordRef("c", key), value),))


@check("control.changed_by_its_epoch", area="R", number=1, needs=NEEDS)
async def changed_by_its_epoch(env: Env) -> None:
    """Contract: a change of the control row is refused unless the row is at the epoch that it expects, and
    every reply says the epoch."""
    first = await port(env).control()
    assert first.state is OPEN
    assert first.sinks <= {CACHE}  # its own
    assert (await env.trip(put("a"))).epoch == first.epoch
    second = await sinks(port(env), CACHE)
    assert second == replace(first, epoch=first.epoch + 1, sinks=frozenset({CACHE}), version=second.version)
    assert await port(env).control() == second
    await raises(Conflict, port(env).control(first.epoch, first))
    assert await port(env).control() == second
    assert (await env.trip(put("a"))).epoch == second.epoch
    assert (await env.driver.read([RecordRef("c", "a")])).epoch == second.epoch


@check("control.one_of_many_wins", area="R", number=1, tier=Tier.RACE, needs=NEEDS)
async def one_of_many_wins(env: Env) -> None:
    """Contract: of changes that expect the same epoch exactly one is made."""
    row = await port(env).control()

    async def change(name: str) -> str | None:
        try:
            await port(env).control(row.epoch, replace(row, peer=name))
        except Conflict:
            return None
        return name

    (winner,) = [name for name in await together(*[change(f"{n}") for n in range(10)]) if name]
    assert (await port(env).control()).peer == winner


@check("control.sealed_refuses_writes", area="R", number=2, needs=TASKS)
async def sealed_refuses_writes(env: Env) -> None:
    """Contract: a sealed store refuses commits, claims and sweeps as Sealed, with nothing of them applied,
    answers reads, and takes writes again once it is open."""
    before = await env.store.records.put("c", "k", 1)
    await env.store.tasks.enqueue("q", 1)
    await turn(port(env), SEALED)
    for write in _writes(env):
        error = await raises(Sealed, write)
        assert error.retryable
        assert error.applied == "no"
    record = await env.store.records.get("c", "k")
    assert record is not None
    assert record.version == before
    await turn(port(env), OPEN)
    assert await env.store.records.put("c", "k", 2) > before
    assert await env.store.records.get("c", "a") is None


@check("control.moved_says_where", area="R", number=3, needs=TASKS)
async def moved_says_where(env: Env) -> None:
    """Contract: a store that was moved refuses writes as StoreMoved, which names the peer, and reads."""
    await env.store.records.put("c", "k", 1)
    row = await turn(port(env), SEALED)
    await port(env).control(row.epoch, replace(row, state=MOVED, peer="prod"))
    for write in _writes(env):
        error = cast(StoreMoved, await raises(StoreMoved, write))
        assert error.peer == "prod"
        assert "prod" in str(error)
    assert await env.store.records.get("c", "k") is not None


@check("control.standby_takes_no_writes", area="R", number=4, needs=TASKS)
async def standby_takes_no_writes(env: Env) -> None:
    """Contract: a standby refuses writes as NotPrimary; only a store that holds nothing becomes one."""
    row = await turn(port(env), STANDBY)
    for write in _writes(env):
        await raises(NotPrimary, write)
    await turn(port(env), OPEN)
    await env.store.records.put("c", "k", 1)
    await env.store.records.delete("c", "k")
    await raises(Conflict, turn(port(env), STANDBY))
    assert (await port(env).control()).state is OPEN
    assert row.state is STANDBY


def _writes(env: Env) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: env.trip(put("a")),
        lambda: env.claim(ClaimTasks("q", "w", 1000)),
        lambda: env.driver.sweep(10, Retention()),
    ]


@check("control.terms_grow", area="R", number=5, needs=NEEDS)
async def terms_grow(env: Env) -> None:
    """Contract: the term never falls, grows with every seal and its end, and leaves room for that end."""
    term = (await port(env).control()).term
    await raises(InvalidArgument, turn(port(env), SEALED, term))
    await raises(InvalidArgument, turn(port(env), OPEN, term - 1))
    await raises(InvalidArgument, turn(port(env), SEALED, TERM_MAX))
    assert (await turn(port(env), SEALED, term + 3)).term == term + 3
    await raises(InvalidArgument, turn(port(env), OPEN, term + 3))
    await raises(InvalidArgument, turn(port(env), OPEN, TERM_MAX + 1))
    await raises(InvalidArgument, turn(port(env), STANDBY, term + 4))
    assert (await turn(port(env), OPEN, TERM_MAX)).term == TERM_MAX
    version = await env.store.records.put("c", "k", 1)
    assert version >> 43 == TERM_MAX
    assert version < 2**53


@check("control.versions_of_a_term", area="R", number=6, needs=NEEDS)
async def versions_of_a_term(env: Env) -> None:
    """Contract: a write of a later term has a higher version than any of an earlier one, and the control
    row says a version that is not lower than any in the store."""
    first = await env.store.records.put("c", "k", 1)
    assert (await port(env).control()).version >= first
    sealed = await turn(port(env), SEALED)
    assert sealed.version >= first
    row = await turn(port(env), OPEN, sealed.term + 5)
    second = await env.store.records.put("c", "k", 2)
    assert second >> 43 == row.term
    assert second > row.version >= first


@check("control.sealed_for_all", area="R", number=7, tier=Tier.RACE, needs=NEEDS)
async def sealed_for_all(env: Env) -> None:
    """Contract: once a seal has returned, no write is applied, whoever sent it and when; what was
    acknowledged before is there."""
    stores = await _several(env)
    acked: list[str] = []
    writers = [asyncio.create_task(_write_on(store, f"{n}", acked)) for n, store in enumerate(stores * 4)]
    await _until(lambda: len(acked) >= 30)
    await turn(port(env), SEALED)
    there = await env.store.records.count("c")
    await together(*writers)
    assert await env.store.records.count("c") == there == len(acked)


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():
            await asyncio.sleep(0.002)


async def _several(env: Env) -> list[Store]:
    """Two connections, if there can be two."""
    try:
        return [env.store, await env.peer()]
    except NotRun:
        return [env.store, env.store]


async def _write_on(store: Store, name: str, acked: list[str]) -> None:
    """Until the store is sealed."""
    for n in range(10_000):
        try:
            await driver_of(store).commit([put(f"{name}-{n}")], uuid4().hex)
        except Sealed:
            return
        acked.append(f"{name}-{n}")


@check("control.capture_has_no_hole", area="R", number=8, tier=Tier.RACE, needs=NEEDS)
async def capture_has_no_hole(env: Env) -> None:
    """Contract: once a sink is active, whatever has a higher version than the control row says is marked,
    even if its writer began before."""
    stores = await _several(env)
    acked: list[str] = []
    writers = [asyncio.create_task(_write_on(store, f"{n}", acked)) for n, store in enumerate(stores * 4)]
    await _until(lambda: len(acked) >= 30)
    row = await sinks(port(env), PEER)
    before = len(acked)
    await _until(lambda: len(acked) >= before + 30)
    await turn(port(env), SEALED)
    await together(*writers)
    marked = {mark.ref for mark in await port(env).marks(PEER, 100_000)}
    found = [record async for record in env.store.records.list("c")]
    late = {RecordRef("c", record.key) for record in found if record.version > row.version}
    assert len(found) == len(acked)
    assert late
    assert late == marked


@check("control.marks_left_keep_it", area="R", number=9, needs=NEEDS)
async def marks_left_keep_it(env: Env) -> None:
    """Contract: a sealed store does not become moved while a mark of the peer is left."""
    await sinks(port(env), PEER)
    await env.store.records.put("c", "k", 1)
    row = await turn(port(env), SEALED)
    move = replace(row, state=MOVED, sinks=frozenset())
    await raises(Conflict, port(env).control(row.epoch, move))
    assert (await port(env).control()).state is SEALED
    await port(env).clear(PEER, await port(env).marks(PEER, 10))
    assert (await port(env).control(row.epoch, move)).state is MOVED
    other = (await standby(env)).replication()
    row = await other.control()
    await raises(InvalidArgument, other.control(row.epoch, replace(row, sinks=frozenset({PEER}))))


@check("control.store_waits_while_sealed", area="R", number=10, needs=NEEDS)
async def store_waits_while_sealed(env: Env) -> None:
    """Contract: a call of the user's API waits while the store is sealed, and is done once it is open."""
    await turn(port(env), SEALED)
    writing = asyncio.create_task(env.store.records.put("c", "k", 1))
    await asyncio.sleep(0.05)
    assert not writing.done()
    row: Control = await turn(port(env), OPEN)
    assert await writing > row.version
