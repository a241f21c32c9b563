"""The four primitives of a KVDriver, over a `Journal`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hive_state_core.errors import ConfigError
from hive_state_core.features import Clock, Consistency, Durability, Features, Sharing, Wake
from hive_state_core.kv import FACILITIES, KVDriver, Row
from hive_state_core.options import values_of
from hive_state_core.url import StoreURL
from hive_state_journal import OPTIONS
from hive_state_journal.journal import Journal

FEATURES = Features(
    durability=Durability.FSYNC,
    sharing=Sharing.HOST,
    consistency=Consistency.LINEARIZABLE,
    wake=Wake.POLL,
    clock=Clock.HOST,
    facilities=FACILITIES,
)


class JournalDriver(KVDriver):
    """One namespace of a journal. The file is locked and synced on threads, so that no other task waits."""

    def __init__(self, url: StoreURL, namespace: str) -> None:
        super().__init__(namespace, FEATURES)
        values = values_of(url, OPTIONS)
        if not values["path"] or url.host:
            raise ConfigError("journal:// names no file; write journal:///hive.journal")
        self._journal = Journal(Path(str(values["path"])).absolute(), float(str(values["timeout"])))

    async def connect(self) -> None:
        await asyncio.to_thread(self._journal.open)

    async def disconnect(self) -> None:
        await asyncio.to_thread(self._journal.close)

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return await asyncio.to_thread(self._journal.get, keys)

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        return await asyncio.to_thread(self._journal.range, start, stop, limit, reverse)

    async def swap(self, guard: bytes, expected: bytes | None, writes: Mapping[bytes, bytes | None]) -> bool:
        return await asyncio.to_thread(self._journal.swap, guard, expected, writes)

    async def now(self) -> int:
        return time.time_ns() // 1_000_000
