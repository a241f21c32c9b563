"""Mutants that get batches and trips wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.spi import Batch, Check, Committed, CreatedIs, LeaseIs, Outcome, Refused, Reply


@mutant("cas.refused_batch_leaves_nothing", "checkpoints.in_a_unit")
class RefusedBatchLeavesItsFirst(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await self.right.commit(batches, trip_id)
        for batch, outcome in zip(batches, reply.results, strict=True):
            if isinstance(outcome, Refused) and len(batch.ops) > 1:
                await self.right.commit([Batch(batch.ops[:1])], uuid4().hex)
        return reply


@mutant("atomic.one_version")
class CommitsOneByOne(Mutant):
    """Checks first, then each operation in a transaction of its own."""

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        replies = [await self._commit(batch) for batch in batches]
        return replace(replies[-1], results=[reply.results[0] for reply in replies])

    async def _commit(self, batch: Batch) -> Reply[Outcome]:
        parts = [Batch((op,)) for op in batch.ops[1:]] if batch.commit_id is None else []
        first = replace(batch, ops=batch.ops[:1]) if parts else batch
        reply = await self.right.commit([first], uuid4().hex)
        (done,) = reply.results
        for part in parts:
            if not isinstance(done, Committed):
                break
            (outcome,) = (await self.right.commit([part], uuid4().hex)).results
            if isinstance(outcome, Refused):
                done = outcome
            else:
                version = max(done.version, outcome.version)
                done = Committed(version, outcome.at, done.results + outcome.results)
        return replace(reply, results=[done])


@mutant("trip.refused_neighbour_untouched")
class OneRefusalRefusesTheTrip(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await self.right.commit(batches[:1], uuid4().hex)
        outcomes = list(reply.results)
        for batch in batches[1:]:
            if isinstance(outcomes[-1], Refused):
                outcomes.append(outcomes[-1])
            else:
                reply = await self.right.commit([batch], uuid4().hex)
                outcomes += reply.results
        return replace(reply, results=outcomes)


@mutant("atomic.commit_id.once")
class IgnoresCommitIds(Mutant):
    async def batch(self, batch: Batch) -> Batch:
        return replace(batch, commit_id=None, fingerprint=None)


@mutant("atomic.commit_id.other_content")
class IgnoresFingerprints(Mutant):
    async def batch(self, batch: Batch) -> Batch:
        return replace(batch, fingerprint=batch.fingerprint and b"same")


@mutant("trip.created_is", "locks.stale_holder_fenced")
class IgnoresCreatedIs(Mutant):
    def checks(self, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        return tuple(check for check in checks if not isinstance(check, CreatedIs))


@mutant("trip.refusals_of_leases")
class IgnoresLeaseIs(Mutant):
    def checks(self, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        return tuple(check for check in checks if not isinstance(check, LeaseIs))


@mutant("trip.first_refusal_counts")
class ReportsTheLastRefusal(Mutant):
    async def batch(self, batch: Batch) -> Batch:
        return replace(batch, checks=batch.checks[::-1])


@mutant("trip.no_change_no_version")
class AlwaysGivesAVersion(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await self.right.commit(batches, trip_id)
        return replace(reply, results=[self._versioned(outcome) for outcome in reply.results])

    def _versioned(self, outcome: Outcome) -> Outcome:
        return replace(outcome, version=outcome.version or 1) if isinstance(outcome, Committed) else outcome


@mutant("trip.instants_never_go_back")
class AsksAnotherClock(Mutant):
    """Trips are stamped by a clock that runs a little ahead of that of reads."""

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await self.right.commit(batches, trip_id)
        return replace(reply, at=max(reply.at, time.time_ns() // 1_000_000) + 5)


@mutant("values.any_text")
class CannotHoldNul(Mutant):
    """As a server's text columns cannot."""

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        if any(b"\\u0000" in (getattr(op, "value", None) or b"") for batch in batches for op in batch.ops):
            raise ValueError("unsupported Unicode escape sequence")
        return await self.right.commit(batches, trip_id)
