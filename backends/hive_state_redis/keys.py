"""Where everything lies. All keys of a store begin with its hash tag in braces, which `lua/base.lua` calls P.

P is followed by a letter for the table and, behind NULs, which no name holds, by the parts of a name:

    h                        the control entry, see `Head`
    r collection key         a record                   C  names of collections
    k collection             its keys                   w collection  keys of its tombstones
    E  records that expire, by instant                  G  tombstones, by instant
    i collection field text  keys of the records that have this index entry
    t  fields of tasks by id      B  their payloads     R  their results   T  ids of all tasks
    u queue                  ids of a queue's tasks     Q  names of queues that hold tasks
    y queue lane             ready tasks in claim order l queue  lanes that have ready tasks
    d queue                  scheduled tasks by instant x queue  leased tasks by the end of the lease
    z state                  ended tasks by instant     n queue  how many tasks are in each state
    D queue                  dedupe key -> live task    O queue key  others of that key, see `task_links.lua`
    e parent                 children that count it in `unmet`
    q                        queues that were ever paused
    v stream                 events, a Redis stream     s  heads of streams   S  their names
    g stream                 its groups                 F  groups, and those that have deliveries
    p stream group           the fence: deliveries      o stream group  their seqs   a ...  by due instant
    m id                     a remembered commit        M  their ids          N  by instant
    c id                     the reply of a trip, until it was heard, or for a day
    K sink                   marks                      X  Gones              Z  notes

Those that are lists of names or numbers are sorted sets, in byte order or by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import msgspec

from hive_state_core.errors import SchemaMismatch
from hive_state_core.spi import Control, ControlState

SCHEMA = 3
"""The version of this layout."""

DROPPING = b"dropping"
"""Instead of the control entry, until all keys are gone."""

encode = msgspec.msgpack.Encoder().encode


class Head(msgspec.Struct, array_like=True, frozen=True):
    """The control entry, in the order in which the scripts know its fields.

    counter  of the last version
    order    the last place that was given to a task, loaded ones included
    clock    the latest instant of a write trip, loaded ones included
    version  the highest there is, loaded ones included
    """

    schema: int
    store_id: str
    peer: str | None
    state: str
    term: int
    epoch: int
    sinks: tuple[str, ...]
    counter: int
    order: int
    clock: int
    version: int

    def instant(self, clock: Sequence[bytes]) -> int:
        """The store's instant, by the reply to TIME. A clock that was set back is waited for."""
        seconds, micros = clock
        return max(int(seconds) * 1000 + int(micros) // 1000, self.clock)

    @property
    def control(self) -> Control:
        return Control(
            store_id=self.store_id,
            peer=self.peer,
            state=ControlState(self.state),
            term=self.term,
            epoch=self.epoch,
            sinks=frozenset(self.sinks),
            version=self.version,
        )


_load_head = msgspec.msgpack.Decoder(Head).decode


def load_head(entry: bytes | None) -> Head:
    """Raises SchemaMismatch if there is none: nobody made the namespace, or it was dropped."""
    if entry is None or entry == DROPPING:
        raise SchemaMismatch(
            "there is no hive-state namespace here; create it by `schema upgrade`",
            found=None,
            expected=SCHEMA,
        )
    return _load_head(entry)


def new_head() -> bytes:
    """That of an empty store."""
    return encode(Head(SCHEMA, uuid4().hex, None, "open", 1, 1, (), 0, 0, 0, 0))


class Keys:
    """Of one store; `tag` is its hash tag."""

    def __init__(self, tag: bytes) -> None:
        self.prefix = b"{" + tag + b"}"
        self.head = self.prefix + b"h"
        self.news = self.prefix + b"b"
        """The channel of hints."""
        self._records = self.prefix + b"r\0"

    def record(self, collection: str, key: str) -> bytes:
        return b"%b%b\0%b" % (self._records, collection.encode(), key.encode())

    @property
    def queues(self) -> bytes:
        return self.prefix + b"q"

    @property
    def notes(self) -> bytes:
        return self.prefix + b"Z"

    def marks(self, sink: str) -> bytes:
        return self.prefix + b"K\0" + sink.encode()

    def groups(self, stream: str) -> bytes:
        return self.prefix + b"g\0" + stream.encode()

    @property
    def pattern(self) -> bytes:
        """That matches all keys, and no others."""
        escaped = self.prefix
        for letter in b"\\*?[]^-":
            escaped = escaped.replace(bytes([letter]), b"\\" + bytes([letter]))
        return escaped + b"*"
