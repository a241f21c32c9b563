"""`sweep`: one round of house-keeping."""

from __future__ import annotations

import msgspec

from hive_state_core.spi import Retention, Swept
from hive_state_redis.caller import Caller

_encode = msgspec.msgpack.Encoder().encode


async def sweep(caller: Caller, limit: int, keep: Retention) -> Swept:
    kept = (keep.completed, keep.cancelled, keep.dead, keep.tombstones, keep.commits)
    counts = await caller.write("sweep", limit, _encode(kept))
    expired, tombstones, promoted, leases, removed, commits, more = counts
    return Swept(
        records_expired=expired,
        tombstones_removed=tombstones,
        tasks_promoted=promoted,
        leases_expired=leases,
        tasks_removed=removed,
        commits_removed=commits,
        more=bool(more),
    )
