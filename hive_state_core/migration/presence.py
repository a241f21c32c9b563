"""Which processes have a hive open while it is moved: each says so in a note, again and again."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from hive_state_core.background import Background
from hive_state_core.errors import HiveStateError
from hive_state_core.migration.sealing import Impatience
from hive_state_core.model import RecordRef
from hive_state_core.spi import PEER, Control, ControlState, Driver, Replication

if TYPE_CHECKING:
    from hive_state_core.following import Following
    from hive_state_core.member import Member

PREFIX = "process/"
EVERY = 5.0
"""Seconds between two looks at the control row; a tenth of it while the hive is moved."""

GONE_MS = 10_000
"""Who was not heard of for so long is taken for gone."""

log: logging.Logger = logging.getLogger("hive_state")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """id     of one open Store
    store  the name under which it was opened
    knows  the names of the stores to which it can follow the hive
    reaches  whether it reaches the store at the other end of the migration, and is ready to go there; None:
           it is about to find out, or there is none
    usual_ms, now_ms, trips  see `Tempo`
    epoch  of the control row that it has seen last
    at     instant of the store at which it said so
    """

    id: str
    pid: int
    host: str
    store: str
    knows: tuple[str, ...]
    epoch: int
    at: int
    reaches: bool | None = None
    usual_ms: float | None = None
    now_ms: float | None = None
    trips: int = 0


async def processes(driver: Driver, port: Replication) -> list[Process]:
    """Those that are alive, by host and pid."""
    now = await instant(driver)
    found = [process for process in _read(await port.notes()) if process.at > now - GONE_MS]
    return sorted(found, key=lambda process: (process.host, process.pid))


async def forget_gone(driver: Driver, port: Replication) -> None:
    """Remove the notes of those that are not heard of any more."""
    now = await instant(driver)
    gone = [process for process in _read(await port.notes()) if process.at <= now - GONE_MS]
    if gone:
        await port.note({PREFIX + process.id: None for process in gone})


async def instant(driver: Driver) -> int:
    """The store's, now."""
    return (await driver.read([RecordRef("hive:ping", "ping")])).at


def _read(notes: Mapping[str, bytes]) -> list[Process]:
    return [
        msgspec.json.decode(value, type=Process) for name, value in notes.items() if name.startswith(PREFIX)
    ]


class Presence(Background):
    """Of one Following: it says that it is there, and sees soon that the hive has moved, or lies sealed."""

    def __init__(self, following: Following, every: float = EVERY) -> None:
        self._following = following
        self._every = every
        self._id = uuid4().hex
        self._impatience = Impatience()
        self._told: Replication | None = None
        self._moving = False
        self._early = asyncio.Event()

    def hasten(self) -> None:
        """The control row was seen to have changed: do not wait for the next look, unless that is soon."""
        if not self._moving:
            self._early.set()

    async def stop(self) -> None:
        """It is not there any more."""
        await super().stop()
        if self._told is not None:
            try:
                await self._told.note({PREFIX + self._id: None})
            except HiveStateError as error:
                log.debug("a process could not take its leave: %s", error)

    async def _run(self) -> None:
        while True:
            self._early.clear()
            self._moving = await self._look()
            pause = self._every / 10 if self._moving else self._every
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):
                    await self._early.wait()

    async def _look(self) -> bool:
        """Whether the hive is being moved; False also if that cannot be told."""
        try:
            return await self._beat()
        except HiveStateError as error:
            log.debug("the control row could not be looked at: %s", error)
        except Exception:  # a defect: it must not end the looking, nor pass unseen
            log.exception("a look at the control row failed")
        return False

    async def _beat(self) -> bool:
        """Whether the hive is being moved."""
        member = self._following.at
        row = await member.port.control()
        if row.epoch != member.epoch:
            await self._following.refresh(member)
            member = self._following.at
            row = await member.port.control()
        self._following.tempo.turn(moving=PEER in row.sinks)
        if PEER not in row.sinks and row.peer is None:
            return False
        await self._impatience.spend(member.port, row)
        if row.state is ControlState.SEALED:  # nobody is to wait for us now
            return True
        if not self._moving:  # a switch waits for us from now on
            await self._tell(member, row, None)
        reaches = None if row.peer is None else await self._following.reach(row.peer)
        if reaches and row.peer is not None:
            await self._following.warm(row.peer)
        await self._tell(member, row, reaches)
        return True

    async def _tell(self, member: Member, row: Control, reaches: bool | None) -> None:
        tempo = self._following.tempo
        me = Process(
            id=self._id,
            pid=os.getpid(),
            host=socket.gethostname(),
            store=self._following.name,
            knows=(self._following.home, *self._following.known),
            epoch=row.epoch,
            at=await instant(member.driver),
            reaches=reaches,
            usual_ms=tempo.usual_ms,
            now_ms=tempo.now_ms,
            trips=tempo.trips,
        )
        self._told = member.port
        await member.port.note({PREFIX + self._id: msgspec.json.encode(me)})
