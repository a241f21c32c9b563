"""What processes tell each other of their latencies: each writes its own record, now and then, with a TTL.

So `hive-state stats` shows what the agents of a hive wait for, and not what it waits for itself. A process
that ends or hangs is gone from there after `KEPT` rounds.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

import msgspec

from hive_state_core import validate
from hive_state_core.errors import HiveStateError
from hive_state_core.limits import SCAN_PAGE
from hive_state_core.locks import this_process
from hive_state_core.model import RecordRef
from hive_state_core.paging import pages
from hive_state_core.spi import Batch, Put, Scan
from hive_state_core.telemetry import Measured
from hive_state_core.trips import Trips
from hive_state_core.validate import Duration

COLLECTION = "hive:telemetry"

KEPT = 3

LAST_SECONDS = 1.0
"""That the last round may take, when the Store is closed."""

log: logging.Logger = logging.getLogger("hive_state")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Measured).decode


class Sharing:
    """Of one Store, from `start` to `stop`."""

    def __init__(self, trips: Trips, every: Duration) -> None:
        self._trips = trips
        self._every = validate.duration(every, "every")
        self._ref = RecordRef(COLLECTION, f"{this_process()}:{uuid4().hex[:8]}")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Share it for the last time; it stays until its TTL. The store must still be open."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._share(LAST_SECONDS)

    async def _run(self) -> None:
        while True:
            await self._share(None)
            await asyncio.sleep(self._every / 1000)

    async def _share(self, timeout: float | None) -> None:
        """Write the record, as it is now."""
        data = _encode(self._trips.telemetry.measured())
        put = Put(self._ref, data, ttl=KEPT * self._every)
        try:
            await self._trips.commit(Batch((put,)), len(data), timeout)
        except HiveStateError as error:
            log.warning("the latencies of this process were not shared: %s", error)


async def shared(trips: Trips, timeout: float | None = None) -> dict[str, Measured]:
    """By process. A record that cannot be read, of another version of this library, is left out."""
    found: dict[str, Measured] = {}
    async for image in pages(trips, Scan(kind="record", within=COLLECTION, limit=SCAN_PAGE), timeout):
        try:
            found[image.ref.key] = _decode(image.value or b"")
        except msgspec.MsgspecError as error:
            log.warning("the latencies shared by %r cannot be read: %s", image.ref.key, error)
    return found
