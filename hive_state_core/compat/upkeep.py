"""What the original's managers count and clean up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

from hive_state_core.agent_model import OFFLINE
from hive_state_core.checkpoints import SNAPSHOTS
from hive_state_core.compat.values import SystemState, local
from hive_state_core.janitor import first_since
from hive_state_core.legacy_model import NOTES, QUEUE
from hive_state_core.model import StreamImage, TaskRef, TaskState
from hive_state_core.paging import chunked, pages
from hive_state_core.retention import retention
from hive_state_core.spi import Batch, Delete, Scan
from hive_state_core.store import Store
from hive_state_core.trimming import trim

KEEP_CHECKPOINTS = 10
"""Of each name."""


async def system_state(hive: Store) -> SystemState:
    agents = [agent async for agent in hive.agents.list()]
    total, completed, failed = await asyncio.gather(
        hive.tasks.count(queue=QUEUE),
        hive.tasks.count(queue=QUEUE, states=[TaskState.COMPLETED]),
        hive.tasks.count(queue=QUEUE, states=[TaskState.DEAD, TaskState.CANCELLED]),
    )
    usage = [agent.context_usage or 0.0 for agent in agents]
    return SystemState(
        total_agents=len(agents),
        active_agents=sum(agent.status not in ("idle", OFFLINE) for agent in agents),
        total_tasks=total,
        completed_tasks=completed,
        failed_tasks=failed,
        average_context_usage=sum(usage) / len(usage) if usage else 0.0,
        quality_score=completed / (completed + failed) if completed + failed else 0.0,
        last_checkpoint=await _last_checkpoint(hive),
    )


async def clean_up(hive: Store, age: timedelta) -> None:
    """Remove what ended, and snapshots that were made, longer ago, and all but the newest checkpoints."""
    kept = retention(completed=age, cancelled=age, dead=age)
    while (await hive.sweep(retention=kept)).more:
        pass
    await _remove_notes(hive)
    await _trim_snapshots(hive, age)
    for name in [name async for name in hive.checkpoints.names()]:
        await hive.checkpoints.prune(name, keep=KEEP_CHECKPOINTS)


async def _last_checkpoint(hive: Store) -> datetime | None:
    names = [name async for name in hive.checkpoints.names()]
    newest = await asyncio.gather(*[hive.checkpoints.latest(name) for name in names])
    instants = [checkpoint.at for checkpoint in newest if checkpoint is not None]
    return local(max(instants)) if instants else None


async def _remove_notes(hive: Store) -> None:
    """Those whose task is gone."""
    query = Scan(kind="record", within=NOTES, limit=200, values=False)
    async for chunk in chunked(pages(hive._trips, query, None), query.limit):
        tasks = await hive._trips.read(tuple([TaskRef(image.ref.key) for image in chunk]))
        gone = [image.ref for image, task in zip(chunk, tasks, strict=True) if task is None]
        if gone:
            await hive._trips.commit(Batch(tuple(map(Delete, gone))))


async def _trim_snapshots(hive: Store, age: timedelta) -> None:
    instant = round((datetime.now(UTC) - age).timestamp() * 1000)
    (stream,) = cast("tuple[StreamImage | None]", await hive._trips.read((SNAPSHOTS,)))
    if stream is not None:
        first = await first_since(hive._trips, stream, stream.first, instant)
        await trim(hive._trips, SNAPSHOTS, None, first, False, None)
