"""`stats`: counts at one instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hive_state_core.model import TaskState
from hive_state_core.spi import GroupStats, MemoryStats, QueueStats, Stats
from hive_state_redis.caller import Caller
from hive_state_redis.facts import Facts
from hive_state_redis.rows import STATES

_load_told = msgspec.msgpack.Decoder(tuple[int, int]).decode


async def stats(caller: Caller) -> Stats:
    told, records, queues, streams, groups = await caller.read("stats")
    _, at = _load_told(told)
    return Stats(
        at=at,
        records={name: count for name, count in _pairs(records).items() if count},
        queues={queue.decode(): _queue(*rest) for queue, *rest in queues},
        streams=_pairs(streams),
        groups={(stream.decode(), group.decode()): _group(*rest) for stream, group, *rest in groups},
        size_bytes=None,
        backend={},
    )


def about(facts: Facts) -> dict[str, str | int | float | bool | None]:
    """For people."""
    return {
        "server": facts.product,
        "used_memory": facts.used_memory,
        "max_memory": facts.max_memory,
        "maxmemory_policy": facts.policy,
        "appendonly": facts.appends,
        "appendfsync": facts.fsync,
        "replicas": facts.replicas,
    }


def memory(facts: Facts) -> dict[str, MemoryStats]:
    """Nothing if the server does not tell."""
    if facts.used_memory is None:
        return {}
    return {"redis": MemoryStats(used=facts.used_memory, most=facts.max_memory or None)}


def _pairs(flat: Sequence[Any]) -> dict[str, int]:
    """Of names and counts in turn."""
    return {name.decode(): count for name, count in zip(flat[::2], flat[1::2], strict=True)}


def _queue(paused: int, counts: Sequence[bytes], oldest: int | None, over: int) -> QueueStats:
    states: dict[TaskState, int] = {}
    for number, count in zip(counts[::2], counts[1::2], strict=True):
        state = STATES[int(number)]
        if state is not None:
            states[state] = int(count)
    return QueueStats(paused=bool(paused), states=states, oldest_ready_at=oldest, leases_over=over)


def _group(position: int, lag: int, pending: int, dead: int, oldest: int | None) -> GroupStats:
    return GroupStats(position=position, lag=lag, pending=pending, dead=dead, oldest_at=oldest)
