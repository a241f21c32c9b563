"""Claim requests as arguments of `hive.claim`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import GroupRef
from hive_state_core.spi import ClaimEvents, ClaimRequest, ClaimTasks

TURNED_AT_ONCE = 200
"""Leases taken away, tasks promoted, and deliveries made dead, in one queue or group by one claim."""

_dump = msgspec.json.Encoder().encode


class Run:
    """Requests that are served as one: neighbours in a queue with the same capabilities, or all for a group.

    name    of the queue or stream
    what    the capabilities, or the group
    """

    __slots__ = ("limit", "name", "what")

    def __init__(self, name: str, what: frozenset[str] | str) -> None:
        self.name = name
        self.what = what
        self.limit = 0

    @property
    def group(self) -> str | None:
        return self.what if isinstance(self.what, str) else None

    @property
    def capabilities(self) -> str | None:
        return None if isinstance(self.what, str) else _dump(sorted(self.what)).decode()


class Asked(msgspec.Struct, array_like=True, omit_defaults=True):
    """A request as it is remembered with its trip; `stream` and `group` if it is for events."""

    run: int
    limit: int
    stream: str | None = None
    group: str | None = None


load_asked = msgspec.json.Decoder(list[Asked]).decode


def claim_arguments(requests: Sequence[ClaimRequest]) -> tuple[str, tuple[Any, ...]]:
    """(shape, arguments from `p_queues` on)."""
    runs: list[Run] = []
    last: dict[str, int] = defaultdict(int)  # number of the last run of a queue, from 1
    groups: dict[GroupRef, int] = {}  # number of the run of a group
    asked: list[Asked] = []
    skips: list[int] = []
    for request in requests:
        if isinstance(request, ClaimTasks):
            number = last[request.queue]
            if not number or runs[number - 1].what != request.capabilities:
                runs.append(Run(request.queue, request.capabilities))
                number = last[request.queue] = len(runs)
            asked.append(Asked(number, request.limit))
        else:
            number = groups.get(request.ref, 0)
            if not number:
                runs.append(Run(request.ref.stream, request.ref.group))
                number = groups[request.ref] = len(runs)
            asked.append(Asked(number, request.limit, request.ref.stream, request.ref.group))
        run = runs[number - 1]
        skips.append(run.limit)
        run.limit += request.limit
    arguments = (
        sorted(last, key=str.encode),
        [run.name for run in runs],
        [run.capabilities for run in runs],
        [run.limit for run in runs],
        [run.group for run in runs] if groups else (),
        [each.run for each in asked],
        skips,
        [each.limit for each in asked],
        [_consumer(request) for request in requests],
        [request.lease for request in requests],
        TURNED_AT_ONCE,
        REPLY_BYTES,
    )
    return _dump(asked).decode(), arguments


def _consumer(request: ClaimRequest) -> str:
    return request.consumer if isinstance(request, ClaimEvents) else request.worker
