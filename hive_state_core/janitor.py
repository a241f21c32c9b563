"""House-keeping in the background of an open Store.

Every Store has a janitor, and the janitors of all Stores of one namespace, in whatever process, take turns:
whoever takes the turn's record does one round, and the record runs out when the next round is due. A round
is safe beside another all the same, so nothing depends on the turn but work that would be done twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import cast

import msgspec

from hive_state_core.checkpoints import PREFIX, SNAPSHOTS
from hive_state_core.errors import AlreadyExists, Closed, HiveStateError
from hive_state_core.features import Facility
from hive_state_core.limits import SCAN_PAGE
from hive_state_core.model import RecordRef, StreamImage
from hive_state_core.record_ops import RESERVED
from hive_state_core.retention import Retention
from hive_state_core.spi import Batch, Put, Scan, StreamRead, VersionIs
from hive_state_core.trimming import trim
from hive_state_core.trips import Trips

EVERY = 60.0
"""Seconds between two rounds, about: each Store waits for half as long up to half as long again, so a Store
that is open for less than half a minute never begins one."""

LIMIT = 1000
"""Rows of one sweep; a round is as many as it takes."""

TURN = RecordRef("hive:janitor", "turn")

log: logging.Logger = logging.getLogger("hive_state")


class Janitor:
    """Of one open Store. A timer, and a task only while a round is under way."""

    def __init__(self, trips: Trips, retention: Retention, every: float = EVERY) -> None:
        self._trips = trips
        self._retention = retention
        self._every = every
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._round: asyncio.Task[None] | None = None
        self._troubled = False

    def start(self) -> None:
        pause = self._every * random.uniform(0.5, 1.5)
        self._timer = asyncio.get_running_loop().call_later(pause, self._begin)

    async def stop(self) -> None:
        """No more rounds; one that is under way ends after its present step."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._round is not None:
            await asyncio.shield(self._round)

    def _begin(self) -> None:
        self._round = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            if await self._take_turn():
                await self._tidy()
                self._troubled = False
        except Closed:
            return
        except HiveStateError as error:
            if not self._troubled:
                log.warning("no house-keeping for now: %s", error)
            self._troubled = True
        except Exception:  # a defect: it must not end the house-keeping, nor pass unseen
            log.exception("a round of house-keeping failed")
        finally:
            self._round = None
            if not self._stopped:
                self.start()

    async def _take_turn(self) -> bool:
        put = Put(TURN, b"null", ttl=max(1, round(self._every * 900)))
        try:
            await self._trips.commit(Batch((put,), (VersionIs(TURN, 0),)))
        except AlreadyExists:
            return False
        return True

    async def _tidy(self) -> None:
        while not self._stopped:
            swept = await self._trips.sweep(LIMIT, self._retention)
            if not swept.more:
                break
            log.debug("swept: %s", swept)
        async for ref, first in outlived(self._trips, self._retention):
            if self._stopped:
                return
            await trim(self._trips, ref.ref, None, first, False, None)


async def outlived(trips: Trips, retention: Retention) -> AsyncIterator[tuple[StreamImage, int]]:
    """The streams with more than is kept, each with the first seq to keep."""
    if _keeps_all(retention) or not trips.driver.features.has(Facility.STREAMS):
        return
    query = Scan(kind="stream", limit=SCAN_PAGE // 4)
    while True:
        page = await trips.scan(query)
        for image in cast("list[StreamImage]", page.items):
            count, age = _rule(image.ref.stream, retention)
            first = image.first if count is None else max(image.first, image.last - count + 1)
            if age is not None:
                first = await first_since(trips, image, first, page.at - age)
            if first > image.first:
                yield image, first
        if page.next is None:
            return
        query = msgspec.structs.replace(query, after=page.next)


def _keeps_all(retention: Retention) -> bool:
    kept = (retention.events, retention.events_count, retention.checkpoints, retention.snapshots)
    return kept == (None, None, None, None)


def _rule(stream: str, retention: Retention) -> tuple[int | None, int | None]:
    """(how many to keep, how long)."""
    if stream.startswith(PREFIX):
        return retention.checkpoints, None
    if stream == SNAPSHOTS.stream:
        return retention.snapshots, None
    if stream.startswith(RESERVED):
        return None, None
    return retention.events_count, retention.events


async def first_since(trips: Trips, stream: StreamImage, first: int, instant: int) -> int:
    """The lowest seq, from `first` on, of an event published at the instant or later: instants grow with the
    seqs, so it is found by halving."""
    low, high = first, stream.last + 1
    probe = low  # most streams have nothing that is too old
    while low < high:
        events = (await trips.stream(StreamRead(stream.ref, probe, 1))).events
        if events and events[0].at >= instant:
            high = probe
        else:
            low = probe + 1
        probe = (low + high) // 2
    return low
