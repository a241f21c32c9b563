"""What lives in the fast store alone: records and streams that may be lost at any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import uuid4

from msgspec.structs import replace

from hive_state_core.errors import ConfigError, HiveStateError, SchemaMismatch
from hive_state_core.model import StreamRef
from hive_state_core.spi import (
    Append,
    Batch,
    Committed,
    Driver,
    Examining,
    Finding,
    Forgetting,
    Op,
    Outcome,
    Put,
    Reply,
    Trim,
)
from hive_state_hybrid.breaker import Breaker

Answer = TypeVar("Answer")

OPEN_S = 2.0
"""After which a server that does not answer is not waited for, when it was not reached before."""

SPARE = 0.1
"""Of `stream_maxlen`: a stream is trimmed once it is longer by so much, not at each append."""

log = logging.getLogger("hive_state.hybrid")


class Ephemeral:
    """Of one Store: a driver of its own in the fast store, which is connected when it can be reached, and
    begins anew when that was restarted.

    default_ttl    milliseconds for which a record is kept that is given no ttl; None: until it is lost
    stream_maxlen  events that a stream keeps, finished or not; None: all
    """

    def __init__(self, driver: Driver, default_ttl: int | None, stream_maxlen: int | None) -> None:
        self.driver = driver
        self._forgetting = driver if isinstance(driver, Forgetting) else None  # slow: once, not per trip
        self._default_ttl = default_ttl
        self._maxlen = stream_maxlen
        self._first: dict[StreamRef, int] = {}
        self._opened = False
        self._opening = asyncio.Lock()
        self._breaker = Breaker(OPEN_S)

    async def open(self) -> None:
        """Connect, if that can be done now. Raises ConfigError only."""
        try:
            await self._ready()
        except ConfigError:
            raise
        except HiveStateError as error:
            log.warning("what is ephemeral cannot be reached: %s", error)

    async def close(self) -> None:
        await self.driver.close()

    async def examine(self) -> list[Finding]:
        """What `doctor` finds of the fast store. That it cannot be reached is in nobody's way."""
        if not isinstance(self.driver, Examining):
            return []
        try:
            found = await self.driver.examine()
        except HiveStateError as error:
            return [Finding(name="ephemeral", status="warn", sentence=str(error), mend="start the server")]
        return [replace(each, name=f"ephemeral {each.name}") for each in found]

    async def call(self, ask: Callable[[Driver], Awaitable[Answer]]) -> Answer:
        """The answer of the fast store. After a restart without its data it is empty: that is made up for
        here, and the call made once more, as nothing of it was done."""
        driver = await self._ready()
        try:
            return await ask(driver)
        except SchemaMismatch:
            log.warning("the fast store has lost what is ephemeral: it begins anew")
            self._first.clear()
            await driver.schema("upgrade")
            return await ask(driver)

    async def _ready(self) -> Driver:
        async with self._opening:
            if not self._opened:
                await self._breaker.call(self.driver.open)
                self._opened = True
        return self.driver

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        asked = batches if self._default_ttl is None else [self._bounded(batch) for batch in batches]
        reply = await self.call(lambda driver: driver.commit(asked, trip_id))
        if self._forgetting is not None:
            self._forgetting.heard(trip_id)
        if self._maxlen is not None:
            await self._trim(self._maxlen, batches, reply.results)
        return reply

    def _bounded(self, batch: Batch) -> Batch:
        """With the default for the TTL of what has none. What keeps its TTL keeps it."""

        def bounded(op: Op) -> Op:
            return replace(op, ttl=self._default_ttl) if isinstance(op, Put) and op.ttl is None else op

        return replace(batch, ops=tuple([bounded(op) for op in batch.ops]))

    async def _trim(self, most: int, batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> None:
        """Streams that have grown too long by these. The next append tries again if that fails."""
        for ref, last in _appended(batches, outcomes).items():
            if last - self._first.get(ref, 1) + 1 <= most * (1 + SPARE):
                continue
            trim = Batch((Trim(ref, last - most + 1, force=True),))
            try:
                await self.driver.commit([trim], uuid4().hex)
            except HiveStateError as error:
                log.debug("a stream was not trimmed: %s", error)
            else:
                self._first[ref] = last - most + 1


def _appended(batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> dict[StreamRef, int]:
    """The last event of each stream that was appended to."""
    found: dict[StreamRef, int] = {}
    for batch, outcome in zip(batches, outcomes, strict=True):
        if isinstance(outcome, Committed):
            for op, result in zip(batch.ops, outcome.results, strict=True):
                if isinstance(op, Append) and isinstance(result, int):
                    found[op.ref] = max(result, found.get(op.ref, 0))
    return found
