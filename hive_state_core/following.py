"""A driver that goes where the hive goes.

The control row of the store in which a hive lives says so, or that it has moved, and to which store. Who
knows that store by name, from its configuration, goes there by itself: a write that is refused with
`StoreMoved` is sent there, and a read whose reply shows another epoch is looked at twice. Nothing but the
rows is believed: no configuration says where the hive lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Protocol, TypeVar, cast

from hive_state_core.control import refusal
from hive_state_core.errors import (
    ConfigError,
    HiveStateError,
    Indeterminate,
    NotPrimary,
    SchemaMismatch,
    StoreMoved,
    Unavailable,
)
from hive_state_core.features import Facility, Features
from hive_state_core.member import Member, lives
from hive_state_core.migration.handover import finish
from hive_state_core.migration.presence import Presence
from hive_state_core.migration.tempo import Tempo
from hive_state_core.model import ReadRef, RecordImage, RecordRef, Topic
from hive_state_core.spi import (
    MISSED,
    Batch,
    Caching,
    Claimed,
    ClaimRequest,
    Control,
    ControlState,
    Driver,
    Examining,
    Finding,
    Missed,
    Outcome,
    Page,
    Reply,
    Retention,
    Scan,
    ScanImage,
    SchemaAction,
    SchemaInfo,
    Stats,
    StreamPage,
    StreamRead,
    Swept,
)

HANDOVER = 30.0
"""Seconds for which it is waited between the leaving of one store and the opening of the other."""

REACH = 3.0
"""Seconds after which a store to which the hive may move is taken to be out of reach."""

POLL = 0.01

log: logging.Logger = logging.getLogger("hive_state")


class Told(Protocol):
    """A reply that says in which epoch it was given."""

    @property
    def epoch(self) -> int: ...


Answer = TypeVar("Answer")
Seen = TypeVar("Seen", bound=Told)
Find = Callable[[str], Driver]
"""The unopened driver of a configured store. Raises ConfigError if there is none of this name."""


class Following:
    """See `hive_state_core.spi.Driver`. It begins at `home`, whose features it has, wherever the hive moves:
    what a process may ask for does not change under its feet. What follows is how many trips are under way,
    and whether there is a cache: its reads are as old as the store where the hive lives lets them be.

    find    gives the drivers of other configured stores
    known   their names
    name    under which it was opened, if that is not the name of its home
    """

    def __init__(self, home: Member, find: Find, known: Sequence[str], name: str | None = None) -> None:
        self._find = find
        self.known: tuple[str, ...] = tuple(known)
        self._home = home
        self.name: str = name or home.name
        self._members = {home.name: home}
        self._at = home
        self._turning = asyncio.Lock()
        self._hearing: set[asyncio.Future[frozenset[Topic]]] = set()
        self._told: list[Callable[[Driver], None]] = []
        self._presence = Presence(self)
        self.tempo: Tempo = Tempo()

    @property
    def features(self) -> Features:
        return self._home.driver.features

    @property
    def namespace(self) -> str:
        return self._home.driver.namespace

    @property
    def home(self) -> str:
        """The name of the store at which it began."""
        return self._home.name

    @property
    def at(self) -> Member:
        """Where the hive was seen last."""
        return self._at

    async def open(self) -> None:
        try:
            await self._arrive()
        except BaseException:
            await self.close()
            raise
        self._presence.start()

    async def _arrive(self) -> None:
        """Find the hive, from home on. Where it cannot be followed, home is read."""
        await self._home.open()
        try:
            await self.refresh(self._home)
        except (StoreMoved, NotPrimary) as error:
            log.warning("%s: %s", self._home.name, error)

    async def close(self) -> None:
        await self._presence.stop()
        for member in self._members.values():
            await member.close()

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        return await self._home.schema(action)

    async def examine(self) -> Sequence[Finding]:
        home = self._home.driver
        return await home.examine() if isinstance(home, Examining) else ()

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        return await self._look(lambda driver: driver.read(refs, fresh))

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await self._look(lambda driver: driver.scan(query, fresh))

    async def stream(self, reads: Sequence[StreamRead], fresh: bool = False) -> Reply[StreamPage]:
        return await self._look(lambda driver: driver.stream(reads, fresh))

    async def stats(self) -> Stats:
        return await self._at.driver.stats()

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        return await self._send(lambda driver: driver.commit(batches, trip_id), trip_id)

    async def claim(self, requests: Sequence[ClaimRequest], trip_id: str) -> Reply[Claimed]:
        return await self._send(lambda driver: driver.claim(requests, trip_id), trip_id)

    async def sweep(self, limit: int, retention: Retention) -> Swept:
        return await self._send(lambda driver: driver.sweep(limit, retention), None)

    async def outcome(self, trip_id: str) -> Reply[Outcome] | Reply[Claimed] | None:
        return await self._at.driver.outcome(trip_id)

    def heard(self, trip_id: str) -> None:
        """If the hive has moved since, the store that it left keeps the reply for its day."""
        if (forgetting := self._at.forgetting) is not None:
            forgetting.heard(trip_id)

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        hearing = asyncio.ensure_future(self._at.driver.wait(topics, timeout))
        self._hearing.add(hearing)
        try:
            await asyncio.wait({hearing})
        finally:
            self._hearing.discard(hearing)
            hearing.cancel()
        return topics if hearing.cancelled() else hearing.result()  # cancelled: the hive has moved

    # --- with a cache, where the hive lives in a store that has one; see `hive_state_core.spi.Caching`

    def peek(self, ref: RecordRef) -> RecordImage | Missed | None:
        cache = self._at.cache
        return None if cache is None else cache.peek(ref)

    async def recall(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | Missed | None]:
        """What was cached in another epoch than that in which the hive was seen is asked of the store."""
        member = self._at
        if member.cache is not None:
            reply = await member.cache.recall(refs)
            if reply.epoch == member.epoch:
                return reply
        return Reply(member.epoch, 0, [MISSED] * len(refs))

    async def fetch(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | None]:
        return await self._look(lambda driver: _fetched(driver, self._at.cache, refs))

    def counts(self) -> tuple[int, int]:
        """Of the caches of all stores in which the hive has lived."""
        found = [member.cache.counts() for member in self._members.values() if member.cache is not None]
        return sum(asked for asked, _ in found), sum(hits for _, hits in found)

    # --- where the hive is

    def tell(self, moved: Callable[[Driver], None]) -> None:
        """`moved` is called each time that the hive is found in another store, with the driver of that."""
        self._told.append(moved)

    async def _look(self, ask: Callable[[Driver], Awaitable[Seen]]) -> Seen:
        """What was read where the hive lived at that very moment."""
        while True:
            member = self._at
            reply = await ask(member.driver)
            if reply.epoch == member.epoch:
                return reply
            try:
                await self.refresh(member)
            except (StoreMoved, NotPrimary):  # it cannot be followed from here; what it left may be read
                member.epoch = reply.epoch
                return reply

    async def _send(self, send: Callable[[Driver], Awaitable[Answer]], trip_id: str | None) -> Answer:
        """What a write was answered where the hive lives. Raises StoreMoved or NotPrimary if that is nowhere
        that is known here, Sealed while it moves."""
        while True:
            member = self._at
            began = monotonic()
            try:
                answer = await send(member.driver)
                self.tempo.took(monotonic() - began)
                if isinstance(answer, Reply) and answer.epoch != member.epoch:
                    self._presence.hasten()
                return answer
            except (StoreMoved, NotPrimary) as error:
                await self._follow(member, error)
            except Indeterminate as error:
                if trip_id is None or not member.driver.features.has(Facility.OUTCOMES):
                    raise
                return cast(Answer, await _outcome(member, trip_id, error))

    async def refresh(self, member: Member) -> None:
        """Look at its control row, and go where that says. Raises as `_send` does."""
        row = await member.port.control()
        left = None if row.state is ControlState.SEALED else refusal(row.state, row.peer)
        if left is not None:
            await self._follow(member, left)
        elif row.epoch != member.epoch:
            member.epoch = row.epoch
            self._presence.hasten()

    async def _follow(self, left: Member, error: HiveStateError) -> None:
        """Go where the row of this one says, unless somebody did meanwhile. Raises `error` if that is not
        known here, or nothing opens within HANDOVER."""
        async with self._turning:
            until = monotonic() + HANDOVER
            while self._at is left:
                row = await left.port.control()
                if lives(row):
                    left.epoch = row.epoch
                    return
                other = await self._peer(row, error)
                if other is left:  # its row names itself
                    raise error
                try:
                    there = await finish(left.port, other.port)
                except SchemaMismatch:  # it was dropped since it was opened here, and perhaps made anew
                    await self.renew(other)
                    continue
                if lives(there):
                    self._turn(other, there)
                elif monotonic() > until:
                    raise error
                else:
                    await asyncio.sleep(POLL)

    async def _peer(self, row: Control, error: HiveStateError) -> Member:
        """The other store, opened."""
        name = row.peer or ""
        if name not in self._members and name not in self.known:
            raise error
        try:
            return await self._opened(name)
        except ConfigError as wrong:
            raise error from wrong

    async def _opened(self, name: str) -> Member:
        if name not in self._members:
            driver = await asyncio.to_thread(self._find, name)  # a backend that is new here is imported
            self._members.setdefault(name, Member(name, driver))
        await self._members[name].open()
        return self._members[name]

    async def reach(self, name: str) -> bool:
        """Whether that store can be reached, if it is known here. It is open then: should the hive move
        there, nobody has to wait for that."""
        if name not in self._members and name not in self.known:
            return False
        try:
            async with asyncio.timeout(REACH):
                member = await self._opened(name)
                await member.port.control()
        except SchemaMismatch:  # it was dropped, and may be made anew
            await self.renew(self._members[name])
            return False
        except (HiveStateError, TimeoutError) as error:
            log.debug("the store %s cannot be reached: %r", name, error)
            return False
        return True

    async def warm(self, name: str) -> None:
        """Make ready to go to a store that was reached. Raises as reads do."""
        await self._members[name].warm()

    async def renew(self, member: Member) -> None:
        """Connect anew with a store that was dropped, and perhaps made again. Not with that of the hive."""
        if member is not self._at:
            await member.renew(self._find(member.name))

    def _turn(self, member: Member, row: Control) -> None:
        log.warning("the hive lives in %s, not in %s: this process goes there", member.name, self._at.name)
        member.epoch = row.epoch
        self._at = member
        for moved in self._told:
            moved(member.driver)
        for hearing in self._hearing:
            hearing.cancel()


async def _fetched(
    driver: Driver, cache: Caching | None, refs: Sequence[RecordRef]
) -> Reply[RecordImage | None]:
    if cache is not None:
        return await cache.fetch(refs)
    return cast("Reply[RecordImage | None]", await driver.read(refs))


def current(driver: Driver) -> Driver:
    """The one that stands behind a driver that follows, at the moment; any other is itself."""
    return driver.at.driver if isinstance(driver, Following) else driver


async def _outcome(member: Member, trip_id: str, error: Indeterminate) -> Any:
    """What became of a trip. It is asked here, where it is known to which store it went."""
    try:
        reply = await member.driver.outcome(trip_id)
    except HiveStateError:
        log.warning("the outcome of a trip could not be asked of %s", member.name, exc_info=True)
        raise error from error.__cause__
    if reply is None:
        raise Unavailable("the connection was lost before the work was done; it was not applied") from error
    return reply
