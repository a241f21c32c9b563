"""The in-memory backend: the reference that the other backends are compared with.

memory://        a store of its own for each time it is opened; it ends with it
memory://NAME    shared by all stores of this process that are opened with this name (case is ignored);
                 its data stays until the process ends, `schema drop` empties a namespace of it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hive_state_core.hookspecs import hookimpl
from hive_state_core.options import Option
from hive_state_core.plugins import Backend

if TYPE_CHECKING:
    from hive_state_core.caching import Cache
    from hive_state_core.spi import Driver
    from hive_state_core.url import StoreURL


OPTIONS = (
    Option(
        name="name", part="host", doc="all stores of this name in the process share their data; none: private"
    ),
)


def _connect(url: StoreURL, namespace: str) -> Driver:
    from hive_state_memory.driver import MemoryDriver, memory_of

    return MemoryDriver(memory_of(url), namespace)


def _cache(url: StoreURL, namespace: str) -> Cache:
    from hive_state_memory.caching import MemoryCache
    from hive_state_memory.driver import memory_of

    return MemoryCache(memory_of(url).caches.setdefault(namespace, {}))


@hookimpl
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """The scheme `memory`."""
    register(
        Backend(
            name="memory",
            schemes=("memory",),
            summary="In the memory of one process, gone when it ends; for tests and as the reference.",
            connect=_connect,
            cache=_cache,
            options=OPTIONS,
        )
    )
