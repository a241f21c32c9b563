"""Images on their way out: single ones, pages in key order, and their digest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hive_state_core import outcomes
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import (
    CommitImage,
    CommitRef,
    EntityRef,
    EventImage,
    Gone,
    GroupRef,
    Image,
    RecordRef,
    StreamImage,
    StreamRef,
)
from hive_state_core.naming import Name, name_of
from hive_state_core.spi import Kind, Span
from hive_state_postgres import rows
from hive_state_postgres.dialing import Connection
from hive_state_postgres.replies import load_committed
from hive_state_postgres.rows import Row
from hive_state_postgres.statements import Statements

CHUNK = 100
"""Images in a statement, at most: others on this event loop have their turns between them."""


class Table(NamedTuple):
    """Where the images of a kind lie. `key`: its columns in order, the last `numbers` of them ints."""

    name: str
    key: tuple[str, ...]
    image: Callable[[Row], Image]
    values: tuple[str, ...] = ()
    columns: str = "t.*"
    numbers: int = 0


_COUNTS = """t.*,
    (SELECT count(*) FROM hive.pending p
     WHERE p.ns = t.ns AND p.stream = t.stream AND p.grp = t.grp AND NOT p.dead) AS pending,
    (SELECT count(*) FROM hive.pending p
     WHERE p.ns = t.ns AND p.stream = t.stream AND p.grp = t.grp AND p.dead) AS dead"""


def _record(row: Row) -> Image:
    return rows.record_image(RecordRef(row["collection"], row["key"]), row)


def _queue(row: Row) -> Image:
    return rows.queue_image(row["queue"], row["version"], row["paused"])


def _event(row: Row) -> Image:
    return EventImage(
        stream=row["stream"],
        seq=row["seq"],
        version=row["version"],
        body=row["body"],
        raw=row["raw"],
        at=row["at"],
    )


def _stream(row: Row) -> Image:
    return StreamImage(
        ref=StreamRef(row["stream"]),
        version=row["version"],
        first=row["first"],
        last=row["last"],
        dropped=row["dropped"],
    )


def _pending(row: Row) -> Image:
    return rows.pending_image(GroupRef(row["stream"], row["grp"]), row)


def _group(row: Row) -> Image:
    return rows.group_image(GroupRef(row["stream"], row["grp"]), row)


def _commit(row: Row) -> Image:
    return CommitImage(
        ref=CommitRef(row["id"]),
        version=row["version"],
        fingerprint=row["fingerprint"],
        results=outcomes.dump(load_committed(row["outcome"])),
        at=row["at"],
    )


TABLES: dict[Kind, Table] = {
    "record": Table("records", ("collection", "key"), _record, ("value",)),
    "task": Table("tasks", ("id",), rows.task_image, ("payload", "result")),
    "queue": Table("queues", ("queue",), _queue),
    "event": Table("events", ("stream", "seq"), _event, ("body",), numbers=1),
    "stream": Table("streams", ("stream",), _stream),
    "pending": Table("pending", ("stream", "grp", "seq"), _pending, numbers=1),
    "group": Table("groups", ("stream", "grp"), _group, columns=_COUNTS),
    "commit": Table("commits", ("id",), _commit),
}


def select(columns: str, ns: int, span: Span) -> tuple[str, list[Any]]:
    """The statement that reads a span, and its arguments."""
    table = TABLES[span.kind]
    key = ", ".join(f"t.{column}" for column in table.key)
    where, arguments = ["t.ns = $1"], [ns, span.limit]
    for bound, comparison in ((span.after, ">"), (span.stop, "<")):
        if bound is not None:
            places = [f"${len(arguments) + n}" for n in range(1, len(bound) + 1)]
            where.append(f"({key}) {comparison} ({', '.join(places)})")
            arguments += bound  # type: ignore[arg-type]
    if span.below is not None:
        arguments.append(span.below)
        where.append(f"t.version < ${len(arguments)}")
    return (
        f"SELECT {columns} FROM hive.{table.name} t WHERE {' AND '.join(where)} ORDER BY {key} LIMIT $2",
        arguments,
    )


async def export(db: Connection, statements: Statements, ns: int, span: Span) -> list[Image]:
    """One page: up to `limit`, or until the values pass REPLY_BYTES."""
    table = TABLES[span.kind]
    statement, arguments = select(table.columns, ns, span)
    found: list[Image] = []
    room = REPLY_BYTES
    for row in await db.fetch(statements.qualify(statement), *arguments):
        found.append(table.image(row))
        room -= sum([len(row[column] or b"") for column in table.values])
        if room < 0:
            break
    return found


async def images(
    db: Connection, statements: Statements, ns: int, refs: Sequence[EntityRef]
) -> list[Image | None]:
    """In the order of `refs`, from one snapshot."""
    names = [name_of(ref) for ref in refs]
    found: dict[Name, Image] = {}
    by_kind: dict[Kind, list[Name]] = defaultdict(list)
    for name in dict.fromkeys(names):
        by_kind[name.kind].append(name)
    async with db.transaction(isolation="repeatable_read", readonly=True):
        for kind, alike in by_kind.items():
            for start in range(0, len(alike), CHUNK):
                some = alike[start : start + CHUNK]
                found.update(await _images_of(db, statements, ns, kind, some))
        missing = [name for name in dict.fromkeys(names) if name not in found]
        gone = await _gones(db, statements, ns, missing)
    found.update({name: Gone(ref, gone[name]) for ref, name in zip(refs, names, strict=True) if name in gone})
    return [found.get(name) for name in names]


async def _images_of(
    db: Connection, statements: Statements, ns: int, kind: Kind, names: Sequence[Name]
) -> dict[Name, Image]:
    table = TABLES[kind]
    columns = [list(column) for column in zip(*[name.key for name in names], strict=True)]
    types = ["bigint[]" if n >= len(table.key) - table.numbers else "text[]" for n in range(len(table.key))]
    unnest = ", ".join(f"${n + 2}::{type_}" for n, type_ in enumerate(types))
    match = " AND ".join(f"t.{column} = u.{column}" for column in table.key)
    # LIMIT makes it a lookup for each: a plan that takes the table for a small one would read all of it.
    statement = (
        f"SELECT t.* FROM unnest({unnest}) u({', '.join(table.key)}) CROSS JOIN LATERAL"
        f" (SELECT {table.columns} FROM hive.{table.name} t WHERE t.ns = $1 AND {match} LIMIT 1) t"
    )
    fetched = await db.fetch(statements.qualify(statement), ns, *columns)
    return {Name(kind, tuple(row[column] for column in table.key)): table.image(row) for row in fetched}


async def _gones(db: Connection, statements: Statements, ns: int, names: Sequence[Name]) -> dict[Name, int]:
    """The versions of those that there are."""
    if not names:
        return {}
    places: list[Any] = [list(column) for column in zip(*[name.place for name in names], strict=True)]
    fetched = await db.fetch(statements.named("gones_read"), ns, *places)
    return {names[row["n"] - 1]: row["version"] for row in fetched}
