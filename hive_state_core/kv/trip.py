"""One attempt at a trip: the control entry it began from, its instant, its version, and its layers."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from hive_state_core.control import require_open
from hive_state_core.errors import SchemaMismatch
from hive_state_core.kv import capturing
from hive_state_core.kv.entities import Entities, Space
from hive_state_core.kv.keys import HEAD, decode, encode
from hive_state_core.spi import TERM_SHIFT, Control, ControlState

SCHEMA: Final = 1


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The control entry. Every write trip checks that it is as it was read, and rewrites it: so trips are
    serial, and whoever finds it unchanged has seen one snapshot."""

    schema: int
    control: Control
    counter: int  #: of the last version
    order: int  #: the last one given to a task, loaded ones included
    clock: int  #: the latest instant of a write trip, loaded ones included
    version: int = 0  #: the highest there is, loaded ones included


def new_head() -> Head:
    """That of an empty store."""
    control = Control(
        store_id=uuid4().hex, peer=None, state=ControlState.OPEN, term=1, epoch=1, sinks=frozenset()
    )
    return Head(schema=SCHEMA, control=control, counter=0, order=0, clock=0)


def read_head(data: bytes | None) -> Head:
    """Raises SchemaMismatch if there is none."""
    if data is None:
        raise SchemaMismatch(
            "there is no hive-state namespace here; create it by `schema upgrade`",
            found=None,
            expected=SCHEMA,
        )
    return decode(data, Head)


class Trip:
    """`before` is the pre-state, `after` what the accepted batches make of it."""

    def __init__(self, space: Space, found: bytes | None, now: int) -> None:
        self.space = space
        self.head: Head = read_head(found)
        self._read = self.head
        self.at: int = max(now, self.head.clock)  # a clock that was set back is waited for
        self.version: int = (self.head.control.term << TERM_SHIFT) + self.head.counter + 1
        self.before: Entities = Entities(space)
        self.after: Entities = self.before.fork()
        self._found = found
        self._order = self.head.order

    def require_open(self) -> None:
        """Raises unless the control row allows writes."""
        require_open(self.head.control.state, self.head.control.peer)

    def next_order(self) -> int:
        """A place behind all tasks that were ever enqueued."""
        self._order += 1
        return self._order

    async def settle(self) -> bool:
        """Write what was decided, if nobody wrote since the trip began. True: it stands."""
        if self.after.changes():
            await capturing.capture(self.after, self.head.control.sinks, self.version)
            self.head = replace(
                self.head,
                counter=self.head.counter + 1,
                order=self._order,
                clock=self.at,
                version=self.version,
            )
        return await self.swap()

    async def swap(self) -> bool:
        """Write what was decided, and the head as it is now; False: somebody else wrote meanwhile."""
        writes = dict(self.after.changes())
        if writes or self.head is not self._read:
            writes[HEAD] = encode(self.head)
        return await self.space.swap(HEAD, self._found, writes)
