"""The same rows once more, by the bare bulk copy of the target's backend: what there is to be had at best."""

from __future__ import annotations

from hive_state_core.baselines import Bulk
from hive_state_core.images import key_of
from hive_state_core.spi import KINDS, Replication, Span


async def measure(source: Replication, bulk: Bulk, batch: int) -> float:
    """Rows a second. Only the copying is timed: not the reading, nor what makes rows of images."""
    rows, seconds = 0, 0.0
    await bulk.open()
    try:
        for kind in KINDS:
            span = Span(kind=kind, limit=batch)
            while images := await source.export(span):
                seconds += await bulk.copy(images)
                rows += len(images)
                span = Span(kind=kind, after=key_of(images[-1]), limit=batch)
    finally:
        await bulk.close()
    return rows / seconds if seconds else 0.0
