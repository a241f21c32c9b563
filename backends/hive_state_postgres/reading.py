"""`read`, `stream` and `stats`: each one statement, or one snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import (
    EventImage,
    GroupRef,
    QueueRef,
    ReadRef,
    RecordRef,
    StreamRef,
    TaskRef,
    TaskState,
)
from hive_state_core.spi import GroupStats, QueueStats, Reply, ScanImage, Stats, StreamPage, StreamRead
from hive_state_postgres.claiming import load_asked
from hive_state_postgres.dialing import Connection
from hive_state_postgres.errors import dropped
from hive_state_postgres.rows import (
    STATES,
    Row,
    event_image,
    group_image,
    queue_image,
    record_image,
    stream_image,
    task_image,
)
from hive_state_postgres.statements import Statements

Facts = dict[str, str | int | float | bool | None]


async def read(
    db: Connection, statements: Statements, ns: int, refs: Sequence[ReadRef]
) -> Reply[ScanImage | None]:
    """Images in the order of `refs`."""
    places: dict[type, list[int]] = defaultdict(list)
    for place, ref in enumerate(refs):
        places[type(ref)].append(place)
    records: Any = [refs[place] for place in places[RecordRef]]
    collections = [ref.collection for ref in records]
    keys = [ref.key for ref in records]
    found: list[ScanImage | None] = [None] * len(refs)
    if len(records) == len(refs):
        rows = await db.fetch(statements.read_records, ns, collections, keys)
        _expect_rows(rows)
        for row in rows:
            place = row["place"]
            if place is not None:
                found[place - 1] = record_image(refs[place - 1], row)
        return Reply(rows[0]["epoch"], rows[0]["at"], found)
    tasks: Any = [refs[place] for place in places[TaskRef]]
    queues: Any = [refs[place] for place in places[QueueRef]]
    streams: Any = [refs[place] for place in places[StreamRef]]
    groups: Any = [refs[place] for place in places[GroupRef]]
    rows = await db.fetch(
        statements.read_mixed,
        ns,
        collections,
        keys,
        [ref.id for ref in tasks],
        [ref.queue for ref in queues],
        [ref.stream for ref in streams],
        [ref.stream for ref in groups],
        [ref.group for ref in groups],
    )
    _expect_rows(rows)
    for row in rows:
        if row["kind"] is not None:
            place = places[_KINDS[row["kind"]]][row["place"] - 1]
            found[place] = _image(refs[place], row)
    return Reply(rows[0]["epoch"], rows[0]["at"], found)


_KINDS: dict[str, type] = {"r": RecordRef, "t": TaskRef, "q": QueueRef, "s": StreamRef, "g": GroupRef}


def _image(ref: ReadRef, row: Row) -> ScanImage:
    """Of a row of `read_mixed`."""
    match ref:
        case RecordRef():
            return record_image(ref, row)
        case TaskRef():
            return task_image(row, "value")
        case QueueRef():
            return queue_image(ref.queue, row["version"], row["raw"])
        case StreamRef():
            return stream_image(ref.stream, row["version"], row["ord"], row["due_at"])
        case GroupRef():
            columns = {
                "position": "ord",
                "pending": "due_at",
                "dead": "unmet",
                "max_deliveries": "max_attempts",
            }
            named = {name: row[column] for name, column in columns.items()}
            return group_image(ref, {"version": row["version"], **named})


async def stream(
    db: Connection, statements: Statements, ns: int, reads: Sequence[StreamRead]
) -> Reply[StreamPage]:
    """Events by number, and the bounds of each stream."""
    rows = await db.fetch(
        statements.stream,
        ns,
        [read.ref.stream for read in reads],
        [read.start for read in reads],
        [read.limit for read in reads],
        [read.reverse for read in reads],
        REPLY_BYTES,
    )
    _expect_rows(rows)
    events: list[list[EventImage]] = [[] for _ in reads]
    bounds = [(1, 0)] * len(reads)
    for row in rows:
        if row["place"] is not None:
            place = row["place"] - 1
            bounds[place] = row["first"], row["last"]
            if row["seq"] is not None:
                events[place].append(event_image(reads[place].ref.stream, row))
    pages = [StreamPage(tuple(found), *bound) for found, bound in zip(events, bounds, strict=True)]
    return Reply(rows[0]["epoch"], rows[0]["now"], pages)


def _expect_rows(rows: Sequence[Any]) -> None:
    if not rows:
        raise dropped()


async def stats(db: Connection, statements: Statements, ns: int, about: Facts) -> Stats:
    """Counts, from one snapshot."""
    async with db.transaction(isolation="repeatable_read", readonly=True):
        store = await db.fetchrow(statements.stats_store, ns, f'"{statements.schema}"')
        if store is None:
            raise dropped()
        records = dict(map(tuple, await db.fetch(statements.stats_records, ns)))
        tasks = await db.fetch(statements.stats_tasks, ns, store["at"])
        paused = dict(map(tuple, await db.fetch(statements.stats_queues, ns)))
        streams = dict(map(tuple, await db.fetch(statements.stats_streams, ns)))
        groups = await db.fetch(statements.stats_groups, ns)
    settings = {name: store[name] for name in ("synchronous_commit", "fsync", "full_page_writes")}
    warnings = []
    if "off" in settings.values():
        said = ", ".join(f"{name} is {value}" for name, value in settings.items())
        warnings.append(f"an acknowledged write may be lost: on the server, {said}")
    return Stats(
        at=store["at"],
        records=records,
        queues=_queues(tasks, paused),
        streams=streams,
        groups=_groups(groups),
        size_bytes=store["size"],
        backend={
            "postgres": store["version"],
            "max_connections": store["max_connections"],
            **settings,
            **about,
        },
        warnings=tuple(warnings),
    )


def _queues(tasks: Sequence[Any], paused: Mapping[str, bool]) -> dict[str, QueueStats]:
    """`tasks`: the rows of `stats_tasks`."""
    states: dict[str, dict[TaskState, int]] = defaultdict(dict)
    oldest: dict[str, int] = {}
    over: dict[str, int] = defaultdict(int)
    for queue, state, count, due, leases_over in tasks:
        states[queue][STATES[state]] = count
        over[queue] += leases_over
        if due is not None:
            oldest[queue] = min(due, oldest.get(queue, due))
    return {
        queue: QueueStats(
            paused=paused.get(queue, False),
            states=states.get(queue, {}),
            oldest_ready_at=oldest.get(queue),
            leases_over=over[queue],
        )
        for queue in sorted({*states, *paused})
    }


def _groups(rows: Sequence[Any]) -> dict[tuple[str, str], GroupStats]:
    return {
        (stream, group): GroupStats(position=position, lag=lag, pending=pending, dead=dead, oldest_at=oldest)
        for stream, group, position, lag, pending, dead, oldest in rows
    }


async def held(db: Connection, statements: Statements, ns: int, trip: Row) -> tuple[list[Row], list[int]]:
    """What a claim handed out and is still leased under the same token, and which request got it."""
    ids, seqs, slots, tokens = trip["ids"], trip["seqs"], trip["slots"], trip["tokens"]
    own = dict(zip(ids, slots, strict=False))
    rows = await db.fetch(statements.tasks_held, ns, ids, tokens[: len(ids)])
    found = [own[row["id"]] for row in rows]
    if seqs:
        asked = load_asked(trip["shape"])
        places = [asked[slot - 1] for slot in slots[len(ids) :]]
        deliveries = await db.fetch(
            statements.deliveries_held,
            ns,
            [place.stream for place in places],
            [place.group for place in places],
            seqs,
            tokens[len(ids) :],
            slots[len(ids) :],
        )
        rows = [*rows, *deliveries]
        found += [row["slot"] for row in deliveries]
    return rows, found
