"""Mutants that get what lives for a time wrong: sessions and locks; and waiting, opening and closing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.errors import Closed
from hive_state_core.model import CollectionRef, ReadRef, RecordImage, RecordRef, Topic
from hive_state_core.spi import (
    KEEP_TTL,
    Batch,
    Check,
    ClaimEvents,
    ClaimRequest,
    CreatedIs,
    Delete,
    Op,
    Outcome,
    Put,
    Reason,
    Redrive,
    Refused,
    Reply,
    Retention,
    Swept,
    Touch,
    VersionIs,
)


@mutant("sessions.sliding", "locks.extended", "locks.kept_alive")
class TouchChangesNoTime(Mutant):
    async def op(self, op: Op) -> Op:
        if not isinstance(op, Touch):
            return op
        (image,) = (await self.right.read([op.ref])).results
        return Put(op.ref, image.value or b"", ttl=KEEP_TTL) if isinstance(image, RecordImage) else op

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        pairs = zip(batches, reply.results, strict=True)
        return replace(reply, results=[self._told(batch, outcome) for batch, outcome in pairs])

    def _told(self, batch: Batch, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Refused):
            return outcome
        results = zip(batch.ops, outcome.results, strict=True)
        return replace(
            outcome, results=tuple(r is not False if isinstance(o, Touch) else r for o, r in results)
        )


@mutant("sessions.strict_ttl")
class TouchesByTheSecond(Mutant):
    async def op(self, op: Op) -> Op:
        if not isinstance(op, Touch) or op.ttl is None:
            return op
        return replace(op, ttl=-(-op.ttl // 1000) * 1000)


@mutant("sessions.touches_never_shorten")
class TouchesByAnotherClock(Mutant):
    """Some are a second behind."""

    async def op(self, op: Op) -> Op:
        if not isinstance(op, Touch) or op.ttl is None:
            return op
        self.memory["touches"] = self.memory.get("touches", 0) + 1
        return replace(op, ttl=op.ttl - 1000 * (self.memory["touches"] % 5 < 2))


@mutant("sessions.set_is_checked")
class PutKeepsTheTime(Mutant):
    async def op(self, op: Op) -> Op:
        if not isinstance(op, Put) or op.ttl is None or (await self.right.read([op.ref])).results == [None]:
            return op
        return replace(op, ttl=KEEP_TTL)


@mutant("expiry.sweep_spares_what_was_put_anew")
class SweepDeletesWhatItFound(Mutant):
    """It finds what will soon be over, and deletes it later, whatever was written in between."""

    async def op(self, op: Op) -> Op:
        if isinstance(op, Put) and op.ttl is not None and 0 < op.ttl < 100:
            self._ending().add(op.ref)
        return op

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        found = tuple(map(Delete, self._ending()))
        self._ending().clear()
        await asyncio.sleep(0.003)
        if found:
            await self.right.commit([Batch(found)], uuid4().hex)
        return await super().sweep(limit, retention)

    def _ending(self) -> set[RecordRef]:
        ending: set[RecordRef] = self.memory.setdefault("ending", set())
        return ending


@mutant("locks.expire")
class ExpiredStaysUntilItIsSwept(Mutant):
    """A record that is put for a time blocks whoever wants it to be absent, though it is over."""

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        for batch in batches:
            for check in batch.checks:
                if isinstance(check, VersionIs) and not check.version and check.ref in self.memory:
                    refused = Refused(Reason.VERSION, check.ref, 0, True, 0, 1)
                    return replace(await self.right.commit([Batch(())], trip_id), results=[refused])
            for op in batch.ops:
                if isinstance(op, Put) and op.ttl is not None:
                    self.memory[op.ref] = True
                elif isinstance(op, Delete):
                    self.memory.pop(op.ref, None)
        return await super().commit(batches, trip_id)


@mutant("locks.tokens_at_the_driver")
class TakesTheVersionForTheToken(Mutant):
    def checks(self, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        return tuple(
            VersionIs(check.ref, check.version) if isinstance(check, CreatedIs) else check for check in checks
        )


@mutant("locks.mutual_exclusion")
class ChecksBeforeItLocks(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        bare = []
        for batch in batches:
            wanted = [check for check in batch.checks if isinstance(check, VersionIs)]
            found = (await self.right.read([check.ref for check in wanted])).results
            hold = [
                (image.version if image else 0) == check.version
                for image, check in zip(found, wanted, strict=True)
            ]
            bare.append(replace(batch, checks=()) if all(hold) else batch)
        await asyncio.sleep(0.001)
        return await super().commit(bare, trip_id)


@mutant("queue.redrive.once")
class RedriveAlwaysSucceeds(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        pairs = zip(batches, reply.results, strict=True)
        return replace(reply, results=[self._told(batch, outcome) for batch, outcome in pairs])

    def _told(self, batch: Batch, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Refused):
            return outcome
        results = zip(batch.ops, outcome.results, strict=True)
        return replace(outcome, results=tuple(isinstance(o, Redrive) or r for o, r in results))


# Waiting


@mutant("wake.records", "wake.tasks", "wake.streams")
class NeverWakes(Mutant):
    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        await asyncio.sleep(timeout / 1000)
        return frozenset()


@mutant("wake.not_before_visible")
class WakesBeforeItCommits(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        for topic, waiting in list(self.memory.items()):
            if topic in {op.ref for batch in batches for op in batch.ops}:
                waiting.set()
        await asyncio.sleep(0.005)
        return await super().commit(batches, trip_id)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        (topic,) = topics
        waiting = self.memory.setdefault(topic, asyncio.Event())
        try:
            async with asyncio.timeout(timeout / 1000):
                await waiting.wait()
            return topics
        except TimeoutError:
            return frozenset()


@mutant("wake.many_waits")
class WakesEverybody(Mutant):
    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        return await super().wait(topics | {CollectionRef("c")}, timeout)


# Opening and closing


@mutant("close.many_cycles")
class LeavesAFileOpen(Mutant):
    async def open(self) -> None:
        await super().open()
        self.memory.setdefault("files", []).append(os.open(os.devnull, os.O_RDONLY))


@mutant("close.peer_goes_on")
class ClosesForAll(Mutant):
    async def close(self) -> None:
        self.memory["closed"] = True
        await super().close()

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[Any]:
        if self.memory.get("closed"):
            raise Closed("the connection that all share was closed")
        return await super().read(refs, fresh)

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        if self.memory.get("closed"):
            raise Closed("the connection that all share was closed")
        return await super().commit(batches, trip_id)


@mutant("limits.of_streams_are_real")
class HandsOutAHundredAtMost(Mutant):
    def request(self, request: ClaimRequest) -> ClaimRequest:
        return (
            replace(request, limit=min(request.limit, 100)) if isinstance(request, ClaimEvents) else request
        )
