"""Two live tasks with one dedupe key, as may be met while a store is loaded: one of them is out of date."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypeGuard

from msgspec.structs import replace

from hive_state_core.model import LIVE, Image, TaskImage
from hive_state_postgres.dialing import Connection
from hive_state_postgres.statements import Statements


async def without_clashes(
    db: Connection, statements: Statements, ns: int, tasks: Sequence[Image]
) -> Sequence[Image]:
    """The tasks, those without their key that yield it: to one of a higher version, for they are out of date,
    and what has become of them is on its way. Those in the store that yield lose it there."""
    live = [task for task in tasks if _holds_a_key(task)]
    if not live:
        return tasks
    coming = [(task.queue, task.dedupe_key or "", task.version, task.ref.id) for task in live]
    places = sorted({held[:2] for held in coming})
    queues, keys = [queue for queue, _ in places], [key for _, key in places]
    there = [tuple(row) for row in await db.fetch(statements.named("load_holders"), ns, queues, keys)]
    yielding: set[str] = set()
    for _, holders in groupby(sorted([*there, *coming]), key=lambda held: held[:2]):
        *older, newest = holders
        yielding |= {id for *_, id in older if id != newest[3]}
    if yielding:
        await db.execute(statements.named("load_yield"), ns, sorted(yielding))
    return [
        replace(task, dedupe_key=None) if _holds_a_key(task) and task.ref.id in yielding else task
        for task in tasks
    ]


def _holds_a_key(task: Image) -> TypeGuard[TaskImage]:
    return isinstance(task, TaskImage) and task.dedupe_key is not None and task.state in LIVE
