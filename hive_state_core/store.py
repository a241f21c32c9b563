"""`open_store` and the Store: what a user opens."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import msgspec

from hive_state_core import validate
from hive_state_core.errors import InvalidArgument, Unsupported
from hive_state_core.features import Facility
from hive_state_core.plugins import backend_for
from hive_state_core.spi import Driver, Replication, Retention, SchemaInfo, Stats, Swept
from hive_state_core.trips import Trips
from hive_state_core.unit import Unit
from hive_state_core.url import DEFAULT_URL, StoreURL, parse_url

if TYPE_CHECKING:
    from hive_state_core.agents import Agents
    from hive_state_core.checkpoints import Checkpoints
    from hive_state_core.events import Events
    from hive_state_core.features import Features
    from hive_state_core.locks import Locks
    from hive_state_core.records import Records
    from hive_state_core.sessions import Sessions
    from hive_state_core.tasks import Tasks
    from hive_state_core.telemetry import Telemetry


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`warnings` are whole sentences, each worth an operator's look."""

    backend: str
    url: str
    warnings: tuple[str, ...]
    stats: Stats


class Store:
    """One namespace of one store. Use it as `async with open_store(...) as hive:`.

    Its facets are `records`, `agents`, `tasks`, `sessions`, `locks`, `events` and `checkpoints`. It
    belongs to the event loop that opened it; any number of tasks may use it at once, and the more do, the
    more travels together.
    """

    records: Records
    agents: Agents
    tasks: Tasks
    sessions: Sessions
    locks: Locks
    events: Events
    checkpoints: Checkpoints

    def __init__(self, driver: Driver, *, backend: str, url: StoreURL) -> None:
        from hive_state_core.agents import Agents
        from hive_state_core.checkpoints import Checkpoints
        from hive_state_core.events import Events
        from hive_state_core.locks import Locks
        from hive_state_core.records import Records
        from hive_state_core.sessions import Sessions
        from hive_state_core.tasks import Tasks

        self._driver = driver
        self.backend = backend
        self.url = url
        self._trips = trips = Trips(driver)
        self.records = Records(trips)
        self.agents = Agents(trips)
        self.tasks = Tasks(trips)
        self.sessions = Sessions(trips)
        self.locks = Locks(trips)
        self.events = Events(trips)
        self.checkpoints = Checkpoints(trips)
        self._state = "new"

    @property
    def features(self) -> Features:
        """What the backend can do."""
        return self._driver.features

    @property
    def namespace(self) -> str:
        return self._driver.namespace

    @property
    def telemetry(self) -> Telemetry:
        """What the calls of this Store took so far."""
        return self._trips.telemetry

    def atomic(self, *, commit_id: str | None = None, timeout: float | None = None) -> Unit:
        """Several verbs, committed together or not at all; see `Unit`.

        `commit_id` makes it idempotent: a second unit of that id with the same content has no further
        effect and gives the results of the first (for about a day); with other content it is refused.
        """
        return Unit(self._trips, commit_id=commit_id, timeout=timeout)

    async def stats(self, *, timeout: float | None = None) -> Stats:
        """Counts of records, tasks by queue and state, and the backend's own facts."""
        return await self._trips.stats(timeout)

    async def health(self, *, timeout: float | None = None) -> Health:
        """Whether anything about the store deserves an operator's look."""
        stats = await self.stats(timeout=timeout)
        return Health(
            backend=self.backend,
            url=str(self.url),
            warnings=stats.warnings,
            stats=stats,
        )

    async def sweep(self, *, limit: int = 1000, retention: Retention | None = None) -> Swept:
        """One round of house-keeping: expired records, old tombstones, leases that are over, and tasks
        that ended longer ago than `retention` says (by default they stay)."""
        validate.integer(limit, "limit", 1, 100_000)
        return await self._trips.sweep(limit, retention or Retention())

    def replication(self) -> Replication:
        """The port through which the store is moved, see `spi`. Raises Unsupported."""
        if not self.features.has(Facility.REPLICATION):
            raise Unsupported(
                f"the backend {self.backend} cannot be moved from or to", feature=Facility.REPLICATION.value
            )
        return cast(Replication, self._driver)

    async def upgrade_schema(self) -> SchemaInfo:
        """Create or upgrade the schema, under a lock against others who do the same; once it is current this
        changes nothing. To be called before `open`; a server's store needs it once, an embedded one never."""
        return await self._driver.schema("upgrade")

    async def open(self) -> None:
        """Connect. An embedded store that is not there yet is created. Raises as `Driver.open` does."""
        if self._state != "new":
            raise InvalidArgument("a Store is opened once; call open_store again for another")
        self._state = "open"
        try:
            await self._driver.open()
        except BaseException:
            self._state = "closed"
            await self._driver.close()
            raise
        self._trips.open()

    async def close(self) -> None:
        """Let what is under way come to its end, then give everything back. May be called twice."""
        if self._state == "open":
            self._state = "closed"
            try:
                await self._trips.close()
            finally:
                await self._driver.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.url)!r}, namespace={self.namespace!r})"


def open_store(url: str | None = None, *, namespace: str = "default") -> Store:
    """A Store for the URL, to be opened by `async with`.

    url        sqlite:///relative.db, sqlite:////absolute.db, memory://; None = the environment's
               HIVE_STATE_URL, else sqlite:///hive-state.db
    namespace  stores of different namespaces in one database know nothing of one another

    Raises ConfigError for a URL, scheme or option that cannot be used; no I/O is done before `open`.
    """
    text = url if url is not None else os.environ.get("HIVE_STATE_URL") or DEFAULT_URL
    parsed = parse_url(text)
    backend = backend_for(parsed)
    driver = backend.connect(parsed, validate.name(namespace, "namespace"))
    return Store(driver, backend=backend.name, url=parsed)
