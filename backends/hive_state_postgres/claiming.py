"""Claim requests as arguments of `hive.claim`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from hive_state_core.limits import REPLY_BYTES
from hive_state_core.spi import ClaimTasks

TURNED_AT_ONCE = 200
"""Leases taken away, and tasks promoted, in one queue by one claim."""

_dump = msgspec.json.Encoder().encode


class Run:
    """Requests that follow one another in a queue with the same capabilities: served as one."""

    __slots__ = ("capabilities", "limit", "queue")

    def __init__(self, queue: str, capabilities: frozenset[str]) -> None:
        self.queue = queue
        self.capabilities = capabilities
        self.limit = 0


def claim_arguments(requests: Sequence[ClaimTasks]) -> tuple[str, tuple[Any, ...]]:
    """(shape, arguments from `p_queues` on)."""
    runs: list[Run] = []
    last: dict[str, int] = defaultdict(int)  # number of the last run of a queue, from 1
    numbers: list[int] = []
    skips: list[int] = []
    for request in requests:
        number = last[request.queue]
        if not number or runs[number - 1].capabilities != request.capabilities:
            runs.append(Run(request.queue, request.capabilities))
            number = last[request.queue] = len(runs)
        run = runs[number - 1]
        numbers.append(number)
        skips.append(run.limit)
        run.limit += request.limit
    limits = [request.limit for request in requests]
    arguments = (
        sorted(last, key=str.encode),
        [run.queue for run in runs],
        [_dump(sorted(run.capabilities)).decode() for run in runs],
        [run.limit for run in runs],
        numbers,
        skips,
        limits,
        [request.worker for request in requests],
        [request.lease for request in requests],
        TURNED_AT_ONCE,
        REPLY_BYTES,
    )
    return _dump(list(zip(numbers, limits, strict=True))).decode(), arguments
