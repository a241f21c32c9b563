"""A driver that follows the hive between two stores, and sends on what changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_core.apart import apart_of
from hive_state_core.choosing import Stores
from hive_state_core.errors import ConfigError, Conflict, Unavailable
from hive_state_core.features import Facility, Features
from hive_state_core.following import Following
from hive_state_core.member import Member, lives
from hive_state_core.model import ReadRef, RecordImage, RecordRef
from hive_state_core.options import values_of
from hive_state_core.spi import Batch, Committed, Outcome, Reply, ScanImage, SchemaAction, SchemaInfo
from hive_state_core.url import StoreURL
from hive_state_dualwrite import OPTIONS
from hive_state_dualwrite.sending import Sender
from hive_state_dualwrite.shadow import Shadow

NOT_BOTH = frozenset({Facility.OUTCOMES, Facility.IMPORT, Facility.REPLICATION})
"""Facilities of one store and its own clock and rows, which two stores do not have together. How trips ended
is asked by `Following`."""


def dual(url: StoreURL, stores: Stores) -> DualDriver:
    """Raises ConfigError."""
    values = values_of(url, OPTIONS)
    names = [str(values[option] or "") for option in ("primary", "secondary")]
    if not all(names):
        raise ConfigError(
            'dual-write needs both: primary = "NAME" and secondary = "NAME" of configured stores'
        )
    if names[0] == names[1]:
        raise ConfigError(f"primary and secondary are the same store, {names[0]}")
    members = [Member(name, stores.driver(name)) for name in names]
    for member in members:
        if not member.driver.features.has(Facility.REPLICATION):
            raise ConfigError(
                f"the store {member.name} offers no replication, so no hive can move from or to it"
            )
    timeout = values["ack_timeout"] if values["ack"] == "both" else None
    shadow = Shadow(cast(int, values["shadow"]) / 100)
    return DualDriver(members[0], members[1], stores, shadow, None if timeout is None else float(timeout))


class DualDriver(Following):
    """See `hive_state_core.spi.Driver`.

    wait_both  seconds for which a commit is waited for in the other store too; None: it is not
    """

    def __init__(
        self, primary: Member, secondary: Member, stores: Stores, shadow: Shadow, wait_both: float | None
    ) -> None:
        super().__init__(primary, stores.driver, stores.names, stores.own)
        self._members[secondary.name] = secondary
        self._features = _together(primary.driver.features, secondary.driver.features)
        self._apart = apart_of(primary.driver, secondary.driver)
        self._shadow = shadow
        self._sender = Sender(self, (primary, secondary), shadow)
        self._wait_both = wait_both

    @property
    def features(self) -> Features:
        return self._features

    async def open(self) -> None:
        await super().open()
        self._sender.start()

    async def close(self) -> None:
        await self._sender.stop()
        await super().close()

    async def _arrive(self) -> None:
        """Without the primary, if the secondary says that the hive came there from it. Raises Conflict if the
        hive would live in both."""
        try:
            await super()._arrive()
            await self._refuse_two()
        except Unavailable:
            secondary = self._sender.secondary
            await secondary.open()
            row = await secondary.port.control()
            if not lives(row) or row.peer != self.home:
                raise
            self._turn(secondary, row)

    async def _refuse_two(self) -> None:
        secondary = self._sender.secondary
        if self.at is secondary or not await self.reach(secondary.name):
            return
        here, there = await self.at.port.control(), await secondary.port.control()
        if lives(here) and lives(there) and there.peer == self.home:
            raise Conflict(
                f"the hive has moved from {self.home} to {secondary.name}, and yet {self.home} takes writes:"
                f" it was put back from a backup. Open {secondary.name}, and remove {self.home} or put"
                " it aside",
                key=self.home,
            )

    async def schema(self, action: SchemaAction) -> SchemaInfo:
        """Of both; what is told is the primary's, with the steps of the secondary."""
        other = await self._sender.secondary.schema(action)
        info = await super().schema(action)
        return replace(info, steps=(*info.steps, *other.steps))

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        reply = await super().read(refs, fresh)
        self._shadow.saw([ref for ref in refs if not self._apart.has(ref)])
        return reply

    async def fetch(self, refs: Sequence[RecordRef]) -> Reply[RecordImage | None]:
        reply = await super().fetch(refs)
        self._shadow.saw([ref for ref in refs if not self._apart.has(ref)])
        return reply

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        if self._wait_both is not None:
            version = max([each.version for each in reply.results if isinstance(each, Committed)], default=0)
            await self._sender.both(version, self._wait_both)
        return reply


def _together(one: Features, other: Features) -> Features:
    """What can be relied on, whichever of the two the hive lives in."""
    return Features(
        durability=min(one.durability, other.durability),
        sharing=min(one.sharing, other.sharing),
        consistency=min(one.consistency, other.consistency),
        wake=min(one.wake, other.wake),
        clock=one.clock,
        facilities=(one.facilities & other.facilities) - NOT_BOTH,
        ephemeral=one.ephemeral | other.ephemeral,
    )
