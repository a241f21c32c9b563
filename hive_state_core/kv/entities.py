"""The layers that a trip works on: what the store holds, and on top of it what was decided so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hive_state_core.kv.keys import (
    DEDUPE,
    EDGE,
    EVENT,
    GROUP,
    PENDING,
    Stored,
    decode,
    entries,
    join,
    key_of,
    number,
    split,
    tally,
    under,
)
from hive_state_core.kv.sortedmap import SortedMap
from hive_state_core.model import (
    CollectionRef,
    CommitImage,
    CommitRef,
    EventImage,
    GroupImage,
    GroupRef,
    PendingImage,
    PendingRef,
    QueueImage,
    QueueRef,
    RecordImage,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskImage,
    TaskRef,
    TaskState,
    Topic,
)

Row = tuple[bytes, bytes]


class Primitives(Protocol):
    """What a backend offers, see `KVDriver`."""

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]: ...

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]: ...

    async def swap(
        self, guard: bytes, expected: bytes | None, writes: Mapping[bytes, bytes | None]
    ) -> bool: ...

    async def now(self) -> int: ...


class Torn(Exception):
    """Two entries that belong together do not fit: another trip wrote between the two reads."""


class View(Protocol):
    """Something to read from, in the keys of one namespace."""

    async def get(self, key: bytes) -> bytes | None: ...

    async def range(self, start: bytes, stop: bytes, limit: int | None = None) -> Sequence[Row]: ...


class Space:
    """One namespace of a backend. What was read once by `get` is remembered."""

    def __init__(self, primitives: Primitives, namespace: str) -> None:
        self._primitives = primitives
        self._prefix = namespace.encode() + b"\0"
        self._known: dict[bytes, bytes | None] = {}

    async def load(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read all of these at once, from one snapshot."""
        found = await self._primitives.get([self._prefix + key for key in keys])
        self._known.update(zip(keys, found, strict=True))
        return found

    async def get(self, key: bytes) -> bytes | None:
        if key not in self._known:
            await self.load([key])
        return self._known[key]

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        cut = len(self._prefix)
        rows = await self._primitives.range(self._prefix + start, self._prefix + stop, limit, reverse)
        return [(key[cut:], value) for key, value in rows]

    async def swap(self, guard: bytes, expected: bytes | None, writes: Mapping[bytes, bytes | None]) -> bool:
        prefixed = {self._prefix + key: value for key, value in writes.items()}
        return await self._primitives.swap(self._prefix + guard, expected, prefixed)


class Entities:
    """Entities as they are once `changes` are applied to what lies below. Nothing is written below."""

    def __init__(self, below: View) -> None:
        self._below = below
        self._changes: SortedMap[bytes | None] = SortedMap()
        self.topics: set[Topic] = set()

    def fork(self) -> Entities:
        """A layer of its own on top of this one."""
        return Entities(self)

    def absorb(self, fork: Entities) -> None:
        """Take over what was changed in a fork."""
        for key, value in fork.changes().items():
            self._changes.put(key, value)
        self.topics |= fork.topics

    def changes(self) -> Mapping[bytes, bytes | None]:
        """New values by key; None = removed."""
        return self._changes.items()

    # --- bytes

    async def get(self, key: bytes) -> bytes | None:
        return self._changes[key] if key in self._changes else await self._below.get(key)

    async def range(self, start: bytes, stop: bytes, limit: int | None = None) -> Sequence[Row]:
        changed = self._changes.range(start, stop)
        if not changed:
            return await self._below.range(start, stop, limit)
        # each change may hide one row from below
        rows = await self._below.range(start, stop, None if limit is None else limit + len(changed))
        merged: dict[bytes, bytes | None] = {**dict(rows), **dict(changed)}
        return [(key, value) for key, value in sorted(merged.items()) if value is not None][:limit]

    def put(self, key: bytes, value: bytes | None) -> None:
        self._changes.put(key, value)

    # --- reading

    async def record(self, ref: RecordRef) -> RecordImage | None:
        """Tombstones and expired ones too."""
        data = await self.get(key_of(ref))
        return None if data is None else decode(data, RecordImage)

    async def task(self, id: str) -> TaskImage | None:
        data = await self.get(key_of(TaskRef(id)))
        return None if data is None else decode(data, TaskImage)

    async def queue(self, name: str) -> QueueImage | None:
        data = await self.get(key_of(QueueRef(name)))
        return None if data is None else decode(data, QueueImage)

    async def commit(self, id: str) -> CommitImage | None:
        data = await self.get(key_of(CommitRef(id)))
        return None if data is None else decode(data, CommitImage)

    async def holder(self, queue: str, dedupe_key: str | None) -> str | None:
        """The id of the live task that holds this dedupe place."""
        if dedupe_key is None:
            return None
        entries = await self.range(*under(DEDUPE, queue, dedupe_key), 1)
        return split(entries[0][0])[-1] if entries else None

    async def paused(self, queue: str) -> bool:
        image = await self.queue(queue)
        return image is not None and image.paused

    async def task_at(self, key: bytes) -> TaskImage:
        """The task that an entry is about: its id is the last part of the key."""
        task = await self.task(split(key)[-1])
        if task is None:
            raise Torn
        return task

    # --- reading streams

    async def stream(self, ref: StreamRef) -> StreamImage | None:
        """A dropped one too."""
        data = await self.get(key_of(ref))
        return None if data is None else decode(data, StreamImage)

    async def event(self, stream: str, seq: int) -> EventImage | None:
        data = await self.get(join(EVENT, stream, seq))
        return None if data is None else decode(data, EventImage)

    async def group(self, ref: GroupRef) -> GroupImage | None:
        data = await self.get(key_of(ref))
        return None if data is None else decode(data, GroupImage)

    async def groups(self, stream: str) -> Sequence[GroupImage]:
        """All of a stream's."""
        return [decode(data, GroupImage) for _, data in await self.range(*under(GROUP, stream))]

    async def pending(self, ref: PendingRef) -> PendingImage | None:
        data = await self.get(key_of(ref))
        return None if data is None else decode(data, PendingImage)

    async def deliveries(self, ref: GroupRef, first: int = 0, stop: int = 2**53) -> Sequence[PendingImage]:
        """Those of a group that are pending or dead, with first <= seq < stop."""
        table = (PENDING, ref.stream, ref.group)
        rows = await self.range(join(*table, first), join(*table, stop))
        return [decode(data, PendingImage) for _, data in rows]

    async def unfinished(self, group: GroupImage) -> int:
        """The lowest seq that the group has pending or dead, or may still be handed."""
        first = await self.range(*under(PENDING, group.ref.stream, group.ref.group), 1)
        return number(split(first[0][0])[-1]) if first else group.position + 1

    # --- writing: the image, every entry that it is found by, its counter, and who is woken

    async def put_record(self, old: RecordImage | None, new: RecordImage) -> None:
        await self._replace(old, new)
        self.topics |= {new.ref, CollectionRef(new.ref.collection)}

    async def put_task(self, old: TaskImage | None, new: TaskImage) -> None:
        await self._replace(old, new)
        if new.finished_at is not None or new.cancel_requested:
            self.topics.add(new.ref)
        if new.state in (TaskState.READY, TaskState.SCHEDULED):
            self.topics.add(QueueRef(new.queue))

    async def put_queue(self, old: QueueImage | None, new: QueueImage) -> None:
        await self._replace(old, new)
        self.topics.add(new.ref)

    async def put_commit(self, new: CommitImage) -> None:
        await self._replace(None, new)

    async def put_stream(self, new: StreamImage) -> None:
        await self._replace(None, new)

    async def put_event(self, new: EventImage) -> None:
        await self._replace(None, new)

    def remove_event(self, stream: str, seq: int) -> None:
        self.put(join(EVENT, stream, seq), None)

    async def put_group(self, new: GroupImage) -> None:
        await self._replace(None, new)

    async def put_pending(self, old: PendingImage | None, new: PendingImage | None) -> None:
        await self._replace(old, new)

    async def remove(self, old: RecordImage | TaskImage | CommitImage | GroupImage) -> None:
        await self._replace(old, None)

    async def load(self, old: Stored | None, new: Stored | None) -> None:
        """Put `new` in the place of `old`, wherever it was decided."""
        await self._replace(old, new)

    def link(self, parent: str, child: str) -> None:
        """The child counts this parent in `unmet` ..."""
        self.put(join(EDGE, parent, child), b"")

    def unlink(self, parent: str, child: str) -> None:
        """... and now it does not any more."""
        self.put(join(EDGE, parent, child), None)

    async def _replace(self, old: Stored | None, new: Stored | None) -> None:
        before, behind = entries(old), entries(new)
        for key in before.keys() - behind.keys():
            self.put(key, None)
        for key, value in behind.items():
            if before.get(key) != value:
                self.put(key, value)
        if tally(old) != tally(new):
            await self._count(tally(old), -1)
            await self._count(tally(new), +1)

    async def _count(self, counter: bytes | None, change: int) -> None:
        if counter is not None:
            data = await self.get(counter)
            number = change + (0 if data is None else int(data))
            self.put(counter, b"%d" % number if number else None)
