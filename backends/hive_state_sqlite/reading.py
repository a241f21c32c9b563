"""`read`, `scan` and `stats`: snapshots on the reader's thread."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import (
    EventImage,
    GroupRef,
    QueueImage,
    QueueRef,
    ReadRef,
    RecordRef,
    StreamRef,
    TaskRef,
    TaskState,
)
from hive_state_core.spi import (
    GroupStats,
    QueueStats,
    Reply,
    ScanImage,
    Stats,
    StreamPage,
    StreamRead,
)
from hive_state_sqlite import rows, statements
from hive_state_sqlite.connection import dropped

_dump_keys = msgspec.json.Encoder().encode


@contextmanager
def snapshot(db: sqlite3.Connection, ns: int) -> Iterator[tuple[int, int]]:
    """A read transaction; (epoch, instant)."""
    db.execute("BEGIN")
    try:
        row = db.execute(statements.CONTROL_CLOCK, (ns,)).fetchone()
        if row is None:
            raise dropped()
        yield row[0], max(time.time_ns() // 1_000_000, row[1])
    finally:
        db.execute("COMMIT")


def read(db: sqlite3.Connection, ns: int, refs: Sequence[ReadRef]) -> Reply[ScanImage | None]:
    """Images in the order of `refs`."""
    if len(refs) == 1 and isinstance(refs[0], RecordRef):
        return _read_record(db, ns, refs[0])
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


def _read_record(db: sqlite3.Connection, ns: int, ref: RecordRef) -> Reply[ScanImage | None]:
    row = db.execute(statements.RECORD_READ, (ns, ref.collection, ref.key)).fetchone()
    if row is None:
        raise dropped()
    epoch, clock = row[:2]
    at = max(time.time_ns() // 1_000_000, clock)
    there = row[2] is not None and (row[10] is None or row[10] > at)
    return Reply(epoch, at, [rows.record_image(ref.collection, row[1:]) if there else None])


def _read_other(db: sqlite3.Connection, ns: int, ref: ReadRef) -> ScanImage | None:
    if isinstance(ref, TaskRef):
        row = db.execute(statements.TASKS_READ, (ns, _dump_keys([ref.id]).decode())).fetchone()
        return None if row is None else rows.task_image(row)
    if isinstance(ref, GroupRef):
        row = db.execute(statements.GROUP_IMAGE, (ns, ref.stream, ref.group)).fetchone()
        return None if row is None else rows.group_image(ref.stream, row)
    if isinstance(ref, QueueRef):
        row = db.execute(statements.QUEUE_READ, (ns, ref.queue)).fetchone()
        return None if row is None else QueueImage(ref=ref, version=row[0], paused=bool(row[1]))
    if isinstance(ref, StreamRef):
        row = db.execute(statements.STREAM_READ, (ns, ref.stream)).fetchone()
        return None if row is None or row[3] else rows.stream_image(ref.stream, row)
    raise TypeError(f"records are read together, not one by one: {ref!r}")


def stream(db: sqlite3.Connection, ns: int, reads: Sequence[StreamRead]) -> Reply[StreamPage]:
    """A page of events for each, until values pass REPLY_BYTES; each has one event at least."""
    with snapshot(db, ns) as (epoch, at):
        room, pages = REPLY_BYTES, []
        for read in reads:
            page, size = _stream_page(db, ns, read, room)
            room -= size
            pages.append(page)
    return Reply(epoch, at, pages)


def _stream_page(db: sqlite3.Connection, ns: int, read: StreamRead, room: int) -> tuple[StreamPage, int]:
    name = read.ref.stream
    row = db.execute(statements.STREAM_READ, (ns, name)).fetchone()
    first, last = (1, 0) if row is None else row[1:3]
    statement = statements.EVENTS_READ_BACK if read.reverse else statements.EVENTS_READ
    events: list[EventImage] = []
    size = 0
    for event in db.execute(statement, (ns, name, read.start, read.limit)):
        if events and size >= room:
            break
        events.append(rows.event_image(name, event))
        size += len(event[2])
    return StreamPage(events, first, last), size


def stats(db: sqlite3.Connection, ns: int, about: dict[str, str]) -> Stats:
    """Counts, from one snapshot."""
    with snapshot(db, ns) as (_, at):
        records = dict(db.execute(statements.STATS_RECORDS, (ns,)))
        states: dict[str, dict[TaskState, int]] = defaultdict(dict)
        for queue, state, count in db.execute(statements.STATS_TASKS, (ns,)):
            states[queue][TaskState(state)] = count
        paused = dict(db.execute("SELECT queue, paused FROM queues WHERE ns = ?", (ns,)))
        ages = {}
        for queue in states:
            ages[queue] = db.execute(statements.STATS_OLDEST, {"ns": ns, "queue": queue, "at": at}).fetchone()
        streams = dict(db.execute(statements.STATS_STREAMS, (ns,)))
        groups = {
            (stream, group): GroupStats(
                position=position, lag=lag, pending=pending, dead=dead, oldest_at=oldest_at
            )
            for stream, group, position, lag, pending, dead, oldest_at in db.execute(
                statements.STATS_GROUPS, (ns,)
            )
        }
    queues = {
        queue: QueueStats(
            paused=bool(paused.get(queue)),
            states=states.get(queue, {}),
            oldest_ready_at=oldest,
            leases_over=over,
        )
        for queue in sorted({*states, *paused})
        for oldest, over in [ages.get(queue, (None, 0))]
    }
    return Stats(
        at=at,
        records=records,
        queues=queues,
        streams=streams,
        groups=groups,
        size_bytes=os.path.getsize(about["path"]),
        backend={"sqlite": sqlite3.sqlite_version, **about},
    )
