"""`scan`: one page of a kind. The one place where SQL is put together, as the conditions vary."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from hive_state_core.index_text import index_text
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import (
    GroupRef,
    PendingRef,
    QueueImage,
    QueueRef,
    RecordImage,
    RecordRef,
    StreamRef,
    TaskRef,
)
from hive_state_core.spi import Page, Scan, ScanImage
from hive_state_sqlite import rows
from hive_state_sqlite.reading import snapshot


class _Source(NamedTuple):
    """Where the rows of a kind come from; `key` is the column that pages go by."""

    table: str
    key: str
    columns: str
    conditions: list[str]


def scan(db: sqlite3.Connection, ns: int, query: Scan) -> Page:
    """One page, from one snapshot."""
    with snapshot(db, ns) as (epoch, at):
        arguments: dict[str, Any] = {"ns": ns, "at": at, "within": query.within}
        source = _source(query, arguments)
        where = " AND ".join(["ns = :ns", *source.conditions, *_bounds(source.key, query, arguments)])
        matching = f"FROM {source.table} WHERE {where}"
        if query.count:
            (total,) = db.execute(f"SELECT count(*) {matching}", arguments).fetchone()
            return Page(epoch=epoch, at=at, items=(), next=None, total=total)
        direction = "DESC" if query.reverse else "ASC"
        order = f"ORDER BY {source.key} {direction} LIMIT {query.limit + 1}"
        items, more = _fetch(query, db.execute(f"SELECT {source.columns} {matching} {order}", arguments))
    return Page(epoch=epoch, at=at, items=items, next=_key(items[-1]) if more else None)


def _fetch(query: Scan, found: sqlite3.Cursor) -> tuple[list[ScanImage], bool]:
    """(images, whether more follow): up to the limit, or until values pass REPLY_BYTES."""
    items: list[ScanImage] = []
    size = 0
    for row in found:
        if len(items) == query.limit or size > REPLY_BYTES:
            return items, True
        image = _image(query, row)
        items.append(image)
        size += _size(image)
    return items, False


def _bounds(key: str, query: Scan, arguments: dict[str, Any]) -> list[str]:
    conditions = []
    for name, bound, operator in (
        ("start", query.start, ">="),
        ("stop", query.stop, "<"),
        ("after", _after(query), "<" if query.reverse else ">"),
    ):
        if bound is not None:
            arguments[name] = bound
            conditions.append(f"{key} {operator} :{name}")
    return conditions


def _after(query: Scan) -> str | int | None:
    return int(query.after) if query.after is not None and query.kind == "pending" else query.after


def _source(query: Scan, arguments: dict[str, Any]) -> _Source:
    match query.kind:
        case "record":
            return _records(query, arguments)
        case "task":
            return _tasks(query)
        case "queue":
            return _Source("queues", "queue", "queue, version, paused", [])
        case "stream":
            return _Source("streams", "stream", "stream, version, first, last, dropped", ["dropped = 0"])
        case "group":
            return _groups()
        case "pending":
            return _pending(query, arguments)


def _records(query: Scan, arguments: dict[str, Any]) -> _Source:
    value = "value" if query.values else "x''"
    columns = (
        f"0, key, version, created_version, {value}, raw, index_fields, created_at, updated_at, expires_at"
    )
    conditions = ["collection = :within", "value IS NOT NULL", "(expires_at IS NULL OR expires_at > :at)"]
    for place, (field, scalar) in enumerate(query.where):
        arguments |= {f"f{place}": field, f"v{place}": index_text(scalar)}
        conditions.append(
            "key IN (SELECT key FROM record_index WHERE ns = :ns AND collection = :within"
            f" AND field = :f{place} AND value = :v{place})"
        )
    return _Source("records", "key", columns, conditions)


def _tasks(query: Scan) -> _Source:
    payload, result = ("payload", "result") if query.values else ("x''", "NULL")
    columns = (
        f"0, id, version, queue, state, priority, ord, due_at, {payload}, raw, dedupe_key, lane, parents,"
        " unmet, attempt, max_attempts, token, lease_until, worker, cancel_requested, error,"
        f" {result}, result_raw, created_at, updated_at, finished_at"
    )
    conditions = [] if query.within is None else ["queue = :within"]
    if query.states is not None:
        states = ", ".join(f"'{state.value}'" for state in query.states)
        conditions.append(f"state IN ({states})")
    return _Source("tasks", "id", columns, conditions)


def _groups() -> _Source:
    counts = ", ".join(
        "(SELECT count(*) FROM pending AS p WHERE p.ns = groups.ns AND p.stream = groups.stream"
        f" AND p.grp = groups.grp AND p.dead = {dead})"
        for dead in (0, 1)
    )
    columns = f"grp, version, position, max_deliveries, {counts}"
    return _Source("groups", "grp", columns, ["stream = :within"])


def _pending(query: Scan, arguments: dict[str, Any]) -> _Source:
    arguments |= {"grp": query.group, "dead": query.dead}
    conditions = ["stream = :within", "grp = :grp", "dead = coalesce(:dead, dead)"]
    columns = "seq, version, token, deliveries, consumer, until, dead, error"
    return _Source("pending", "seq", columns, conditions)


def _image(query: Scan, row: rows.Row) -> ScanImage:
    match query.kind:
        case "record":
            return rows.record_image(query.within or "", row)
        case "task":
            return rows.task_image(row)
        case "queue":
            return QueueImage(ref=QueueRef(row[0]), version=row[1], paused=bool(row[2]))
        case "stream":
            return rows.stream_image(row[0], row[1:])
        case "group":
            return rows.group_image(query.within or "", row)
        case "pending":
            return rows.pending_image(GroupRef(query.within or "", query.group or ""), row)


def _size(image: ScanImage) -> int:
    if isinstance(image, RecordImage):
        return len(image.value or b"")
    return len(getattr(image, "payload", b""))


def _key(image: ScanImage) -> str:
    match image.ref:
        case RecordRef(_, key) | GroupRef(_, key):
            return key
        case TaskRef(key) | QueueRef(key) | StreamRef(key):
            return key
        case PendingRef(_, _, seq):
            return str(seq)
