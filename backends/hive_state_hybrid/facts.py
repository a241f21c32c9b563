"""What an operator is told of the cache."""

from __future__ import annotations

from msgspec.structs import replace

from hive_state_core.errors import HiveStateError
from hive_state_core.spi import CacheStats, Stats
from hive_state_hybrid.front import Front
from hive_state_hybrid.options import Options


def counts(front: Front) -> tuple[int, int]:
    """Records that were asked for, and how many of them were at hand or in the cache."""
    hits = front.near.hits + front.hits
    return hits + front.misses, hits


async def facts(durable: Stats, front: Front, options: Options) -> Stats:
    """The durable store's stats, and the cache's facts."""
    asked, hits = counts(front)
    found: dict[str, str | int | float | bool | None] = {
        "consistency": options.consistency.name.lower(),
        "durable": options.durable,
        "fast": options.fast,
        "cache_near_hits": front.near.hits,
        "cache_hits": front.hits,
        "cache_hits_ahead": front.ahead,
        "cache_misses": front.misses,
    }
    cache = CacheStats(connected=False, asked=asked, hits=hits, target=options.cache_hit_ratio_target)
    warnings, room = durable.warnings, dict(durable.memory)
    try:
        room[options.fast] = await front.breaker.call(front.cache.memory)
        cache = replace(cache, connected=True)
    except HiveStateError as error:
        said = front.breaker.error or error
        warnings += (f"the cache {options.fast} cannot be reached ({said}); reads go to {options.durable}",)
    return replace(durable, backend={**durable.backend, **found}, cache=cache, memory=room, warnings=warnings)
