"""Images on their way out: single ones, pages in key order, and their digest."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from hive_state_core.image_rows import SIZES
from hive_state_core.images import Key, digest_of
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import EntityRef, Gone, GroupRef, Image
from hive_state_core.naming import Name, name_of
from hive_state_core.spi import Digest, ImageRow, Kind, Span
from hive_state_sqlite import rows, statements
from hive_state_sqlite.reading import snapshot

_dump = msgspec.json.Encoder().encode


class _Table(NamedTuple):
    """Where the images of a kind lie: `key` columns in order, `columns` as `image` takes a row of them."""

    name: str
    key: tuple[str, ...]
    columns: str
    image: Callable[[rows.Row], Image]
    size: Callable[[rows.Row], int] = lambda _: 0


_RECORD = """
    collection, key, version, created_version, value, raw, index_fields, created_at, updated_at, expires_at"""
_TASK = """
    id, version, queue, state, priority, ord, due_at, payload, raw, dedupe_key, nullif(lane, ''), parents,
    unmet, attempt, max_attempts, token, lease_until, worker, cancel_requested, error, result, result_raw,
    created_at, updated_at, finished_at"""
_GROUP = """
    stream, grp, version, position, max_deliveries,
    (SELECT count(*) FROM pending AS p WHERE p.ns = groups.ns AND p.stream = groups.stream
     AND p.grp = groups.grp AND p.dead = 0),
    (SELECT count(*) FROM pending AS p WHERE p.ns = groups.ns AND p.stream = groups.stream
     AND p.grp = groups.grp AND p.dead = 1)"""

TABLES: dict[Kind, _Table] = {
    "record": _Table(
        "records",
        ("collection", "key"),
        _RECORD,
        lambda row: rows.record_image(row[0], row),
        lambda row: len(row[4] or b""),
    ),
    "task": _Table(
        "tasks",
        ("id",),
        f"ns, {_TASK}",
        rows.task_image,
        lambda row: len(row[8]) + len(row[21] or b""),
    ),
    "queue": _Table("queues", ("queue",), "queue, version, paused", rows.queue_image),
    "event": _Table(
        "events",
        ("stream", "seq"),
        "seq, version, body, raw, at, stream",
        lambda row: rows.event_image(row[5], row),
        lambda row: len(row[2]),
    ),
    "stream": _Table(
        "streams",
        ("stream",),
        "version, first, last, dropped, stream",
        lambda row: rows.stream_image(row[4], row),
    ),
    "pending": _Table(
        "pending",
        ("stream", "grp", "seq"),
        "seq, version, token, deliveries, consumer, until, dead, error, stream, grp",
        lambda row: rows.pending_image(GroupRef(row[8], row[9]), row),
    ),
    "group": _Table("groups", ("stream", "grp"), _GROUP, lambda row: rows.group_image(row[0], row[1:])),
    "commit": _Table("commits", ("id",), "id, version, fingerprint, outcome, at", rows.commit_image),
}


_ROWS: dict[Kind, str] = {
    "record": _RECORD,
    "task": _TASK,
    "event": "stream, seq, version, body, raw, at",
}
"""Columns in the order of `image_rows.FIELDS`."""


def export(db: sqlite3.Connection, ns: int, span: Span) -> list[Image]:
    """One page of the span."""
    table = TABLES[span.kind]
    with snapshot(db, ns):
        return list(map(table.image, _page(db, ns, span, table.columns, table.size)))


def export_rows(db: sqlite3.Connection, ns: int, span: Span) -> list[ImageRow]:
    """One page of the span, as rows."""
    with snapshot(db, ns):
        return list(_page(db, ns, span, _ROWS[span.kind], SIZES[span.kind]))


def digest(db: sqlite3.Connection, ns: int, span: Span) -> tuple[Digest, Image | None]:
    """Of one page, and its last image; None: there is no more."""
    images = export(db, ns, span)
    return digest_of(images), images[-1] if images else None


def images(db: sqlite3.Connection, ns: int, refs: Sequence[EntityRef]) -> list[Image | None]:
    """In the order of `refs`. Those whose keys differ in the last column only are read by one statement."""
    names = [name_of(ref) for ref in refs]
    alike: dict[tuple[Kind, Key], list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        alike[name.kind, name.key[:-1]].append(place)
    found: list[Image | None] = [None] * len(refs)
    with snapshot(db, ns):
        for (kind, rest), places in alike.items():
            last = _dump([names[place].key[-1] for place in places])
            for n, *row in db.execute(_images_statement(kind), (ns, last.decode(), *rest)):
                found[places[n]] = TABLES[kind].image(row)
        for place, ref in enumerate(refs):
            if found[place] is None:
                found[place] = _gone(db, ns, ref, names[place])
    return found


def _images_statement(kind: Kind) -> str:
    """One row for each of the JSON list ?2 that is there, its position first."""
    table = TABLES[kind]
    *rest, last = table.key
    where = [f"{column} = ?{n}" for n, column in enumerate(("ns", "wanted", *rest), 1) if column != "wanted"]
    return (
        f"SELECT place, {table.columns} FROM (SELECT key AS place, value AS wanted FROM json_each(?2))"
        f" CROSS JOIN {table.name} WHERE {' AND '.join(where)} AND {last} = wanted"
    )


def _gone(db: sqlite3.Connection, ns: int, ref: EntityRef, name: Name) -> Gone | None:
    row = db.execute(statements.GONE_READ, (ns, *name.place)).fetchone()
    return None if row is None else Gone(ref, row[0])


def _page(
    db: sqlite3.Connection, ns: int, span: Span, columns: str, size: Callable[[rows.Row], int]
) -> Iterator[rows.Row]:
    """Until `limit`, or until the values pass REPLY_BYTES."""
    table = TABLES[span.kind]
    places = ", ".join("?" * len(table.key))
    key = ", ".join(table.key)
    where, arguments = ["ns = ?"], [ns]
    for bound, comparison in ((span.after, ">"), (span.stop, "<")):
        if bound is not None:
            where.append(f"({key}) {comparison} ({places})")
            arguments += bound  # type: ignore[arg-type]
    if span.below is not None:
        where.append("version < ?")
        arguments.append(span.below)
    statement = f"SELECT {columns} FROM {table.name} WHERE {' AND '.join(where)} ORDER BY {key} LIMIT ?"
    room = REPLY_BYTES
    for row in db.execute(statement, (*arguments, span.limit)):
        yield row
        room -= size(row)
        if room < 0:
            return
