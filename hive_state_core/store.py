"""`open_store` and the Store: what a user opens."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from msgspec.structs import replace

from hive_state_core import spi, validate
from hive_state_core.choosing import Choice, choose
from hive_state_core.config import Config
from hive_state_core.errors import Closed, HiveStateError, InvalidArgument, Unsupported
from hive_state_core.features import Facility
from hive_state_core.following import Following, current
from hive_state_core.health import ENOUGH_READS, Health, Thresholds, judged, unreachable
from hive_state_core.histogram import Histogram
from hive_state_core.limits import SCAN_PAGE
from hive_state_core.model import RecordRef, StreamImage
from hive_state_core.retention import Retention, retention_of
from hive_state_core.spi import (
    CacheStats,
    Driver,
    Examining,
    Finding,
    Loading,
    Replication,
    Scan,
    SchemaInfo,
    Swept,
)
from hive_state_core.stats import Sample, StoreStats, store_stats
from hive_state_core.telemetry import summed
from hive_state_core.trips import Trips
from hive_state_core.unit import Unit
from hive_state_core.url import StoreURL
from hive_state_core.validate import Duration

if TYPE_CHECKING:
    from hive_state_core.agents import Agents
    from hive_state_core.checkpoints import Checkpoints
    from hive_state_core.events import Events
    from hive_state_core.features import Features
    from hive_state_core.locks import Locks
    from hive_state_core.records import Records
    from hive_state_core.sessions import Sessions
    from hive_state_core.sharing import Sharing
    from hive_state_core.tasks import Tasks
    from hive_state_core.telemetry import Measured, Telemetry


PINGS = 3
"""Reads that the latency of a store is told from."""


class Store:
    """One namespace of one store. Use it as `async with open_store(...) as hive:`.

    Its facets are `records`, `agents`, `tasks`, `sessions`, `locks`, `events` and `checkpoints`. It
    belongs to the event loop that opened it; any number of tasks may use it at once, and the more do, the
    more travels together.

    What holds for every verb: once it has returned, what it did is as durable as the store
    (`features.durability`). InvalidArgument (LimitExceeded of what is too large) is raised before anything is
    sent. Durations are seconds or a timedelta, instants aware UTC. `timeout` is in seconds, None = as long as
    the store itself allows; when it is over, Unavailable is raised if nothing was done, Indeterminate if that
    is not known. A cancelled call was done wholly or not at all.

    backend    the name of the backend that was opened
    url        of the store that was opened; its `str` hides the password
    retention  what house-keeping removes
    """

    records: Records
    agents: Agents
    tasks: Tasks
    sessions: Sessions
    locks: Locks
    events: Events
    checkpoints: Checkpoints

    def __init__(
        self,
        driver: Driver,
        *,
        backend: str,
        url: StoreURL,
        retention: spi.Retention | None = None,
        janitor: bool = True,
    ) -> None:
        from hive_state_core.agents import Agents
        from hive_state_core.checkpoints import Checkpoints
        from hive_state_core.events import Events
        from hive_state_core.janitor import Janitor
        from hive_state_core.locks import Locks
        from hive_state_core.records import Records
        from hive_state_core.roster import Roster
        from hive_state_core.sessions import Sessions
        from hive_state_core.tasks import Tasks

        self._driver = driver
        self.backend = backend
        self.url = url
        self.retention: Retention = retention_of(retention or Retention())
        self._trips = trips = Trips(driver)
        self.records = Records(trips)
        roster = Roster(trips)
        self.agents = Agents(trips, roster)
        self.tasks = Tasks(trips, roster)
        self.sessions = Sessions(trips)
        self.locks = Locks(trips)
        self.events = Events(trips)
        self.checkpoints = Checkpoints(trips)
        self._janitor = Janitor(trips, self.retention) if janitor else None
        self._state = "new"
        self._sampled: Sample | None = None
        self._commits = Histogram()
        self._sharing: Sharing | None = None

    @property
    def features(self) -> Features:
        """What the backend can do."""
        return self._driver.features

    @property
    def namespace(self) -> str:
        """The part of the store that it sees; others know nothing of it."""
        return self._driver.namespace

    @property
    def lives_in(self) -> str:
        """Where the hive was seen last: the name of a configured store, or a URL.

        That is not the store that was opened, once the hive has moved and this Store has followed it; `url`,
        `backend` and `features` stay those of the one that was opened.
        """
        return self._driver.at.name if isinstance(self._driver, Following) else str(self.url)

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

    async def stats(self, *, timeout: float | None = None) -> StoreStats:
        """Counts of records, tasks and events, the backend's own facts, what the calls of this Store took,
        and what changed a second since this was asked last."""
        stats = await self._trips.stats(timeout)
        sample = Sample.of(stats, await self._last_events(timeout))
        rates = None if self._sampled is None else sample.since(self._sampled)
        self._sampled = sample
        return store_stats(stats, self.telemetry.measured(), rates)

    def share_stats(self, *, every: Duration = 10) -> None:
        """Let others see what the calls of this Store take: it is written to the store every so many seconds,
        until the Store is closed, and `hive-state stats` shows it. Once is enough; the store must be open.
        """
        from hive_state_core.sharing import Sharing

        if self._state != "open" or self._sharing is not None:
            raise InvalidArgument("share_stats is called once, while the store is open")
        self._sharing = Sharing(self._trips, every)
        self._sharing.start()

    async def shared_stats(self, *, timeout: float | None = None) -> dict[str, Measured]:
        """What the calls of all Stores took that share it, by process."""
        from hive_state_core.sharing import shared

        return await shared(self._trips, timeout)

    async def health(self, thresholds: Thresholds | None = None, *, timeout: float | None = 5.0) -> Health:
        """Whether anything about the store deserves an operator's look.

        A store that does not answer is a Health too, of status "fail" with the error in it. What is told of
        the hits of a cache is told of all Stores that share their stats, if this one has hardly read.
        """
        limits = thresholds or Thresholds()
        try:
            pings = [await self._ping(timeout) for _ in range(PINGS)]
            stats = await self._trips.stats(timeout)
            if stats.cache is not None and stats.cache.asked < ENOUGH_READS:
                stats = replace(stats, cache=await self._shared_cache(stats.cache, timeout))
        except (Closed, InvalidArgument):
            raise
        except HiveStateError as error:
            return unreachable(self.backend, str(self.url), self.namespace, error)
        took, before = self.telemetry.commits.traffic().took, self._commits
        self._commits = took
        commits = took.since(before)
        found = judged(self.backend, str(self.url), self.namespace, stats, pings, commits, limits)
        return replace(found, lives_in=self.lives_in)

    async def _shared_cache(self, own: CacheStats, timeout: float | None) -> CacheStats:
        """With the reads of all Stores that share their stats, if there are some."""
        found = summed((await self.shared_stats(timeout=timeout)).values())
        return replace(own, asked=found.cache_asked, hits=found.cache_hits) if found.cache_asked else own

    async def _ping(self, timeout: float | None) -> float:
        """Seconds that a read of nothing takes."""
        sent = perf_counter()
        await self._trips.read((RecordRef("hive:ping", "ping"),), timeout, fresh=True)
        return perf_counter() - sent

    async def _last_events(self, timeout: float | None) -> dict[str, int]:
        """The seq of the last event of each stream."""
        if not self.features.has(Facility.STREAMS):
            return {}
        from hive_state_core.paging import pages

        heads = pages(self._trips, Scan(kind="stream", limit=SCAN_PAGE), timeout)
        found = [cast(StreamImage, head) async for head in heads]
        return {head.ref.stream: head.last for head in found}

    async def sweep(self, *, limit: int = 1000, retention: spi.Retention | None = None) -> Swept:
        """One round of house-keeping: expired records, old tombstones, leases that are over, and tasks
        that ended longer ago than `retention` says; None = that of the Store (by default they stay).
        The Store does this by itself about once a minute (see `open_store`), and trims streams too."""
        validate.integer(limit, "limit", 1, 100_000)
        return await self._trips.sweep(limit, retention or self.retention)

    def loading(self) -> Loading:
        """The port through which a store in use is filled, see `spi`. Raises Unsupported."""
        if not self.features.has(Facility.IMPORT):
            raise Unsupported(
                f"the backend {self.backend} cannot be imported into", feature=Facility.IMPORT.value
            )
        return cast(Loading, current(self._driver))

    def replication(self) -> Replication:
        """The port through which the store is moved, see `spi`. Raises Unsupported."""
        if not self.features.has(Facility.REPLICATION):
            raise Unsupported(
                f"no hive can be moved from or to a store of the backend {self.backend}: it offers no"
                " replication",
                feature=Facility.REPLICATION.value,
            )
        return cast(Replication, current(self._driver))

    async def inspect_schema(self) -> SchemaInfo:
        """What schema is there; changes nothing, and creates nothing. Works before `open` too."""
        return await self._driver.schema("inspect")

    async def examine(self) -> Sequence[Finding]:
        """What the backend finds in its surroundings, for `hive-state doctor`; works before `open` too."""
        return await self._driver.examine() if isinstance(self._driver, Examining) else ()

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
        if self._janitor is not None:
            self._janitor.start()

    async def close(self) -> None:
        """Let what is under way come to its end, then give everything back. May be called twice."""
        if self._state == "open":
            self._state = "closed"
            try:
                if self._janitor is not None:
                    await self._janitor.stop()
                if self._sharing is not None:
                    await self._sharing.stop()
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

    def __del__(self) -> None:
        if getattr(self, "_state", None) == "open":
            told = f"{self!r} was never closed: use `async with`, or await its close()"
            warnings.warn(told, ResourceWarning, stacklevel=1, source=self)

    def __repr__(self) -> str:
        return f"Store({str(self.url)!r}, namespace={self.namespace!r})"


def open_store(
    store: str | Choice | None = None,
    *,
    namespace: str | None = None,
    config: Config | Path | str | None = None,
    retention: spi.Retention | None = None,
    janitor: bool = True,
    follow: bool = True,
) -> Store:
    """A Store, to be opened by `async with`.

    store      a URL (sqlite:///relative.db, sqlite:////absolute.db, memory://), or the name of a configured
               store; None = HIVE_STATE_URL, else HIVE_STATE_USE, else what the configuration file says to
               use, else sqlite:///hive-state.db
    namespace  stores of different namespaces in one database know nothing of one another; None = that of
               the file, else "default"
    config     the configuration file; None = HIVE_STATE_CONFIG, else the nearest hive-state.toml or
               pyproject.toml with [tool.hive-state], upward from the working directory
    retention  what house-keeping removes, see `hive_state_core.retention`; None = what the file says
    janitor    whether the Store does the house-keeping by itself, in the background, in turns with the other
               open Stores of the namespace: about once a minute, and never before half a minute
    follow     whether it goes along when the hive moves to another store of the configuration

    Raises ConfigError for a URL, name, key or option that cannot be used. Until `open`, nothing but the
    configuration is read.
    """
    choice = store if isinstance(store, Choice) else choose(store, config)
    named = choice.config.namespace if namespace is None else namespace
    return Store(
        choice.driver(validate.name("default" if named is None else named, "namespace"), follow),
        backend=choice.backend.name,
        url=choice.url,
        retention=choice.config.retention if retention is None else retention,
        janitor=janitor,
    )
