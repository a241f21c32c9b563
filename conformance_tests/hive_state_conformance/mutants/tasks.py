"""Mutants that get tasks wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.limits import ATTEMPTS
from hive_state_core.model import QueueImage, QueueRef, TaskImage, TaskRef
from hive_state_core.spi import (
    Batch,
    Claimed,
    ClaimedTasks,
    ClaimRequest,
    ClaimTasks,
    Committed,
    Complete,
    Enqueue,
    Extend,
    Extended,
    Fail,
    Op,
    Outcome,
    Prioritize,
    Redrive,
    Release,
    Reply,
    Retention,
    ScanImage,
    SchemaAction,
    SchemaInfo,
    SetPaused,
    Swept,
    Take,
)


class TokenMutant(Mutant):
    """Takes whatever token is current in the place of the one that was given."""

    async def current(self, ref: TaskRef, given: int) -> int:
        (image,) = (await self.right.read([ref])).results
        return (image.token if isinstance(image, TaskImage) else 0) or given


@mutant("queue.lease.late_complete_fenced")
class CompleteIgnoresTheToken(TokenMutant):
    async def op(self, op: Op) -> Op:
        return replace(op, token=await self.current(op.ref, op.token)) if isinstance(op, Complete) else op


@mutant("queue.lease.late_verbs_fenced")
class FailIgnoresTheToken(TokenMutant):
    async def op(self, op: Op) -> Op:
        return replace(op, token=await self.current(op.ref, op.token)) if isinstance(op, Fail) else op


@mutant("queue.lease.late_verbs_fenced")
class ExtendIgnoresTheToken(TokenMutant):
    async def op(self, op: Op) -> Op:
        return replace(op, token=await self.current(op.ref, op.token)) if isinstance(op, Extend) else op


class EnqueueMutant(Mutant):
    """Changes every Enqueue."""

    async def op(self, op: Op) -> Op:
        return self.enqueue(op) if isinstance(op, Enqueue) else op

    def enqueue(self, op: Enqueue) -> Enqueue:
        raise NotImplementedError


@mutant("queue.dedupe.while_live")
class IgnoresDedupeKeys(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, dedupe_key=None)


@mutant("queue.delay.boundary")
class HandsOutFutureTasks(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, delay=max(op.delay - 1, 0))


@mutant("queue.order.priority_first")
class IgnoresPriority(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, priority=5)


@mutant("queue.order.priority_range")
class SortsPrioritiesUnsigned(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, priority=abs(op.priority) % 32768)


@mutant("queue.attempts.used_up_by_expiry")
class TriesForEver(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, max_attempts=ATTEMPTS)


@mutant("queue.requires.only_the_capable")
class IgnoresRequirements(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, requires=())


@mutant("queue.depends.released_by_the_last_parent")
class IgnoresParents(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, depends_on=())


@mutant("queue.depends.released_by_the_last_parent")
class WaitsForOneParentOnly(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, depends_on=op.depends_on[:1])


@mutant("queue.payload.any_value")
class ForgetsThatPayloadsAreBytes(EnqueueMutant):
    def enqueue(self, op: Enqueue) -> Enqueue:
        return replace(op, raw=False)


@mutant("queue.order.burst")
class ReversesEnqueuesOfABatch(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        turned = [all(isinstance(op, Enqueue) for op in batch.ops) for batch in batches]
        sent = [replace(b, ops=b.ops[::-1]) if turn else b for b, turn in zip(batches, turned, strict=True)]
        reply = await self.right.commit(sent, trip_id)
        outcomes: list[Outcome] = []
        for outcome, turn in zip(reply.results, turned, strict=True):
            if turn and isinstance(outcome, Committed):
                outcome = replace(outcome, results=outcome.results[::-1])
            outcomes.append(outcome)
        return replace(reply, results=outcomes)


@mutant("trip.enqueue_order")
class ReversesEnqueuesOfATrip(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await self.right.commit(batches[::-1], trip_id)
        return replace(reply, results=reply.results[::-1])


@mutant("queue.fail.obeys_the_delay")
class RetriesAtOnce(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, retry_in=0) if isinstance(op, Fail) and op.retry_in else op


@mutant("queue.release.costs_no_attempt")
class ReleaseCostsAnAttempt(Mutant):
    async def op(self, op: Op) -> Op:
        return Fail(op.ref, op.token, "released", op.delay) if isinstance(op, Release) else op


@mutant("queue.dead.can_be_redriven")
class DropsTheErrorText(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, error="failed") if isinstance(op, Fail) else op


@mutant("queue.pause")
class NeverPauses(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, paused=False) if isinstance(op, SetPaused) else op


@mutant("queue.pause.time_goes_on")
class PassesOverWhatIsPaused(Mutant):
    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        refs = [QueueRef(request.queue) for request in requests if isinstance(request, ClaimTasks)]
        found = await self.right.read(refs)
        if any(isinstance(image, QueueImage) and image.paused for image in found.results):
            return Reply(found.epoch, found.at, [ClaimedTasks(()) for _ in requests])
        return await super().claim(requests, trip_id)


@mutant("queue.take.leases_that_one")
class TakesForTooLong(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, lease=op.lease + 1) if isinstance(op, Take) else op


@mutant("queue.take.only_what_is_ready")
class TakesWhatIsCancelled(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        again = [replace(b, ops=(Redrive(op.ref),)) for b in batches for op in b.ops if isinstance(op, Take)]
        if again:
            await self.right.commit(again, f"{trip_id}-redrive")
        return await super().commit(batches, trip_id)


@mutant("queue.priority.can_be_changed")
class KeepsThePriority(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, priority=5) if isinstance(op, Prioritize) else op


class ClaimMutant(Mutant):
    """Changes every task that is handed out."""

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        reply = await super().claim(requests, trip_id)
        results: list[Claimed] = []
        for request, found in zip(requests, reply.results, strict=True):
            tasks = [self.task(task, cast(ClaimTasks, request)) for task in cast(ClaimedTasks, found).tasks]
            results.append(replace(cast(ClaimedTasks, found), tasks=tuple(tasks)))
        return replace(reply, results=results)

    def task(self, task: TaskImage, request: ClaimTasks) -> TaskImage:
        raise NotImplementedError


@mutant("queue.lease.expiry_hands_out_again")
class CountsNoAttempts(ClaimMutant):
    def task(self, task: TaskImage, request: ClaimTasks) -> TaskImage:
        return replace(task, attempt=1)


@mutant("queue.lease.starts_at_claim")
class LeaseStartsWhenDue(ClaimMutant):
    def task(self, task: TaskImage, request: ClaimTasks) -> TaskImage:
        return replace(task, lease_until=task.due_at + request.lease)


@mutant("queue.claim.limit")
class GivesOneTooMany(Mutant):
    def request(self, request: ClaimRequest) -> ClaimRequest:
        return replace(request, limit=request.limit + 1)


@mutant("queue.lease.boundary")
class LeasesEndEarly(Mutant):
    def request(self, request: ClaimRequest) -> ClaimRequest:
        return replace(request, lease=max(request.lease // 2, 1))


@mutant("queue.claim.never_shared")
class ClaimsWithoutLocking(Mutant):
    """Two claims at once read the same tasks before either marks them."""

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        reply = await super().claim(requests, trip_id)
        results: list[Claimed] = []
        for request, found in zip(requests, reply.results, strict=True):
            place = (self.namespace, cast(ClaimTasks, request).queue)
            given = cast(ClaimedTasks, found).tasks
            seen = self.memory.get(place, ())
            self.memory[place] = given
            if seen and seen[0].worker != cast(ClaimTasks, request).worker:
                given = (*given, seen[0])
            results.append(replace(cast(ClaimedTasks, found), tasks=given))
        return replace(reply, results=results)


class ExtendMutant(Mutant):
    """Changes every answer to Extend."""

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        outcomes: list[Outcome] = []
        for batch, outcome in zip(batches, reply.results, strict=True):
            if isinstance(outcome, Committed):
                pairs = zip(batch.ops, outcome.results, strict=True)
                results = [
                    self.extended(op, was, outcome.at) if isinstance(op, Extend) else was for op, was in pairs
                ]
                outcome = replace(outcome, results=tuple(results))
            outcomes.append(outcome)
        return replace(reply, results=outcomes)

    def extended(self, op: Extend, result: object, at: int) -> Extended:
        raise NotImplementedError


@mutant("queue.extend.never_shortens")
class ExtendShortens(ExtendMutant):
    def extended(self, op: Extend, result: object, at: int) -> Extended:
        return replace(cast(Extended, result), lease_until=at + op.lease)


@mutant("queue.cancel.while_leased")
class NeverTellsOfACancel(ExtendMutant):
    def extended(self, op: Extend, result: object, at: int) -> Extended:
        return replace(cast(Extended, result), cancel_requested=False)


@mutant("queue.sweep.spares_the_living")
class SweepsWhatShouldStay(Mutant):
    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return await self.right.sweep(limit, replace(retention, completed=1, cancelled=1))


@mutant("expiry.sweep_removes")
class SweepIgnoresItsLimit(Mutant):
    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return await self.right.sweep(limit * 1000, retention)


@mutant("store.drop_takes_its_own_only")
class DropsNothing(Mutant):
    """Kept to one namespace, so that the leftovers of this mutant stay few."""

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        return await self.right.schema("inspect" if self.namespace.endswith(":b") else action)


@mutant("queue.lease.complete_once")
class ForgetsResults(Mutant):
    def image(self, image: ScanImage) -> ScanImage:
        return replace(image, result=None) if isinstance(image, TaskImage) else image


@mutant("store.open_and_close_again")
class LeavesATaskBehind(Mutant):
    async def open(self) -> None:
        await super().open()
        self.memory[self] = asyncio.create_task(asyncio.sleep(20))
