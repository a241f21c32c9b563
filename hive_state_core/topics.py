"""Which topics the batches of a trip may have touched, as numbers: a hint for those who wait.

Two topics with one number wake each other, which a hint may do. The same in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32

from hive_state_core.model import CollectionRef, QueueRef, RecordRef, TaskRef, Topic
from hive_state_core.spi import (
    Append,
    Batch,
    Cancel,
    Complete,
    CreateGroup,
    Enqueue,
    Fail,
    Nack,
    Op,
    Redrive,
    Release,
    Seek,
    SetPaused,
)


def hash_of(topic: Topic) -> int:
    match topic:
        case RecordRef():
            return _key(topic.key, _collection(topic.collection))
        case CollectionRef():
            return _collection(topic.collection)
        case TaskRef():
            return _task(topic.id)
        case QueueRef():
            return _queue(topic.queue)
        case _:
            return _stream(topic.stream)


def _task(id: str) -> int:
    return crc32(id.encode(), 1)


@lru_cache(4096)
def _collection(name: str) -> int:
    return crc32(name.encode(), 4)


@lru_cache(4096)
def _queue(name: str) -> int:
    return crc32(name.encode(), 2)


@lru_cache(4096)
def _stream(name: str) -> int:
    return crc32(name.encode(), 3)


def _key(key: str, collection: int) -> int:
    return crc32(key.encode(), collection ^ 5)


_Says = Callable[[Any], int]
_SAYS: dict[type[Op], _Says] = {
    Enqueue: lambda op: _queue(op.queue),
    SetPaused: lambda op: _queue(op.ref.queue),
    **dict.fromkeys((Complete, Fail, Cancel, Redrive, Release), lambda op: _task(op.ref.id)),
    **dict.fromkeys((Append, CreateGroup, Nack, Seek), lambda op: _stream(op.ref.stream)),
}
"""By the kind of an operation on anything but a record: the topic that it touches."""


def hashes_of(batches: Sequence[Batch]) -> set[int]:
    """For each operation, whether it had an effect or not. Queues of tasks named by id only are not known
    here: whoever waits for such a queue looks again by itself."""
    found: set[int] = set()
    for batch in batches:
        for op in batch.ops:
            says = _SAYS.get(type(op))
            if says is not None:
                found.add(says(op))
            elif isinstance(ref := op.ref, RecordRef):
                collection = _collection(ref.collection)
                found.add(collection)
                found.add(_key(ref.key, collection))
    return found
