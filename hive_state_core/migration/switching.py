"""The control rows of a migration at rest. Each change is a compare-and-set, and each step looks first
whether it was done already: so whoever was killed anywhere in between is followed by whoever comes next."""

from __future__ import annotations

from msgspec.structs import replace

from hive_state_core.control import term_of
from hive_state_core.errors import Conflict, NotEmpty, StoreMoved
from hive_state_core.migration.job import Job, noted
from hive_state_core.spi import Control, ControlState, Replication

OPEN, SEALED = ControlState.OPEN, ControlState.SEALED
MOVED, STANDBY = ControlState.MOVED, ControlState.STANDBY


def next_term(source: Control, target: Control) -> int:
    """Above all that either side knows."""
    return max(source.term, target.term, term_of(source.version), term_of(target.version)) + 1


async def make_standby(target: Replication, name: str) -> Control:
    """Raises NotEmpty if it holds data, also if those are what a hive left behind."""
    row = await target.control()
    if row.state is STANDBY:
        return row
    if row.state is MOVED:
        raise NotEmpty(
            f"{name} still holds what the hive left behind when it moved to {row.peer!r};"
            " give an empty store, or remove that one first",
            key=name,
        )
    try:
        return await target.control(row.epoch, replace(row, state=STANDBY))
    except Conflict as error:
        if (await target.control()).epoch != row.epoch:
            raise
        raise NotEmpty(
            f"{name} holds other data; a hive moves into an empty store: give another database or namespace",
            key=name,
        ) from error


async def seal(source: Replication, job: Job, peer: str) -> Control:
    """No write is under way any more when this returns."""
    row = await source.control()
    if (row.state, row.term) == (SEALED, job.term):
        return row
    await source.note(noted(job))
    return await source.control(row.epoch, replace(row, state=SEALED, term=job.term, peer=peer))


async def unseal(source: Replication) -> Control:
    """The hive goes on where it was."""
    row = await source.control()
    if row.state is OPEN:
        return row
    return await source.control(row.epoch, replace(row, state=OPEN, term=row.term + 1, peer=None))


async def hand_over(source: Replication, target: Replication, job: Job, names: tuple[str, str]) -> None:
    """The source is left, which is the decision, and the target opens, which is its consequence."""
    row = await source.control()
    if row.state is SEALED and row.term == job.term:
        await source.control(row.epoch, replace(row, state=MOVED, peer=names[1], sinks=frozenset()))
    elif row.state is not MOVED or row.term != job.term:
        raise Conflict("the source was opened again meanwhile: begin anew", key=names[0])
    await open_target(target, job, names[0])


async def open_target(target: Replication, job: Job, peer: str) -> None:
    """It takes writes from now on, with versions above all that was copied."""
    row = await target.control()
    if row.state is not OPEN:
        await target.control(row.epoch, replace(row, state=OPEN, term=job.term, peer=peer))


def refuse_moved(row: Control, name: str) -> None:
    """Raises StoreMoved for a source that the hive has left."""
    if row.state is MOVED:
        raise StoreMoved(f"{name} holds no hive any more: it has moved to {row.peer!r}", peer=row.peer)
