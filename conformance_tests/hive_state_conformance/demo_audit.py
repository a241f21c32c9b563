"""What the store holds after a demo, compared with what its agents were told."""

from __future__ import annotations

from collections import Counter

import msgspec

from hive_state_conformance.demo_hive import AGENTS, EFFECTS, QUEUE, Told
from hive_state_core.model import TaskState
from hive_state_core.store import Store


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """See `demo.Report`."""

    completed: int
    lost: int
    duplicates: int
    torn: int
    stale: int


async def audit(store: Store, told: Told) -> Findings:
    """Scan tasks, effect records and agents' records."""
    states = {task.id: task.state async for task in store.tasks.list(queue=QUEUE)}
    effects = Counter([each.key.rpartition(":")[0] async for each in store.records.list(EFFECTS)])
    completed = {id for id, found in states.items() if found is TaskState.COMPLETED}
    torn = completed.symmetric_difference(effects) | (set(told.finished) - completed)
    return Findings(
        completed=len(completed),
        lost=len(set(told.enqueued) - states.keys()) + len(told.enqueued) - len(set(told.enqueued)),
        duplicates=sum(count > 1 for count in effects.values()),
        torn=len(torn),
        stale=await _stale(store, told) + told.wrong_reads,
    )


async def _stale(store: Store, told: Told) -> int:
    """Records that are not what was acknowledged, or are missing."""
    found = {each.key: (each.value, each.version) async for each in store.records.list(AGENTS)}
    return sum(found.get(key) != told.records.get(key) for key in found.keys() | told.records.keys())
