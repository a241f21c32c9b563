"""The replication port: what is exported, loaded and marked, and who may write here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from msgspec.structs import replace

from hive_state_core.control import changed, require_loadable, require_same, term_of
from hive_state_core.images import digest_of, instant_of
from hive_state_core.kv.capturing import capture, gone_key, mark_key
from hive_state_core.kv.entities import Entities, Space
from hive_state_core.kv.keys import (
    COMMIT,
    EVENT,
    GONE,
    GROUP,
    MARK,
    NOTE,
    PENDING,
    QUEUE,
    RECORD,
    STREAM,
    TASK,
    Stored,
    after,
    decode,
    encode,
    image_at,
    join,
    key_of,
    ref_at,
    split,
    under,
)
from hive_state_core.kv.room import Room
from hive_state_core.kv.trip import Head, Trip
from hive_state_core.model import (
    EntityRef,
    EventImage,
    Gone,
    Image,
    StreamImage,
    StreamRef,
    TaskImage,
)
from hive_state_core.spi import CACHE, PEER, Control, ControlState, Digest, Mark, Notes, Span

_PAGE = 256
_TABLES = (RECORD, TASK, QUEUE, EVENT, STREAM, GROUP, PENDING, COMMIT, GONE)


# --- the control row


async def change_control(trip: Trip, expect: int, change: Control) -> Control:
    """The row as it is from now on."""
    old = control_of(trip.head)
    undelivered = bool(await trip.after.range(*under(MARK, PEER), 1))
    new = changed(old, expect, change, empty=await _is_empty(trip.after), undelivered=undelivered)
    for sink in old.sinks - new.sinks:
        for key, _ in await trip.after.range(*under(MARK, sink)):
            trip.after.put(key, None)
    trip.head = replace(trip.head, control=new)
    return new


def control_of(head: Head) -> Control:
    return replace(head.control, version=head.version)


async def _is_empty(state: Entities) -> bool:
    for table in _TABLES:
        if await state.range(*under(table), 1):
            return False
    return True


# --- marks


async def marks(space: Space, sink: str, limit: int) -> Sequence[Mark]:
    rows = await space.range(*under(MARK, sink))
    found = []
    for key, data in rows:
        ref = ref_at(key.split(b"\0", 2)[2])
        if ref is not None:
            found.append(Mark(sink, ref, decode(data, int)))
    return sorted(found, key=lambda mark: mark.version)[:limit]


async def clear(state: Entities, sink: str, done: Sequence[Mark]) -> int:
    """How many of them were still the same."""
    cleared = 0
    for mark in done:
        key = mark_key(sink, key_of(mark.ref))
        data = await state.get(key)
        if data is not None and decode(data, int) == mark.version:
            state.put(key, None)
            cleared += 1
    return cleared


async def settle(state: Entities, versions: Collection[int]) -> None:
    for key, data in await state.range(*under(MARK, CACHE)):
        if decode(data, int) in versions:
            state.put(key, None)


# --- images on their way out


async def images(space: Space, refs: Sequence[EntityRef]) -> list[Image | None]:
    keys = [key_of(ref) for ref in refs]
    found = await space.load([*keys, *map(gone_key, keys)])
    there, gone = found[: len(keys)], found[len(keys) :]
    return [_image(key, data, rest) for key, data, rest in zip(keys, there, gone, strict=True)]


def _image(key: bytes, data: bytes | None, gone: bytes | None) -> Image | None:
    if data is not None:
        return image_at(key, data)
    ref = ref_at(key)
    return None if gone is None or ref is None else Gone(ref, decode(gone, int))


async def export(space: Space, span: Span) -> list[Image]:
    """One page."""
    found: list[Image] = []
    room = Room()
    async for data, image in _walk(space, span):
        found.append(image)
        room.take(data)
        if len(found) == span.limit or room.full:
            break
    return found


async def digest(space: Space, span: Span) -> Digest:
    return digest_of([image async for _, image in _walk(space, span)])


async def _walk(space: Space, span: Span) -> AsyncIterator[tuple[bytes, Stored]]:
    """The images of a span in key order; each page of them is a snapshot of its own."""
    start, stop = under(span.kind)
    if span.after is not None:
        start = after(join(span.kind, *span.after))
    if span.stop is not None:
        stop = join(span.kind, *span.stop)
    while start < stop and (rows := await space.range(start, stop, _PAGE)):
        start = after(rows[-1][0])
        for key, data in rows:
            image = image_at(key, data)
            if span.below is None or image.version < span.below:
                yield data, image


# --- images on their way in


async def load(trip: Trip, images: Sequence[Image], notes: Notes, expect: Control | None) -> int:
    """How many of them were newer than what is there."""
    row = trip.head.control
    require_same(row.store_id, row.epoch, expect)
    require_loadable(row.state, max([image.version for image in images], default=0))
    written = 0
    for image in images:
        written += await _load_one(trip, image)
    trip.head = _above(trip.head, images)
    write_notes(trip.after, notes)
    await capture(trip.after, trip.head.control.sinks, trip.version)
    return written


async def _load_one(trip: Trip, image: Image) -> bool:
    state = trip.after
    if isinstance(image, EventImage):
        return await _load_event(state, image, alone=trip.head.control.state is not ControlState.OPEN)
    key = key_of(image.ref)
    found, gone = await state.get(key), await state.get(gone_key(key))
    there = _image(key, found, gone)
    if there is not None and there.version >= image.version:
        return False
    old = None if found is None else image_at(key, found)
    if isinstance(image, Gone):
        if found is not None:
            await state.load(old, None)
        state.put(gone_key(key), encode(image.version))
    else:
        await state.load(old, image)
        state.put(gone_key(key), None)
    await _settle(state, old, image)
    return True


async def _load_event(state: Entities, image: EventImage, *, alone: bool) -> bool:
    """`alone`: nobody appends to the store meanwhile."""
    stream = await state.stream(StreamRef(image.stream))
    known = await state.event(image.stream, image.seq)
    if known is not None or (stream is not None and image.seq < stream.first):
        return False
    if stream is not None and not alone and term_of(stream.version) > 0:
        return False
    await state.put_event(image)
    return True


async def _settle(state: Entities, old: Stored | None, image: Image) -> None:
    """What goes with an image: the edges of a task, the events that a stream has lost."""
    if isinstance(old, TaskImage):
        for parent in old.parents:
            state.unlink(parent, old.ref.id)
    if isinstance(image, TaskImage) and image.unmet:
        for parent in image.parents:  # those that are completed too: they never complete again
            state.link(parent, image.ref.id)
    if isinstance(image, StreamImage):
        name = image.ref.stream
        for key, _ in await state.range(*_events(name, image.first)):
            state.put(key, None)


def _events(stream: str, stop: int) -> tuple[bytes, bytes]:
    return under(EVENT, stream)[0], join(EVENT, stream, stop)


def _above(head: Head, images: Sequence[Image]) -> Head:
    """The head of a store that goes on above what was loaded. What is imported into an open one was timed by
    another clock, which may be wrong."""
    orders = [image.order for image in images if isinstance(image, TaskImage)]
    instants = [] if head.control.state is ControlState.OPEN else [*map(instant_of, images)]
    return replace(
        head,
        order=max([head.order, *orders]),
        clock=max([head.clock, *instants]),
        version=max([head.version, *[image.version for image in images]]),
    )


# --- notes


async def notes(space: Space) -> dict[str, bytes]:
    return {split(key)[1]: data for key, data in await space.range(*under(NOTE))}


async def note(trip: Trip, changes: Notes, expect: Notes) -> bool:
    for name, value in expect.items():
        if await trip.after.get(join(NOTE, name)) != value:
            return False
    write_notes(trip.after, changes)
    return True


def write_notes(state: Entities, changes: Notes) -> None:
    for name, value in changes.items():
        state.put(join(NOTE, name), value)
