"""The control row, the sinks and their marks, the notes."""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core.control import changed, require_same
from hive_state_core.naming import name_of, ref_of
from hive_state_core.spi import CACHE, PEER, TERM_SHIFT, Control, ControlState, Mark, Notes
from hive_state_postgres import capturing, telling
from hive_state_postgres.dialing import Connection
from hive_state_postgres.errors import dropped
from hive_state_postgres.rows import Row
from hive_state_postgres.statements import Statements

_HELD = (*(entity.table for entity in capturing.ENTITIES), "events", "gone")


async def read_control(db: Connection, statements: Statements, ns: int) -> Control:
    row = await db.fetchrow(statements.named("control_read"), ns)
    if row is None:
        raise dropped()
    return _control(row)


async def require_expected(db: Connection, statements: Statements, ns: int, expect: Control | None) -> None:
    """Behind the fence of a load, so that the row stays as it is."""
    if expect is not None:
        row = await read_control(db, statements, ns)
        require_same(row.store_id, row.epoch, expect)


def _control(row: Row) -> Control:
    state, version = ControlState(row["state"]), row["version"]
    if state is ControlState.OPEN:
        version = max(version, (row["term"] << TERM_SHIFT) + row["last_value"])
    return Control(
        store_id=row["store_id"],
        peer=row["peer"],
        state=state,
        term=row["term"],
        epoch=row["epoch"],
        sinks=frozenset(row["sinks"]),
        version=version,
    )


async def change_control(
    db: Connection, statements: Statements, ns: int, expect: int, change: Control
) -> Control:
    """Alone among the writers of the namespace. The row is read by a statement behind that of the lock, so
    it is the newest."""
    async with db.transaction():
        await db.execute(statements.named("control_lock"), ns)
        old = await read_control(db, statements, ns)
        undelivered = await db.fetchval(statements.named("marks_left"), ns, PEER)
        holds = " OR ".join(f"EXISTS (SELECT 1 FROM hive.{table} WHERE ns = $1)" for table in _HELD)
        empty = not await db.fetchval(statements.qualify(f"SELECT {holds}"), ns)
        new = changed(old, expect, change, empty=empty, undelivered=undelivered)
        values = (new.peer, new.state.value, new.term, new.epoch, sorted(new.sinks), new.version)
        await db.execute(statements.named("control_write"), ns, *values)
        await db.execute(statements.named("marks_drop"), ns, sorted(old.sinks - new.sinks))
    return new


async def marks(db: Connection, statements: Statements, ns: int, sink: str, limit: int) -> list[Mark]:
    if sink == CACHE:
        return await telling.marks(db, statements, ns, limit)
    rows = await db.fetch(statements.named("marks_read"), ns, sink, limit)
    return [Mark(sink, ref_of(*list(row)[:4]), row["version"]) for row in rows]


async def clear(db: Connection, statements: Statements, ns: int, sink: str, done: Sequence[Mark]) -> int:
    """How many were still the same."""
    if sink == CACHE:
        return await telling.clear(db, statements, ns, done)
    places = [(*name_of(mark.ref).place, mark.version) for mark in done]
    columns = [list(column) for column in zip(*places, strict=True)] if places else [[]] * 5
    status = await db.execute(statements.named("marks_clear"), ns, sink, *columns)
    return int(status.split()[-1])


async def read_notes(db: Connection, statements: Statements, ns: int) -> dict[str, bytes]:
    return {row["name"]: row["value"] for row in await db.fetch(statements.named("notes_read"), ns)}


async def write_notes(db: Connection, statements: Statements, ns: int, changes: Notes) -> None:
    """Inside a transaction."""
    for name, value in changes.items():
        if value is None:
            await db.execute(statements.named("note_delete"), ns, name)
        else:
            await db.execute(statements.named("note_write"), ns, name, value)


async def note(db: Connection, statements: Statements, ns: int, changes: Notes, expect: Notes) -> bool:
    """Write them if all of `expect` is so."""
    async with db.transaction():
        await db.execute(statements.named("notes_lock"), ns)
        there = await read_notes(db, statements, ns)
        if any(there.get(name) != value for name, value in expect.items()):
            return False
        await write_notes(db, statements, ns, changes)
    return True
