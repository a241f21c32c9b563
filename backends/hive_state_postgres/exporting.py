"""`images` and `export`: what is stored, tombstones and expired records included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hive_state_core.errors import Unsupported
from hive_state_core.features import Facility
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import EntityRef, Image, RecordRef, StreamImage, StreamRef, TaskRef
from hive_state_core.spi import Kind, Span
from hive_state_postgres.dialing import Connection
from hive_state_postgres.rows import Row, event_image, record_image, task_image
from hive_state_postgres.statements import Statements


class _Table(NamedTuple):
    """Where the images of a kind lie: `key` columns in order, with their types; `values` count for the size
    of a page."""

    name: str
    key: tuple[tuple[str, str], ...]
    image: Callable[[Row], Image]
    values: tuple[str, ...] = ()


def _stream_image(row: Row) -> StreamImage:
    ref = StreamRef(row["stream"])
    columns = ("version", "first", "last", "dropped")
    return StreamImage(ref=ref, **{name: row[name] for name in columns})


_TABLES: dict[Kind, _Table] = {
    "record": _Table(
        "records",
        (("collection", "text"), ("key", "text")),
        lambda row: record_image(RecordRef(row["collection"], row["key"]), row),
        ("value",),
    ),
    "task": _Table("tasks", (("id", "text"),), task_image, ("payload", "result")),
    "event": _Table(
        "events",
        (("stream", "text"), ("seq", "bigint")),
        lambda row: event_image(row["stream"], row),
        ("body",),
    ),
    "stream": _Table("streams", (("stream", "text"),), _stream_image),
}


async def images(
    db: Connection, statements: Statements, ns: int, refs: Sequence[EntityRef]
) -> list[Image | None]:
    """In the order of `refs`, None where there is nothing."""
    found: list[Image | None] = [None] * len(refs)
    async with db.transaction(isolation="repeatable_read", readonly=True):
        for kind, places in _by_kind(refs).items():
            table = _TABLES[kind]
            keys = [_key(refs[place]) for place in places]
            columns = [list(column) for column in zip(*keys, strict=True)]
            for row in await db.fetch(statements.qualify(_images_sql(table)), ns, *columns):
                found[places[row["place"] - 1]] = table.image(row)
    return found


async def export(db: Connection, statements: Statements, ns: int, span: Span) -> list[Image]:
    """One page."""
    table = _table(span.kind)
    sql, arguments = _export_sql(table, span)
    found: list[Image] = []
    room = REPLY_BYTES
    async with db.transaction(readonly=True):
        async for row in db.cursor(statements.qualify(sql), ns, *arguments):
            found.append(table.image(row))
            room -= sum(len(row[name] or b"") for name in table.values)
            if room < 0:
                break
    return found


def _by_kind(refs: Sequence[EntityRef]) -> dict[Kind, list[int]]:
    places: dict[Kind, list[int]] = {}
    for place, ref in enumerate(refs):
        kinds: dict[type, Kind] = {RecordRef: "record", TaskRef: "task", StreamRef: "stream"}
        if type(ref) not in kinds:
            raise _unsupported(type(ref).__name__)
        places.setdefault(kinds[type(ref)], []).append(place)
    return places


def _key(ref: EntityRef) -> tuple[str, ...]:
    match ref:
        case RecordRef(collection, key):
            return collection, key
        case TaskRef(id):
            return (id,)
        case StreamRef(stream):
            return (stream,)
    raise _unsupported(type(ref).__name__)


def _images_sql(table: _Table) -> str:
    names = [name for name, _ in table.key]
    arrays = ", ".join(f"${n}::{type}[]" for n, (_, type) in enumerate(table.key, 2))
    same = " AND ".join(f"t.{name} = u.{name}" for name in names)
    return (
        f"SELECT u.place, t.* FROM unnest({arrays}) WITH ORDINALITY u({', '.join(names)}, place),"
        f" LATERAL (SELECT * FROM hive.{table.name} t WHERE t.ns = $1 AND {same} OFFSET 0) t"
    )


def _export_sql(table: _Table, span: Span) -> tuple[str, list[Any]]:
    names = ", ".join(name for name, _ in table.key)
    where = ["ns = $1"]
    arguments: list[Any] = []
    for bound, comparison in ((span.after, ">"), (span.stop, "<")):
        if bound is not None:
            marks = ", ".join(f"${n}" for n in range(len(arguments) + 2, len(arguments) + 2 + len(bound)))
            where.append(f"({names}) {comparison} ({marks})")
            arguments += bound
    if span.below is not None:
        arguments.append(span.below)
        where.append(f"version < ${len(arguments) + 1}")
    arguments.append(span.limit)
    order = f"ORDER BY {names} LIMIT ${len(arguments) + 1}"
    return f"SELECT * FROM hive.{table.name} WHERE {' AND '.join(where)} {order}", arguments


def _table(kind: Kind) -> _Table:
    if kind not in _TABLES:
        raise _unsupported(f"images of kind {kind!r}")
    return _TABLES[kind]


def _unsupported(what: str) -> Unsupported:
    return Unsupported(f"this backend does not give {what} yet", feature=Facility.REPLICATION.value)
