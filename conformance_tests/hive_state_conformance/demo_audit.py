"""What the store holds after a demo, compared with what its agents were told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from hive_state_conformance.workloads_values import state
from hive_state_core.model import TaskState
from hive_state_core.store import Store

if TYPE_CHECKING:
    from hive_state_conformance.demo import Hive

AGENTS, EFFECTS, QUEUE = "agents", "effects", "work"
"""The collections and the queue of a demo."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """See `demo.Report`."""

    completed: int
    lost: int
    duplicates: int
    torn: int
    stale: int


async def audit(store: Store, hive: Hive) -> Findings:
    """Scan tasks, effect records and agents' records."""
    states = {task.id: task.state async for task in store.tasks.list(queue=QUEUE)}
    effects = Counter([each.key.rpartition(":")[0] async for each in store.records.list(EFFECTS)])
    completed = {id for id, found in states.items() if found is TaskState.COMPLETED}
    torn = completed.symmetric_difference(effects) | (set(hive.finished) - completed)
    return Findings(
        completed=len(completed),
        lost=len(set(hive.enqueued) - states.keys()) + len(hive.enqueued) - len(set(hive.enqueued)),
        duplicates=sum(count > 1 for count in effects.values()),
        torn=len(torn),
        stale=await _stale(store, hive) + hive.wrong_reads,
    )


async def _stale(store: Store, hive: Hive) -> int:
    """Records that are not what was acknowledged, or are missing."""
    found = {each.key: each async for each in store.records.list(AGENTS)}
    wrong = abs(len(found) - len(hive.keys))
    for number, key in enumerate(hive.keys):
        record = found.get(key)
        agent = hive.agents[number] if number < len(hive.agents) else None
        value = state(number) if agent is None else agent.value
        if record is None or record.value != value or (agent and record.version != agent.version):
            wrong += 1
    return wrong
