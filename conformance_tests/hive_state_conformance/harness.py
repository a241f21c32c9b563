"""What the suite needs of a backend, and what the author of one writes.

For a registered backend a URL is enough: `UrlHarness("etcd://localhost/test")`. For more, subclass:

    class EtcdHarness(Harness):
        def connect(self, namespace: str) -> Store:
            return open_store(start_a_server(), namespace=namespace)
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from hive_state_core.choosing import Choice
from hive_state_core.errors import Conflict
from hive_state_core.features import Durability, Facility, Sharing
from hive_state_core.spi import ControlState, Driver, Replication, Retention
from hive_state_core.store import Store, open_store


class Harness:
    """One database that may be used for tests. Namespaces in it are the suite's, the rest stays as it is."""

    name = "store"
    """Names the backend in the report."""

    def connect(self, namespace: str) -> Store:
        """A Store of this namespace that is not open yet; the one method that must be written.

        Several calls must lead to the same data, if the backend's declared `Sharing` allows it.
        """
        raise NotImplementedError

    async def open(self, namespace: str) -> Store:
        store = self.connect(namespace)
        await store.open()
        return store

    async def peer(self, namespace: str) -> Store | None:
        """An independent connection to the same data, opened; None = there can be none.

        By default a second Store. Whether it sees the data of the first is found out by the suite.
        """
        return await self.open(namespace)

    async def reopen(self, store: Store) -> Store | None:
        """Close the store and open it again; None = its data would be gone."""
        if store.features.durability is Durability.VOLATILE:
            return None
        await store.close()
        return await self.open(store.namespace)

    async def sleep(self, seconds: float) -> None:
        """Let time go by for the store. A harness whose store has a clock of its own may move that."""
        await asyncio.sleep(seconds)


class UrlHarness(Harness):
    """Any registered backend, by its URL or as it was chosen."""

    def __init__(self, store: str | Choice) -> None:
        self.store = store

    @property
    def name(self) -> str:  # type: ignore[override]
        return str(self.connect("conformance").url)

    def connect(self, namespace: str) -> Store:
        # without what a configuration says of the retention: the checks know the defaults
        return open_store(self.store, namespace=namespace, retention=Retention(), janitor=False)


class LateHarness(Harness):
    """The stores of another harness, in a late term: their versions are large numbers from the first on."""

    def __init__(self, harness: Harness, term: int = 1000) -> None:
        self.harness = harness
        self.term = term
        self.name = f"{harness.name} at term {term}"

    def connect(self, namespace: str) -> Store:
        return self.harness.connect(namespace)

    async def open(self, namespace: str) -> Store:
        store = await self.harness.open(namespace)
        if store.features.has(Facility.REPLICATION):
            await self._age(store.replication())
        return store

    async def _age(self, port: Replication) -> None:
        """Seal it, and open it again in that term; several may do so at once."""
        row = await port.control()
        try:
            if row.term < self.term and row.state is ControlState.OPEN:
                sealed = replace(row, state=ControlState.SEALED, term=self.term - 1)
                row = await port.control(row.epoch, sealed)
            if row.term < self.term and row.state is ControlState.SEALED:
                await port.control(row.epoch, replace(row, state=ControlState.OPEN, term=self.term))
        except Conflict:  # somebody else is doing it
            await self._age(port)


def driver_of(store: Store) -> Driver:
    """The driver below a Store, for what the user's API does not show: trips and their instants."""
    return store._driver


def is_private(store: Store) -> bool:
    """Whether the declared features allow that nobody else can open the same data."""
    return store.features.sharing is Sharing.PROCESS
