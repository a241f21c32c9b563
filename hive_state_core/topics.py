"""Which topics the batches of a trip may have touched, as numbers: a hint for those who wait.

Two topics with one number wake each other, which a hint may do. The same in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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
    Redrive,
    Release,
    Seek,
    SetPaused,
)


def hash_of(topic: Topic) -> int:
    match topic:
        case RecordRef():
            return _record(topic)
        case CollectionRef():
            return _collection(topic.collection)
        case TaskRef():
            return crc32(topic.id.encode(), 1)
        case QueueRef():
            return _queue(topic.queue)
        case _:
            return _stream(topic.stream)


@lru_cache(4096)
def _collection(name: str) -> int:
    return crc32(name.encode(), 4)


@lru_cache(4096)
def _queue(name: str) -> int:
    return crc32(name.encode(), 2)


@lru_cache(4096)
def _stream(name: str) -> int:
    return crc32(name.encode(), 3)


def _record(ref: RecordRef) -> int:
    return crc32(ref.key.encode(), _collection(ref.collection) ^ 5)


def hashes_of(batches: Sequence[Batch]) -> set[int]:
    """For each operation, whether it had an effect or not. Queues of tasks named by id only are not known
    here: whoever waits for such a queue looks again by itself."""
    found: set[int] = set()
    for batch in batches:
        for op in batch.ops:
            ref = op.ref
            if type(ref) is RecordRef:
                found.add(_record(ref))
                found.add(_collection(ref.collection))
            elif isinstance(op, Enqueue):
                found.add(_queue(op.queue))
            elif isinstance(op, Append | CreateGroup | Nack | Seek):
                found.add(_stream(op.ref.stream))
            elif isinstance(op, SetPaused | Complete | Fail | Cancel | Redrive | Release):
                found.add(hash_of(op.ref))
    return found
