"""Rows of images, out of the tables and into them, without making the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg  # type: ignore[import-untyped]

from hive_state_core.image_rows import FIELDS, SIZES, dump_names, highest, image_of, latest, load_names
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.spi import Control, ControlState, ImageRow, Kind, Notes, Span
from hive_state_postgres.controlling import require_expected, write_notes
from hive_state_postgres.dialing import Connection
from hive_state_postgres.exporting import TABLES, select
from hive_state_postgres.loading import load
from hive_state_postgres.loadrows import COLUMNS, Row
from hive_state_postgres.rows import lane_of
from hive_state_postgres.statements import Statements

_STREAM = 0
_ID, _PARENTS = 0, 11
_COLUMNS: dict[Kind, str] = {
    kind: ", ".join({"index": "index_fields", "order": "ord"}.get(name, name) for name in fields)
    for kind, fields in FIELDS.items()
}


async def rows(db: Connection, statements: Statements, ns: int, span: Span) -> Sequence[ImageRow]:
    """One page: up to `limit`, or until the values pass REPLY_BYTES."""
    statement, arguments = select(_COLUMNS[span.kind], ns, span)
    make, size = _MAKERS[span.kind], SIZES[span.kind]
    found: list[ImageRow] = []
    room = REPLY_BYTES
    for row in await db.fetch(statements.qualify(statement), *arguments):
        found.append(make(row))
        room -= size(row)
        if room < 0:
            break
    return found


async def pour(
    db: Connection,
    statements: Statements,
    ns: int,
    kind: Kind,
    rows: Sequence[ImageRow],
    notes: Notes,
    expect: Control | None,
) -> int:
    """Into a standby that holds nothing where they go, by COPY; into any other store as `load` does it."""
    try:
        async with db.transaction():
            if await _is_new(db, statements, ns, kind, rows):
                await require_expected(db, statements, ns, expect)
                await _copy(db, statements, ns, kind, rows)
                above = latest(kind, rows), highest(kind, "order", rows), highest(kind, "version", rows)
                await db.execute(statements.named("control_above"), ns, *above)
                await write_notes(db, statements, ns, notes)
                return len(rows)
    except asyncpg.UniqueViolationError:  # some are there, or two tasks hold one dedupe key
        pass
    return await load(db, statements, ns, [image_of(kind, row) for row in rows], notes, expect)


async def _is_new(
    db: Connection, statements: Statements, ns: int, kind: Kind, rows: Sequence[ImageRow]
) -> bool:
    """Whether the store is a standby in which nothing was deleted yet, no event of these streams either."""
    entered = await db.fetchrow(statements.named("load_enter"), ns)
    if entered["state"] != ControlState.STANDBY.value or entered["gones"]:
        return False
    streams = sorted({row[_STREAM] for row in rows}) if kind == "event" else []
    return not (streams and await db.fetchval(statements.named("load_streams"), ns, streams))


async def _copy(
    db: Connection, statements: Statements, ns: int, kind: Kind, rows: Sequence[ImageRow]
) -> None:
    load_row = _LOADERS[kind]
    await db.copy_records_to_table(
        TABLES[kind].name,
        schema_name=statements.schema,
        columns=COLUMNS[kind],
        records=(load_row(ns, row) for row in rows),  # made while the server works
    )
    if kind == "task" and (children := [row[_ID] for row in rows if row[_PARENTS]]):
        await db.execute(statements.named("load_link"), ns, children)


# -- a row of `image_rows.FIELDS` as one of `loadrows.COLUMNS`, and back


def _load_record(ns: int, row: ImageRow) -> Row:
    value, raw = row[4:6]
    deleted_at = row[8] if value is None else None
    return (ns, *row[:5], raw == 1, *row[6:], deleted_at)


def _load_task(ns: int, row: ImageRow) -> Row:
    requires = load_names(row[10])
    lanes = lane_of(requires), requires, load_names(row[11])
    cancels, error, result, result_raw = row[18:22]
    ends = cancels == 1, error, result, result_raw == 1
    return (ns, *row[:8], row[8] == 1, row[9], *lanes, *row[12:18], *ends, *row[22:])


def _load_event(ns: int, row: ImageRow) -> Row:
    stream, seq, version, body, raw, at = row
    return ns, stream, seq, version, body, raw == 1, at


_LOADERS: dict[Kind, Callable[[int, ImageRow], Row]] = {
    "record": _load_record,
    "task": _load_task,
    "event": _load_event,
}


def _task_row(row: ImageRow) -> ImageRow:
    return (*row[:10], dump_names(row[10]), dump_names(row[11]), *row[12:])


_MAKERS: dict[Kind, Callable[[ImageRow], ImageRow]] = {"record": tuple, "task": _task_row, "event": tuple}
