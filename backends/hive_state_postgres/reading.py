"""`read`, `scan` and `stats`: each one statement, or one snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hive_state_core.model import QueueRef, ReadRef, RecordRef, TaskRef, TaskState
from hive_state_core.spi import QueueStats, Reply, ScanImage, Stats
from hive_state_postgres.errors import dropped
from hive_state_postgres.pool import Connection
from hive_state_postgres.rows import STATES, queue_image, record_image, task_image
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
    ids, names = [ref.id for ref in tasks], [ref.queue for ref in queues]
    rows = await db.fetch(statements.read_mixed, ns, collections, keys, ids, names)
    _expect_rows(rows)
    for row in rows:
        match row["kind"]:
            case "r":
                place = places[RecordRef][row["place"] - 1]
                found[place] = record_image(refs[place], row)
            case "t":
                found[places[TaskRef][row["place"] - 1]] = task_image(row, "value")
            case "q":
                place = places[QueueRef][row["place"] - 1]
                found[place] = queue_image(row["id"], row["version"], row["raw"])
    return Reply(rows[0]["epoch"], rows[0]["at"], found)


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
    states: dict[str, dict[TaskState, int]] = defaultdict(dict)
    oldest: dict[str, int] = {}
    over: dict[str, int] = defaultdict(int)
    for queue, state, count, due, leases_over in tasks:
        states[queue][STATES[state]] = count
        over[queue] += leases_over
        if due is not None:
            oldest[queue] = min(due, oldest.get(queue, due))
    queues = {
        queue: QueueStats(
            paused=paused.get(queue, False),
            states=states.get(queue, {}),
            oldest_ready_at=oldest.get(queue),
            leases_over=over[queue],
        )
        for queue in sorted({*states, *paused})
    }
    settings = {name: store[name] for name in ("synchronous_commit", "fsync", "full_page_writes")}
    warnings = []
    if "off" in settings.values():
        said = ", ".join(f"{name} is {value}" for name, value in settings.items())
        warnings.append(f"an acknowledged write may be lost: on the server, {said}")
    return Stats(
        at=store["at"],
        records=records,
        queues=queues,
        streams={},
        groups={},
        size_bytes=store["size"],
        backend={
            "postgres": store["version"],
            "max_connections": store["max_connections"],
            **settings,
            **about,
        },
        warnings=tuple(warnings),
    )


async def held(db: Connection, statements: Statements, ns: int, tokens: dict[str, int]) -> list[Any]:
    """Rows of those of these tasks that are still leased under the token given."""
    found = await db.fetch(statements.tasks_held, ns, list(tokens), list(tokens.values()))
    return list(found)
