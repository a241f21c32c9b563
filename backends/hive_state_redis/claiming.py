"""Claim requests as an argument of the script `claim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hive_state_core.spi import ClaimRequest, ClaimTasks

_encode = msgspec.msgpack.Encoder().encode


def claim_plan(requests: Sequence[ClaimRequest]) -> bytes:
    """[1, queue, lease, limit, capabilities, workers] for tasks, of neighbours that differ in nothing but the
    worker, and for events [2, stream, group, consumer, lease, limit]."""
    plan: list[tuple[Any, ...]] = []
    last: ClaimTasks | None = None
    for request in requests:
        if not isinstance(request, ClaimTasks):
            ref = request.ref
            plan.append((2, ref.stream, ref.group, request.consumer, request.lease, request.limit))
            last = None
        elif last is not None and _alike(request, last):
            plan[-1][-1].append(request.worker)
        else:
            names = list(request.capabilities)
            plan.append((1, request.queue, request.lease, request.limit, names, [request.worker]))
            last = request
    return _encode(plan)


def _alike(one: ClaimTasks, other: ClaimTasks) -> bool:
    return (
        one.queue == other.queue
        and one.lease == other.lease
        and one.limit == other.limit
        and one.capabilities == other.capabilities
    )
