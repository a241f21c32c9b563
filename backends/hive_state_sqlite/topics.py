"""Which topics the batches of a trip may have touched: a hint for those who wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hive_state_core.model import CollectionRef, QueueRef, RecordRef, StreamRef, Topic
from hive_state_core.spi import (
    Append,
    Batch,
    Cancel,
    Complete,
    Enqueue,
    Fail,
    Nack,
    Redrive,
    Release,
    Seek,
    SetPaused,
)


def topics_of(batches: Sequence[Batch]) -> Iterator[Topic]:
    """For each operation, whether it had an effect or not. Queues of tasks named by id only are not known
    here: whoever waits for such a queue looks again by itself."""
    for batch in batches:
        for op in batch.ops:
            ref = op.ref
            if isinstance(ref, RecordRef):
                yield ref
                yield CollectionRef(ref.collection)
            elif isinstance(op, Enqueue):
                yield QueueRef(op.queue)
            elif isinstance(op, Append):
                yield op.ref
            elif isinstance(op, Nack | Seek):
                yield StreamRef(op.ref.stream)
            elif isinstance(op, SetPaused | Complete | Fail | Cancel | Redrive | Release):
                yield op.ref
