"""The operations on streams and groups, one method each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from hive_state_core.kv import deliveries
from hive_state_core.kv.entities import Entities
from hive_state_core.kv.refusal import Refusal
from hive_state_core.kv.trip import Trip
from hive_state_core.model import (
    EventImage,
    GroupImage,
    GroupRef,
    PendingImage,
    PendingRef,
    StreamImage,
    StreamRef,
)
from hive_state_core.spi import (
    Ack,
    Append,
    CreateGroup,
    DropGroup,
    DropStream,
    ExtendDeliveries,
    Nack,
    OpResult,
    Reason,
    Seek,
    Trim,
    Trimmed,
)

TRIM = 1000
"""Events that one Trim removes, at most."""

StreamOp = Append | CreateGroup | Ack | Nack | ExtendDeliveries | Seek | DropGroup | Trim | DropStream


class Streams:
    """The stream operations of one batch, applied to `state`."""

    def __init__(self, trip: Trip, state: Entities) -> None:
        self._state = state
        self._at = trip.at
        self._version = trip.version

    async def apply(self, op: StreamOp) -> OpResult:
        """The operation's result. Raises Refusal."""
        match op:
            case Append():
                return await self._append(op)
            case CreateGroup():
                return await self._create_group(op)
            case Ack():
                await self._change(op, lambda _group, _pending: None)
                return None
            case Nack():
                await self._nack(op)
                return None
            case ExtendDeliveries():
                await self._extend(op)
                return None
            case Seek():
                await self._seek(op)
                return None
            case DropGroup():
                return await self._drop_group(op.ref)
            case Trim():
                return await self._trim(op)
            case _:
                return await self._drop_stream(op.ref)

    # --- streams

    async def _append(self, op: Append) -> int:
        stream = await self._stream(op.ref)
        seq = stream.last + 1
        event = EventImage(
            stream=op.ref.stream, seq=seq, version=self._version, body=op.body, raw=op.raw, at=self._at
        )
        await self._state.put_event(event)
        await self._state.put_stream(replace(stream, version=self._version, last=seq, dropped=False))
        self._state.topics.add(op.ref)
        return seq

    async def _trim(self, op: Trim) -> Trimmed:
        stream = await self._stream(op.ref)
        groups = await self._state.groups(op.ref.stream)
        first = min(op.first, stream.last + 1, stream.first + TRIM)
        if not op.force:
            first = min([first, *[await self._state.unfinished(group) for group in groups]])
        if first <= stream.first:
            return Trimmed(0, 0, stream.first)
        unfinished: set[int] = set()
        for group in groups:
            unfinished.update(await self._forget(group, stream.first, first))
        for seq in range(stream.first, first):
            self._state.remove_event(op.ref.stream, seq)
        await self._state.put_stream(replace(stream, version=self._version, first=first))
        return Trimmed(first - stream.first, len(unfinished), first)

    async def _forget(self, group: GroupImage, first: int, stop: int) -> Sequence[int]:
        """Those of the events first <= seq < stop that the group has not finished, and will not."""
        pending = await self._state.deliveries(group.ref, first, stop)
        if pending:
            changes = [(delivery, None) for delivery in pending]
            await deliveries.store(self._state, group, changes, version=self._version)
        handed = [delivery.ref.seq for delivery in pending]
        return [*handed, *range(max(first, group.position + 1), stop)]

    async def _drop_stream(self, ref: StreamRef) -> bool:
        for group in await self._state.groups(ref.stream):
            await self._drop_group(group.ref)
        stream = await self._state.stream(ref)
        if stream is None or stream.dropped:
            return False
        for seq in range(stream.first, stream.last + 1):
            self._state.remove_event(ref.stream, seq)
        dropped = replace(stream, version=self._version, first=stream.last + 1, dropped=True)
        await self._state.put_stream(dropped)
        return True

    async def _stream(self, ref: StreamRef) -> StreamImage:
        """An empty one if it is not there."""
        found = await self._state.stream(ref)
        return found or StreamImage(ref=ref, version=0, first=1, last=0, dropped=False)

    # --- groups

    async def _create_group(self, op: CreateGroup) -> bool:
        if await self._state.group(op.ref) is not None:
            return False
        group = GroupImage(
            ref=op.ref,
            version=self._version,
            position=await self._clamp(op.ref, op.position),
            max_deliveries=op.max_deliveries,
            pending=0,
            dead=0,
        )
        await self._state.put_group(group)
        self._state.topics.add(StreamRef(op.ref.stream))
        return True

    async def _seek(self, op: Seek) -> None:
        group = await self._state.group(op.ref)
        if group is None:
            raise Refusal(Reason.MISSING, op.ref)
        changes = [(delivery, None) for delivery in await self._state.deliveries(op.ref)]
        moved = replace(group, position=await self._clamp(op.ref, op.position))
        await deliveries.store(self._state, moved, changes, version=self._version)
        self._state.topics.add(StreamRef(op.ref.stream))

    async def _clamp(self, ref: GroupRef, position: int | None) -> int:
        last = (await self._stream(StreamRef(ref.stream))).last
        return last if position is None else max(0, min(position, last))

    async def _drop_group(self, ref: GroupRef) -> bool:
        group = await self._state.group(ref)
        if group is None:
            return False
        for delivery in await self._state.deliveries(ref):
            await self._state.put_pending(delivery, None)
        await self._state.remove(group)
        return True

    # --- deliveries

    async def _nack(self, op: Nack) -> None:
        def nacked(group: GroupImage, pending: PendingImage) -> PendingImage:
            most = group.max_deliveries
            return deliveries.nacked(pending, op, most=most, at=self._at, version=self._version)

        await self._change(op, nacked)
        self._state.topics.add(StreamRef(op.ref.stream))

    async def _extend(self, op: ExtendDeliveries) -> None:
        def extended(_: GroupImage, pending: PendingImage) -> PendingImage:
            return deliveries.extended(pending, op, at=self._at, version=self._version)

        await self._change(op, extended)

    async def _change(
        self,
        op: Ack | Nack | ExtendDeliveries,
        change: Callable[[GroupImage, PendingImage], PendingImage | None],
    ) -> None:
        """Change the deliveries that are named, each once."""
        found = {seq: await self._current(op, seq, token) for seq, token in op.deliveries}
        group = await self._state.group(op.ref)
        if found and group is not None:
            changes = [(old, change(group, old)) for old in found.values()]
            await deliveries.store(self._state, group, changes, version=self._version)

    async def _current(self, op: Ack | Nack | ExtendDeliveries, seq: int, token: int) -> PendingImage:
        """Token 0 is that of a dead delivery, and of no other."""
        pending = await self._state.pending(PendingRef(op.ref.stream, op.ref.group, seq))
        actual = 0 if pending is None else pending.token
        zero = pending is not None and pending.dead and not isinstance(op, ExtendDeliveries)
        if pending is None or actual != token or (not token and not zero):
            raise Refusal(Reason.LEASE, op.ref, token, actual, seq)
        return pending
