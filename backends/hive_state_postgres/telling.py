"""Marks of the sink `cache`: a row for all the records that a statement wrote, not one for each record.

A record that was written several times is in several rows; it is told of once, with its latest version, and
cleared from all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from hive_state_core.model import RecordRef
from hive_state_core.spi import CACHE, Mark
from hive_state_postgres.dialing import Connection
from hive_state_postgres.rows import Row
from hive_state_postgres.statements import Statements

ROWS = 100
"""Read at once."""


async def marks(db: Connection, statements: Statements, ns: int, limit: int) -> list[Mark]:
    """Fewer than `limit` only if there are no more."""
    latest: dict[RecordRef, int] = {}
    after = -1
    while len(latest) < limit:
        rows = await db.fetch(statements.named("written_read"), ns, after, ROWS)
        for row in rows:
            latest.update(dict.fromkeys(_records(row), row["version"]))
        if len(rows) < ROWS:
            break
        after = rows[-1]["version"]
    return [Mark(CACHE, ref, version) for ref, version in islice(latest.items(), limit)]


async def clear(db: Connection, statements: Statements, ns: int, done: Sequence[Mark]) -> int:
    """How many of them were there."""
    told = {mark.ref: mark.version for mark in done if isinstance(mark.ref, RecordRef)}
    async with db.transaction():
        rows = await db.fetch(statements.named("written_held"), ns, max(told.values(), default=-1))
        rests = [(row, _rest(row, told)) for row in rows]
        emptied = [row["tid"] for row, rest in rests if not rest]
        await db.execute(statements.named("written_delete"), emptied)
        for row, rest in rests:
            if 0 < len(rest) < len(row["keys"]):
                columns = [[ref.collection for ref in rest], [ref.key for ref in rest]]
                await db.execute(statements.named("written_rest"), row["tid"], *columns)
    there = {(ref, row["version"]) for row in rows for ref in _records(row)}
    return len(there.intersection(told.items()))


async def settle(db: Connection, statements: Statements, ns: int, versions: Sequence[int]) -> None:
    """All that these trips wrote."""
    await db.execute(statements.named("written_settle"), ns, versions)


def _records(row: Row) -> list[RecordRef]:
    return list(map(RecordRef, row["collections"], row["keys"]))


def _rest(row: Row, told: Mapping[RecordRef, int]) -> list[RecordRef]:
    """Those of which nobody was told in this version, or in a later one."""
    return [ref for ref in _records(row) if told.get(ref, -1) < row["version"]]
