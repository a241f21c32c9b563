"""A driver that is asked the same as another one, and what of its answers is compared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import asdict, replace

from hive_state_core.model import GroupRef, TaskRef
from hive_state_core.spi import (
    TERM_SHIFT,
    Ack,
    Batch,
    Check,
    ClaimedTasks,
    ClaimRequest,
    Committed,
    CreatedIs,
    ExtendDeliveries,
    LeaseIs,
    Nack,
    Op,
    Refused,
    Retention,
    Scan,
    StreamRead,
    Take,
)

from .names import CURRENT, GROUPS, QUEUE, RECORDS, STREAMS, TASKS

SWEPT = 1000
"""More than there is, so that a sweep ends what it began."""
_trips = count()


class Side:
    """One of the two drivers, and the tokens that it has given last."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.leases: dict[TaskRef, int] = {}
        self.deliveries: dict[tuple[GroupRef, int], int] = {}

    async def claim(self, requests: Sequence[ClaimRequest]) -> list[Any]:
        found = (await self.driver.claim(requests, f"t{next(_trips)}")).results
        for request, claimed in zip(requests, found, strict=True):
            if isinstance(claimed, ClaimedTasks):
                for task in claimed.tasks:
                    self.leases.pop(task.ref, None)
                    self.leases[task.ref] = task.token
            else:
                for each in claimed.deliveries:
                    self.deliveries.pop((request.ref, each.event.seq), None)
                    self.deliveries[request.ref, each.event.seq] = each.token
        return list(found)

    async def commit(self, batches: Sequence[Batch]) -> list[Any]:
        records = dict(zip(RECORDS, (await self.driver.read(RECORDS)).results, strict=True))
        own = [
            replace(
                batch,
                ops=tuple([self._own(op) for op in batch.ops]),
                checks=tuple([self._own_check(check, records) for check in batch.checks]),
            )
            for batch in batches
        ]
        outcomes = list((await self.driver.commit(own, f"t{next(_trips)}")).results)
        for batch, outcome in zip(batches, outcomes, strict=True):
            if isinstance(outcome, Committed):
                self._took(batch, outcome)
        return outcomes

    def _took(self, batch: Batch, committed: Committed) -> None:
        for op, token in zip(batch.ops, committed.results, strict=True):
            if isinstance(op, Take) and token:
                self.leases.pop(op.ref, None)
                self.leases[op.ref] = cast(int, token)

    def _own(self, op: Any) -> Op:
        if isinstance(op, Ack | Nack | ExtendDeliveries):
            named = [
                (seq, self.deliveries.get((op.ref, seq), 77) if which == CURRENT else which)
                for seq, which in op.deliveries
            ]
            return replace(op, deliveries=tuple(named))
        if getattr(op, "token", 0) == CURRENT:
            return replace(op, token=self.leases.get(op.ref, 77))
        return op  # type: ignore[no-any-return]

    def _own_check(self, check: Any, records: dict[Any, Any]) -> Check:
        if isinstance(check, LeaseIs):
            return replace(check, token=self.leases.get(check.ref, 77)) if check.token == CURRENT else check
        image = records[check.ref]
        if check.version != CURRENT or image is None:
            return check  # type: ignore[no-any-return]
        return replace(
            check, version=image.created_version if isinstance(check, CreatedIs) else image.version
        )

    async def sweep(self, retention: Retention) -> Any:
        return await self.driver.sweep(SWEPT, retention)

    async def state(self) -> list[Any]:
        images = (await self.driver.read([*RECORDS, *STREAMS, *TASKS, *GROUPS, QUEUE])).results
        pages = [
            (await self.driver.scan(query)).items
            for query in [
                Scan(kind="record", within=RECORDS[0].collection),
                Scan(kind="task", within=QUEUE.queue),
                Scan(kind="stream"),
                *(Scan(kind="group", within=ref.stream, reverse=True) for ref in STREAMS),
                *(Scan(kind="pending", within=ref.stream, group=ref.group) for ref in GROUPS),
            ]
        ]
        reads = [
            StreamRead(ref, start, 5, back) for ref in STREAMS for start, back in ((1, False), (9, True))
        ]
        events = (await self.driver.stream(reads)).results
        stats = await self.driver.stats()
        return [images, pages, events, stats.streams, stats.groups, stats.queues]


def _is_token(result: object) -> bool:
    """Those of `Take` are versions, which no number of an event comes near."""
    return isinstance(result, int) and result >> TERM_SHIFT > 0


def told(found: Any) -> Any:
    """Without what may differ: versions and tokens, except whether there is one."""
    match found:
        case Committed():
            results = ["token" if _is_token(result) else result for result in found.results]
            return ["committed", found.version > 0, found.at, told(results)]
        case Refused():
            return [found.reason, found.ref, found.index, found.in_check, found.seq, found.actual > 0]
        case Struct():
            fields = asdict(found)
            differ = {"version", "token", "order", "created_version"} & fields.keys()
            return {name: told(value) for name, value in fields.items()} | dict.fromkeys(differ)
        case list() | tuple():
            return [told(each) for each in found]
        case dict():
            return {key: told(value) for key, value in found.items()}
    return found


def difference(one: Any, other: Any, path: str = "") -> str:
    """Where two told things differ first, and how; empty: nowhere."""
    match one, other:
        case (dict(), dict()) if one.keys() == other.keys():
            pairs = [(key, one[key], other[key]) for key in one]
        case (list(), list()) if len(one) == len(other):
            pairs = [(place, *pair) for place, pair in enumerate(zip(one, other, strict=True))]
        case _:
            return "" if one == other else f"{path}: {one!r} is {other!r} here"
    return next((found for key, *pair in pairs if (found := difference(*pair, f"{path}/{key}"))), "")
