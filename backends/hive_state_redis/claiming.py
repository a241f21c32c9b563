"""Claim requests as an argument of the script `claim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hive_state_core.spi import ClaimRequest, ClaimTasks

_encode = msgspec.msgpack.Encoder().encode


def claim_plan(requests: Sequence[ClaimRequest]) -> bytes:
    """[1, queue, worker, lease, limit, capabilities] for tasks, and for events [2, stream, group, consumer,
    lease, limit]."""
    return _encode([_request(request) for request in requests])


def _request(request: ClaimRequest) -> tuple[Any, ...]:
    if isinstance(request, ClaimTasks):
        capabilities = list(request.capabilities)
        return 1, request.queue, request.worker, request.lease, request.limit, capabilities
    ref = request.ref
    return 2, ref.stream, ref.group, request.consumer, request.lease, request.limit
