"""`read`, `scan` and `stats`: snapshots on the reader's thread."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from hive_state_core.errors import SchemaMismatch
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import QueueImage, QueueRef, ReadRef, RecordImage, RecordRef, TaskRef, TaskState
from hive_state_core.spi import Page, QueueStats, Reply, Scan, ScanImage, Stats
from hive_state_sqlite import rows, statements
from hive_state_sqlite.connection import SCHEMA_VERSION

_dump_keys = msgspec.json.Encoder().encode


@contextmanager
def snapshot(db: sqlite3.Connection, ns: int) -> Iterator[tuple[int, int]]:
    """A read transaction; (epoch, instant)."""
    db.execute("BEGIN")
    try:
        row = db.execute(statements.CONTROL_CLOCK, (ns,)).fetchone()
        if row is None:
            raise SchemaMismatch(
                "the namespace was dropped while this store was open", found=None, expected=SCHEMA_VERSION
            )
        yield row[0], max(time.time_ns() // 1_000_000, row[1])
    finally:
        db.execute("COMMIT")


def read(db: sqlite3.Connection, ns: int, refs: Sequence[ReadRef]) -> Reply[ScanImage | None]:
    """Images in the order of `refs`."""
    found: list[ScanImage | None] = [None] * len(refs)
    places: dict[str, list[int]] = defaultdict(list)
    others: list[int] = []
    for place, ref in enumerate(refs):
        if type(ref) is RecordRef:
            places[ref.collection].append(place)
        else:
            others.append(place)
    with snapshot(db, ns) as (epoch, at):
        for collection, wanted in places.items():
            keys = _dump_keys([refs[place].key for place in wanted])  # type: ignore[union-attr]
            for row in db.execute(statements.RECORDS_READ, (ns, collection, keys.decode())):
                if row[9] is None or row[9] > at:
                    found[wanted[row[0]]] = rows.record_image(collection, row)
        for place in others:
            found[place] = _read_other(db, ns, refs[place])
    return Reply(epoch, at, found)


def _read_other(db: sqlite3.Connection, ns: int, ref: ReadRef) -> ScanImage | None:
    if isinstance(ref, TaskRef):
        row = db.execute(statements.TASKS_READ, (ns, _dump_keys([ref.id]).decode())).fetchone()
        return None if row is None else rows.task_image(row)
    if isinstance(ref, QueueRef):
        row = db.execute(statements.QUEUE_READ, (ns, ref.queue)).fetchone()
        return None if row is None else QueueImage(ref=ref, version=row[0], paused=bool(row[1]))
    return None  # streams and groups: none can have been made


def scan(db: sqlite3.Connection, ns: int, query: Scan) -> Page:
    """One page."""
    with snapshot(db, ns) as (epoch, at):
        select, where, arguments, key = _scan_parts(ns, at, query)
        if query.count:
            (total,) = db.execute(f"SELECT count(*) {where}", arguments).fetchone()
            return Page(epoch=epoch, at=at, items=(), next=None, total=total)
        order = f"ORDER BY {key} {'DESC' if query.reverse else 'ASC'} LIMIT {query.limit + 1}"
        items: list[ScanImage] = []
        size = 0
        more = False
        for row in db.execute(f"{select} {where} {order}", arguments):
            if len(items) == query.limit or size > REPLY_BYTES:
                more = True
                break
            image = _scan_image(query, row)
            items.append(image)
            size += _size(image)
    return Page(epoch=epoch, at=at, items=items, next=_key(items[-1]) if more else None)


def _scan_parts(ns: int, at: int, query: Scan) -> tuple[str, str, dict[str, Any], str]:
    """(select, from and where, arguments, key column) of a scan."""
    arguments: dict[str, Any] = {"ns": ns, "at": at, "within": query.within}
    conditions = ["ns = :ns"]
    match query.kind:
        case "record":
            key, table = "key", "records"
            value = "value" if query.values else "x''"
            select = (
                f"SELECT 0, key, version, created_version, {value}, raw, index_fields,"
                " created_at, updated_at, expires_at"
            )
            conditions += [
                "collection = :within",
                "value IS NOT NULL",
                "(expires_at IS NULL OR expires_at > :at)",
            ]
            for place, (field, scalar) in enumerate(query.where):
                arguments |= {f"f{place}": field, f"v{place}": rows.index_text(scalar)}
                conditions.append(
                    "key IN (SELECT key FROM record_index WHERE ns = :ns AND collection = :within"
                    f" AND field = :f{place} AND value = :v{place})"
                )
        case "task":
            key, table = "id", "tasks"
            payload, result = ("payload", "result") if query.values else ("x''", "NULL")
            select = (
                f"SELECT 0, id, version, queue, state, priority, ord, due_at, {payload}, raw, dedupe_key,"
                " lane, parents, unmet, attempt, max_attempts, token, lease_until, worker, cancel_requested,"
                f" error, {result}, result_raw, created_at, updated_at, finished_at"
            )
            if query.within is not None:
                conditions.append("queue = :within")
            if query.states is not None:
                states = ", ".join(f"'{state.value}'" for state in query.states)
                conditions.append(f"state IN ({states})")
        case "queue":
            key, table, select = "queue", "queues", "SELECT queue, version, paused"
        case _:  # streams and groups: none can have been made
            key, table, select = "queue", "queues", "SELECT queue, version, paused"
            conditions.append("0")
    for name, bound, operator in (
        ("start", query.start, ">="),
        ("stop", query.stop, "<"),
        ("after", query.after, "<" if query.reverse else ">"),
    ):
        if bound is not None:
            arguments[name] = bound
            conditions.append(f"{key} {operator} :{name}")
    return select, f"FROM {table} WHERE {' AND '.join(conditions)}", arguments, key


def _scan_image(query: Scan, row: rows.Row) -> ScanImage:
    if query.kind == "record":
        return rows.record_image(query.within or "", row)
    if query.kind == "task":
        return rows.task_image(row)
    return QueueImage(ref=QueueRef(row[0]), version=row[1], paused=bool(row[2]))


def _size(image: ScanImage) -> int:
    if isinstance(image, RecordImage):
        return len(image.value or b"")
    return len(getattr(image, "payload", b""))


def _key(image: ScanImage) -> str:
    ref = image.ref
    if isinstance(ref, RecordRef):
        return ref.key
    return ref.id if isinstance(ref, TaskRef) else ref.queue  # type: ignore[union-attr]


def stats(db: sqlite3.Connection, ns: int, about: dict[str, str], warnings: tuple[str, ...]) -> Stats:
    """Counts, from one snapshot."""
    with snapshot(db, ns) as (_, at):
        records = dict(db.execute(statements.STATS_RECORDS, (ns,)))
        states: dict[str, dict[TaskState, int]] = defaultdict(dict)
        for queue, state, count in db.execute(statements.STATS_TASKS, (ns,)):
            states[queue][TaskState(state)] = count
        paused = dict(db.execute("SELECT queue, paused FROM queues WHERE ns = ?", (ns,)))
        oldest = {}
        for queue in states:
            row = db.execute(statements.STATS_OLDEST, {"ns": ns, "queue": queue, "at": at}).fetchone()
            oldest[queue] = row[0]
    queues = {
        queue: QueueStats(
            paused=bool(paused.get(queue)), states=states.get(queue, {}), oldest_ready_at=oldest.get(queue)
        )
        for queue in sorted({*states, *paused})
    }
    return Stats(
        at=at,
        records=records,
        queues=queues,
        streams={},
        groups={},
        size_bytes=os.path.getsize(about["path"]),
        backend={"sqlite": sqlite3.sqlite_version, **about},
        warnings=warnings,
    )
