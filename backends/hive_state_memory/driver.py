"""The four primitives of a KVDriver, over a sorted map."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from hive_state_core.errors import ConfigError
from hive_state_core.features import Clock, Consistency, Durability, Features, Sharing, Wake
from hive_state_core.kv import FACILITIES, Bell, KVDriver, Row, SortedMap
from hive_state_core.options import values_of
from hive_state_core.url import StoreURL
from hive_state_memory import OPTIONS
from hive_state_memory.caching import Held

FEATURES = Features(
    durability=Durability.VOLATILE,
    sharing=Sharing.PROCESS,
    consistency=Consistency.LINEARIZABLE,
    wake=Wake.PUSH,
    clock=Clock.HOST,
    facilities=FACILITIES,
)


class Memory:
    """What drivers over the same data share. They may live on different threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows: SortedMap[bytes] = SortedMap()
        self.bell = Bell()
        self.caches: dict[str, dict[str, Held]] = {}

    @staticmethod
    def clock() -> int:
        """Tests put another function in its place."""
        return time.time_ns() // 1_000_000


_named: dict[str, Memory] = {}


def memory_of(url: StoreURL) -> Memory:
    """A new one, or the one of that name. Raises ConfigError for what a memory URL cannot say."""
    values = values_of(url, OPTIONS)
    if (
        url.path not in ("", "/")
        or url.username is not None
        or url.password is not None
        or url.port is not None
    ):
        raise ConfigError("a memory URL is memory:// (private) or memory://NAME (shared in this process)")
    name = values["name"]
    return _named.setdefault(str(name).lower(), Memory()) if name else Memory()


class MemoryDriver(KVDriver):
    """One namespace of a `Memory`."""

    def __init__(self, memory: Memory, namespace: str) -> None:
        super().__init__(namespace, FEATURES, memory.bell)
        self._memory = memory

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        with self._memory.lock:
            return [self._memory.rows.get(key) for key in keys]

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        with self._memory.lock:
            return self._memory.rows.range(start, stop, limit, reverse)

    async def swap(self, guard: bytes, expected: bytes | None, writes: Mapping[bytes, bytes | None]) -> bool:
        with self._memory.lock:
            rows = self._memory.rows
            if rows.get(guard) != expected:
                return False
            for key, value in writes.items():
                if value is None:
                    rows.remove(key)
                else:
                    rows.put(key, value)
            return True

    async def now(self) -> int:
        return self._memory.clock()
