"""What is read again and again is asked for before it has to be waited for.

A record that is read from memory is asked for again shortly before its time there ends; and who misses a
record of a large batch has the others of it asked for. That goes on in company, for nobody, and as a reader
would: who asks the cache, and reads in the durable store what he was given a lease of. So it is at hand when
the next reader comes. It counts as nobody's read, and whatever fails is left to the readers.

A record is asked for at most once for each time that it was read from memory, and once after it was written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import cast

from hive_state_core.errors import HiveStateError
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import MISSED, Driver, Reply
from hive_state_hybrid.front import Front

STEP = 0.025
"""Seconds in which that is gathered which goes together."""

EARLY = 4
"""Steps by which a record is asked for before its time ends."""

AT_ONCE = 200
"""Records of one trip, so that nobody waits for long while its answer is taken up."""

MOST = 2000
"""Records that are noted in a step, and as many of batches; what is more is left to its readers."""

MANY = 16
"""If a batch writes so many records, they are taken to be read together."""

log = logging.getLogger("hive_state.hybrid")


class Ahead:
    """Of one Store, whose name for the cache is `own`."""

    def __init__(self, durable: Driver, front: Front, own: str) -> None:
        self._durable = durable
        self._front = front
        self._own = own
        self._due: dict[int, list[RecordRef]] = {}  # by the step in which it is asked for
        self._batches: dict[RecordRef, Sequence[RecordRef]] = {}
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def read(self, ref: RecordRef, ends: float) -> None:
        """The record was read from memory, and is at hand until `ends`, of the monotonic clock."""
        self._note(int(ends / STEP) - EARLY, ref)

    def wrote(self, refs: Sequence[RecordRef]) -> None:
        """Many, by one batch."""
        if len(self._batches) + len(refs) > MOST:
            self._batches.clear()
        self._batches |= dict.fromkeys(refs, refs)

    def missed(self, refs: Iterable[RecordRef]) -> None:
        """These were read, and neither at hand nor in the cache."""
        batches = self._batches
        if not batches:
            return
        for ref in refs:
            for other in batches.pop(ref, ()):
                if batches.pop(other, None) is not None:
                    self._note(0, other)

    def _note(self, step: int, ref: RecordRef) -> None:
        due = self._due.setdefault(step, [])
        if len(due) < MOST:
            due.append(ref)
            if self._task is None:
                self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._due:
                await asyncio.sleep(STEP)
                refs = self._now_due(monotonic())
                for start in range(0, len(refs), AT_ONCE):
                    await self._ask(refs[start : start + AT_ONCE])
        finally:
            self._task = None

    def _now_due(self, now: float) -> Sequence[RecordRef]:
        """Those of them that were not written or asked for meanwhile."""
        steps = [step for step in self._due if step <= now / STEP]
        refs = dict.fromkeys(ref for step in steps for ref in self._due.pop(step))
        ends, soon = self._front.near.ends, now + (EARLY + 1) * STEP
        return [ref for ref in refs if ends(ref) < soon]

    async def _ask(self, refs: Sequence[RecordRef]) -> None:
        front = self._front
        told = None if front.worth.passing else await front.ask(refs, self._own)
        if told is None:
            return
        front.ahead += sum(found is not MISSED for found in told.found)
        if not told.leased:
            return
        sent = monotonic()
        try:
            reply = cast("Reply[RecordImage | None]", await self._durable.read(told.leased))
            if reply.epoch == told.epoch:  # else the hive has moved, and its readers will find out
                await front.fetched(told.leased, reply, sent)
        except HiveStateError as error:
            log.debug("records were not read ahead: %s", error)
