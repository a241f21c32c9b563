"""The contract of a cache in front of a durable store: what a backend offers to be one.

A cache holds images of records, and answers for a store without asking it. It may forget anything at any
moment. How several processes use one without ever being told what is too old is modelled in
`tests/models/cache_states.py`, and told in docs/adr/0013-a-cache-that-is-never-too-old.md; the calls below
are its steps, each done in one go.

Everything in it belongs to one *stamp*: the run of the server (another after each restart and fail-over) and
the epoch that the last beat told. What has another stamp is absent: a server that comes back with old data,
or a store whose control row changed, begins with an empty cache. Until there is a beat of this run, there is
no stamp: `ask` finds nothing and gives no lease, and `push` only removes.

A *lease* is the right to fill an empty place; who holds it, has found the place empty. Whatever is pushed to
an empty place without the lease takes it away from whoever has it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from hive_state_core.model import Index, RecordImage, RecordRef, Topic
from hive_state_core.spi import MemoryStats

KEPT_MS = 3600 * 1000
"""How long what nobody replaces is kept, at most."""

LEASE_MS = 2000
"""How long a lease is kept for a reader that does not come back."""


class Beat(NamedTuple):
    """All that was committed before the instant `began` has reached the cache, so it may answer until
    `until`.
    Both are instants of the cache's clock. `epoch`: of the control row."""

    epoch: int
    began: int
    until: int


class Hit(msgspec.Struct, frozen=True, gc=False):
    """`image`: of a tombstone, if its value is None. `left`: milliseconds until it expires; None = never."""

    image: RecordImage
    left: int | None


class Asked(NamedTuple):
    """`at`: the cache's instant. `beat`: the last of this run, None if there was none. `found`: for each
    record a
    Hit; True, if the caller has the lease now; or False."""

    at: int
    beat: Beat | None
    found: Sequence[Hit | bool]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What is told to the cache of a record.

    version  of the record; 0: only forget what is there
    image    None: nobody may be told what is older than the version, and the rest is not known
    until    instant of the cache's clock at which it expires, None = never
    lease    under which it was read, "" if there is none
    """

    ref: RecordRef
    version: int
    image: RecordImage | None = None
    until: int | None = None
    lease: str = ""


class Cache(Protocol):
    """Of one store. Raises HiveStateError only; whatever is raised may have been done, now or later."""

    async def open(self, store_id: str) -> None:
        """Called before anything else. If it fails, the calls that follow try to connect. `store_id` names
        the store whose images it holds."""
        ...

    async def close(self) -> None:
        """May be called twice, also without `open`."""
        ...

    async def ask(self, refs: Sequence[RecordRef], lease: str, gated: bool) -> Asked:
        """What it holds of each. Where it holds nothing, and nobody has the lease, the caller has it now
        under the name `lease`. `gated`: after the end of the beat it finds nothing, and gives no lease."""
        ...

    async def push(self, entries: Sequence[Entry]) -> None:
        """Each replaces what is older (removes it, without an image), and fills an empty place for the holder
        of the lease only; no record comes twice. When this returns, nobody is told what is older than these
        versions any more."""
        ...

    async def now(self) -> int:
        """The cache's clock."""
        ...

    async def beat(self, beat: Beat) -> None:
        """Ignored if a beat of this run began later, or told of a later epoch."""
        ...

    async def lead(self, name: str, ms: int) -> bool:
        """Whether `name` is the one relay for so long from now. Several at once would do no harm."""
        ...

    async def memory(self) -> MemoryStats:
        """What the server says of its room."""
        ...

    async def announce(self, news: Collection[int]) -> None:
        """Wake all who wait for one of these topics, which are named by `topics.hash_of`."""
        ...

    async def wait(self, topics: frozenset[Topic], timeout: int) -> frozenset[Topic]:
        """As `Driver.wait`, of what is announced: a hint, which is lost while the cache cannot be reached.
        Raises nothing because of the cache."""
        ...


_Packed = tuple[int, int, bytes | None, bool, Index, int, int, int | None]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Packed).decode


def pack(image: RecordImage) -> bytes:
    """The image without its ref."""
    return _pack(
        (
            image.version,
            image.created_version,
            image.value,
            image.raw,
            image.index,
            image.created_at,
            image.updated_at,
            image.expires_at,
        )
    )


def unpack(ref: RecordRef, packed: bytes) -> RecordImage:
    version, created_version, value, raw, index, created_at, updated_at, expires_at = _unpack(packed)
    return RecordImage(
        ref=ref,
        version=version,
        created_version=created_version,
        value=value,
        raw=raw,
        index=index,
        created_at=created_at,
        updated_at=updated_at,
        expires_at=expires_at,
    )
