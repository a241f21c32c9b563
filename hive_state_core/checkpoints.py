"""Checkpoints: named, numbered states to go back to. Each name is a stream; system snapshots are one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import cast

import msgspec
from msgspec.structs import replace

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.errors import CorruptData, InvalidArgument, LimitExceeded
from hive_state_core.features import Facility
from hive_state_core.limits import NAME_BYTES, SCAN_PAGE, VALUE_BYTES, VERSION_MAX
from hive_state_core.model import EventImage, StreamImage, StreamRef
from hive_state_core.spi import Append, Batch, Committed, DropStream, Scan, StreamRead
from hive_state_core.trimming import trim
from hive_state_core.trips import Trips
from hive_state_core.unit import Pending, Unit

PREFIX = "hive:checkpoint:"
SNAPSHOTS = StreamRef("hive:snapshots")

NAME_MOST = NAME_BYTES - len(PREFIX)
"""Bytes of a checkpoint's name."""


class _Stored(msgspec.Struct, frozen=True):
    """The body of an event. In alphabetical order, as canonical JSON has it."""

    data: msgspec.Raw
    metadata: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Stored).decode
_LENGTH = 4
"""Bytes data is stored as: length of the metadata (big-endian), metadata, data."""


class Checkpoint:
    """A checkpoint as it was saved or read. `name` is None for a snapshot of the system; `seq` is 1, 2, ...
    in each name, and `at` the instant of the save by the store's clock."""

    __slots__ = ("_body", "_parts", "_raw", "at", "name", "seq")

    def __init__(self, name: str | None, seq: int, at: int, body: bytes, raw: bool) -> None:
        """For facets."""
        self.name: str | None = name
        self.seq: int = seq
        self.at: datetime = validate.instant(at)
        self._body = body
        self._raw = raw
        self._parts: tuple[Json, dict[str, Json]] | None = None

    @property
    def data(self) -> Json:
        """The caller's own. Raises CorruptData if the stored bytes cannot be decoded."""
        return self._decoded()[0]

    @property
    def metadata(self) -> dict[str, Json]:
        """As `data`; empty if none was given."""
        return self._decoded()[1]

    def _decoded(self) -> tuple[Json, dict[str, Json]]:
        if self._parts is None:
            self._parts = _unpack(self._body, self._raw, f"checkpoint {self.seq} of {self.name!r}")
        return self._parts

    def __repr__(self) -> str:
        return f"Checkpoint({self.name!r}, seq={self.seq})"


class Checkpoints:
    """`hive.checkpoints`. Every verb takes `timeout=` in seconds."""

    def __init__(self, trips: Trips) -> None:
        self._trips = trips

    async def save(
        self,
        name: str,
        data: Json,
        *,
        metadata: dict[str, Json] | None = None,
        timeout: float | None = None,
    ) -> Checkpoint:
        """Add a checkpoint; it is the latest of its name. `data`: JSON (see `codec`), or bytes. Names have
        up to 112 bytes."""
        return await self._save(name, checkpoint_ref(name), data, metadata, timeout)

    async def latest(self, name: str, *, timeout: float | None = None) -> Checkpoint | None:
        """The one saved last, None if there is none."""
        return await self._one(name, StreamRead(checkpoint_ref(name), VERSION_MAX, 1, reverse=True), timeout)

    async def get(self, name: str, seq: int, *, timeout: float | None = None) -> Checkpoint | None:
        """The one of that seq; None if there is none, or it was pruned."""
        validate.integer(seq, "seq", 1, VERSION_MAX)
        found = await self._one(name, StreamRead(checkpoint_ref(name), seq, 1), timeout)
        return found if found is not None and found.seq == seq else None

    def list(
        self,
        name: str,
        *,
        limit: int | None = None,
        reverse: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Checkpoint]:
        """All of a name, or the first `limit`, oldest first (`reverse`: newest first), page by page."""
        return self._list(name, checkpoint_ref(name), limit, reverse, timeout)

    async def names(self, *, timeout: float | None = None) -> AsyncIterator[str]:
        """The names that have checkpoints, in byte order."""
        self._trips.require(Facility.STREAMS)
        stop = validate.prefix_stop(PREFIX)
        query = Scan(kind="stream", start=PREFIX, stop=stop, limit=SCAN_PAGE // 4)
        while True:
            page = await self._trips.scan(query, timeout)
            for image in cast("list[StreamImage]", page.items):
                if not image.dropped and image.first <= image.last:
                    yield image.ref.stream[len(PREFIX) :]
            if page.next is None:
                return
            query = replace(query, after=page.next)

    async def prune(self, name: str, *, keep: int = 10, timeout: float | None = None) -> int:
        """Remove all but the newest `keep` (at least 1); how many that were."""
        return await self._prune(checkpoint_ref(name), keep, timeout)

    async def delete(self, name: str, *, timeout: float | None = None) -> bool:
        """Remove all of a name; whether there were any. Their seqs are not used again."""
        committed = await self._trips.commit(Batch((DropStream(checkpoint_ref(name)),)), timeout=timeout)
        return cast(bool, committed.results[0])

    async def snapshot(
        self, data: Json, *, metadata: dict[str, Json] | None = None, timeout: float | None = None
    ) -> Checkpoint:
        """Add a snapshot of the whole system; otherwise as `save`."""
        return await self._save(None, SNAPSHOTS, data, metadata, timeout)

    def snapshots(
        self, *, limit: int | None = None, reverse: bool = False, timeout: float | None = None
    ) -> AsyncIterator[Checkpoint]:
        """As `list`."""
        return self._list(None, SNAPSHOTS, limit, reverse, timeout)

    async def prune_snapshots(self, *, keep: int = 10, timeout: float | None = None) -> int:
        """As `prune`."""
        return await self._prune(SNAPSHOTS, keep, timeout)

    async def _save(
        self,
        name: str | None,
        ref: StreamRef,
        data: Json,
        metadata: dict[str, Json] | None,
        timeout: float | None,
    ) -> Checkpoint:
        op = save_op(ref, data, metadata)
        committed = await self._trips.commit(Batch((op,)), len(op.body), timeout)
        return _saved(name, op, committed.results[0], committed)

    async def _one(self, name: str, read: StreamRead, timeout: float | None) -> Checkpoint | None:
        page = await self._trips.stream(read, timeout)
        return _checkpoint(name, page.events[0]) if page.events else None

    async def _list(
        self, name: str | None, ref: StreamRef, limit: int | None, reverse: bool, timeout: float | None
    ) -> AsyncIterator[Checkpoint]:
        left = VERSION_MAX if limit is None else validate.integer(limit, "limit", 1, VERSION_MAX)
        read = StreamRead(ref, VERSION_MAX if reverse else 1, min(left, SCAN_PAGE // 4), reverse)
        while True:
            page = await self._trips.stream(read, timeout)
            for image in page.events:
                yield _checkpoint(name, image)
            if not page.events:
                return
            left -= len(page.events)
            following = page.events[-1].seq + (-1 if reverse else 1)
            if not left or not page.first <= following <= page.last:
                return
            read = replace(read, start=following, limit=min(left, read.limit))

    async def _prune(self, ref: StreamRef, keep: int, timeout: float | None) -> int:
        validate.integer(keep, "keep", 1, VERSION_MAX)
        return (await trim(self._trips, ref, keep, None, False, timeout)).removed


class CheckpointOps:
    """`unit.checkpoints`: gathered instead of awaited; each is as its namesake in `Checkpoints`."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def save(self, name: str, data: Json, *, metadata: dict[str, Json] | None = None) -> Pending[Checkpoint]:
        return self._save(name, save_op(checkpoint_ref(name), data, metadata))

    def snapshot(self, data: Json, *, metadata: dict[str, Json] | None = None) -> Pending[Checkpoint]:
        return self._save(None, save_op(SNAPSHOTS, data, metadata))

    def _save(self, name: str | None, op: Append) -> Pending[Checkpoint]:
        return self._unit.add(op, lambda result, committed: _saved(name, op, result, committed), len(op.body))


def checkpoint_ref(name: str) -> StreamRef:
    validate.name(name, "a checkpoint's name")
    size = len(name.encode())
    if size > NAME_MOST:
        raise LimitExceeded("the length of a checkpoint's name in bytes", size, NAME_MOST)
    return StreamRef(PREFIX + name)


def save_op(ref: StreamRef, data: Json, metadata: dict[str, Json] | None) -> Append:
    """The operation, with the body that `_unpack` takes apart."""
    if metadata is not None and type(metadata) is not dict:
        raise InvalidArgument(f"metadata must be a dict or None, not {type(metadata).__name__}")
    encoded, raw = codec.encode(data)
    about, _ = codec.encode(metadata or {})
    if raw:
        body = len(about).to_bytes(_LENGTH) + about + encoded
    else:
        body = _encode(_Stored(msgspec.Raw(encoded), msgspec.Raw(about)))
    if len(body) > VALUE_BYTES:
        raise LimitExceeded("the size of the encoded checkpoint in bytes", len(body), VALUE_BYTES)
    return Append(ref, body, raw)


def _unpack(body: bytes, raw: bool, what: str) -> tuple[Json, dict[str, Json]]:
    """(data, metadata)."""
    if raw:
        end = _LENGTH + int.from_bytes(body[:_LENGTH])
        if len(body) < end:
            raise CorruptData(f"the stored value of {what} is no checkpoint", raw=body)
        data, about = body[end:], body[_LENGTH:end]
    else:
        try:
            stored = _decode(body)
        except msgspec.DecodeError as error:
            raise CorruptData(f"the stored value of {what} is no checkpoint", raw=body) from error
        data, about = bytes(stored.data), bytes(stored.metadata)
    metadata = codec.decode(about, False, what)
    if type(metadata) is not dict:
        raise CorruptData(f"the metadata of {what} is no object", raw=body)
    return codec.decode(data, raw, what), metadata


def _checkpoint(name: str | None, image: EventImage) -> Checkpoint:
    return Checkpoint(name, image.seq, image.at, image.body, image.raw)


def _saved(name: str | None, op: Append, seq: object, committed: Committed) -> Checkpoint:
    return Checkpoint(name, cast(int, seq), committed.at, op.body, op.raw)
