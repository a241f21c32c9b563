"""Mutants that parse what they should pass on, or answer other questions than were asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_conformance.mutants.records import PutMutant
from hive_state_conformance.mutants.scans import ScanMutant
from hive_state_core.model import CollectionRef, RecordImage, TaskImage, Topic
from hive_state_core.spi import (
    Claimed,
    ClaimedTasks,
    ClaimRequest,
    ClaimTasks,
    Complete,
    Enqueue,
    Op,
    Page,
    Put,
    Reply,
    Retention,
    Scan,
    Stats,
    Swept,
)


@mutant("values.exact_ints")
class TakesIntsForDoubles(PutMutant):
    def put(self, put: Put) -> Put:
        if put.raw:
            return put
        value = json.loads(put.value, parse_int=lambda digits: int(float(digits)))
        return replace(put, value=json.dumps(value).encode())


@mutant("values.exact_floats")
class TakesWholeFloatsForInts(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, value=put.value.replace(b".0,", b",").replace(b".0]", b"]"))


@mutant("values.empty_containers")
class TakesEmptyListsForObjects(PutMutant):
    def put(self, put: Put) -> Put:
        return put if put.raw else replace(put, value=put.value.replace(b"[]", b"{}"))


@mutant("records.put.replaces_wholly")
class MergesTheIndex(Mutant):
    async def op(self, op: Op) -> Op:
        if not isinstance(op, Put) or not op.index:
            return op
        (old,) = (await self.right.read([op.ref])).results
        fields = {field for field, _ in op.index}
        kept = [entry for entry in (cast(RecordImage, old).index if old else ()) if entry[0] not in fields]
        return replace(op, index=(*kept, *op.index))


@mutant("records.collections_isolated")
class FoldsCollections(Mutant):
    async def op(self, op: Op) -> Op:
        if not isinstance(op, Put):
            return op
        return replace(op, ref=replace(op.ref, collection=op.ref.collection.lower()))


@mutant("queue.names_are_literal")
class FoldsQueues(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, queue=op.queue.lower()) if isinstance(op, Enqueue) else op

    def request(self, request: ClaimRequest) -> ClaimRequest:
        return replace(request, queue=request.queue.lower()) if isinstance(request, ClaimTasks) else request


@mutant("queue.list.filters")
class ListsAllStates(ScanMutant):
    def query(self, query: Scan) -> Scan:
        return replace(query, states=None)


@mutant("trip.listing_without_values")
class AlwaysSendsValues(ScanMutant):
    def query(self, query: Scan) -> Scan:
        return replace(query, values=True)


@mutant("scan.filter.pages_are_complete")
class FiltersOnePageOnly(Mutant):
    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        page = await super().scan(query, fresh)
        return replace(page, next=None) if query.where and not query.count else page


@mutant("queue.lease.late_but_not_taken")
class RefusesEveryLateComplete(Mutant):
    async def op(self, op: Op) -> Op:
        if isinstance(op, Complete):
            reply = await self.right.read([op.ref])
            image = reply.results[0]
            if isinstance(image, TaskImage) and (image.lease_until or reply.at) < reply.at:
                return replace(op, token=op.token + 1)
        return op


@mutant("queue.sweep.takes_expired_leases")
class NeverSweeps(Mutant):
    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return Swept()


@mutant("store.stats_count")
class CountsOneTooMany(Mutant):
    async def stats(self) -> Stats:
        stats = await super().stats()
        return replace(stats, records={name: count + 1 for name, count in stats.records.items()})


@mutant("queue.stats.leases_over")
class KnowsOfNoLeaseThatIsOver(Mutant):
    async def stats(self) -> Stats:
        stats = await super().stats()
        queues = {name: replace(found, leases_over=0) for name, found in stats.queues.items()}
        return replace(stats, queues=queues)


@mutant("store.wait_ends_in_time")
class WakesForOthers(Mutant):
    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await super().wait(topics, timeout) | {CollectionRef("somebody else's")}


@mutant("trip.next_due_is_said")
class SaysToWaitTooLong(Mutant):
    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        reply = await super().claim(requests, trip_id)
        results = [self._late(cast(ClaimedTasks, found)) for found in reply.results]
        return replace(reply, results=results)

    def _late(self, found: ClaimedTasks) -> ClaimedTasks:
        return replace(found, next_due_in=3_600_000)
