"""Operations on streams and consumer groups.

Appends are gathered and written at the end of the trip. What concerns groups is written at once, inside a
savepoint that a refused batch is rolled back to: so a batch sees its own acks when it trims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from hive_state_core.model import GroupRef
from hive_state_core.spi import (
    Ack,
    Append,
    Batch,
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
from hive_state_sqlite import rows, statements
from hive_state_sqlite.refusal import Refusal
from hive_state_sqlite.trip import Trip


class Head(NamedTuple):
    """Events with first <= seq <= last are there."""

    first: int
    last: int
    dropped: bool


NO_STREAM = Head(1, 0, True)


class StreamDecision:
    """The part of a trip's decision that concerns streams."""

    def __init__(self, trip: Trip) -> None:
        self._trip = trip
        self._heads: dict[str, Head] = {}
        self._appends: list[rows.Row] = []
        self._batch_heads: dict[str, Head] = {}
        self._batch_appends: list[rows.Row] = []
        self._saved = False
        self._wrote = False

    # -- around a batch

    def begin(self, batch: Batch) -> None:
        self._batch_heads = {}
        self._batch_appends = []
        self._wrote = False
        self._saved = any(type(op) in _AT_ONCE for op in batch.ops)
        if self._saved:
            self._trip.db.execute("SAVEPOINT batch")

    def refuse(self) -> None:
        if self._saved:
            self._trip.db.execute("ROLLBACK TO batch")
            self._trip.db.execute("RELEASE batch")

    def accept(self) -> bool:
        """Whether the batch changed a stream or a group."""
        if self._saved:
            self._trip.db.execute("RELEASE batch")
        self._trip.changed = self._trip.changed or self._wrote
        self._heads |= self._batch_heads
        self._appends += self._batch_appends
        return self._wrote or bool(self._batch_heads)

    def apply(self) -> None:
        """Write the appends and heads of all accepted batches."""
        trip = self._trip
        heads = [
            (trip.ns, stream, trip.version, head.first, head.last, head.dropped)
            for stream, head in self._heads.items()
        ]
        for statement, values in ((statements.EVENT_APPEND, self._appends), (statements.STREAM_WRITE, heads)):
            if values:
                trip.changed = True
                trip.executemany(statement, values)

    # -- operations

    def decide(self, op: object) -> OpResult:
        return HANDLERS[type(op)](self, op)

    def _append(self, op: Append) -> int:
        trip, stream = self._trip, op.ref.stream
        head = self._head(stream)
        seq = head.last + 1
        self._batch_heads[stream] = Head(head.first, seq, dropped=False)
        self._batch_appends.append(rows.append_row(trip.ns, op, seq, trip.version, trip.at))
        return seq

    def _create_group(self, op: CreateGroup) -> bool:
        last = self._head(op.ref.stream).last
        position = last if op.position is None else min(op.position, last)
        trip, ref = self._trip, op.ref
        arguments = (trip.ns, ref.stream, ref.group, trip.version, position, op.max_deliveries)
        return self._write(statements.GROUP_CREATE, arguments) == 1

    def _ack(self, op: Ack) -> None:
        for seq, token in _named_once(op):
            self._fenced(op.ref, seq, token, statements.PENDING_ACK, (token == 0,))
        self._changed(op.ref)

    def _nack(self, op: Nack) -> None:
        trip = self._trip
        max_deliveries = self._max_deliveries(op.ref)
        until = trip.at + (op.retry_in or 0)
        for seq, token in _named_once(op):
            redriven = token == 0
            arguments = (redriven, trip.version, until, op.retry_in is None, max_deliveries, op.error)
            statement = statements.PENDING_NACK if op.spent or redriven else statements.PENDING_UNSPENT
            self._fenced(op.ref, seq, token, statement, arguments)
        self._changed(op.ref)

    def _extend(self, op: ExtendDeliveries) -> None:
        trip = self._trip
        for seq, token in _named_once(op):
            self._fenced(op.ref, seq, token, statements.PENDING_EXTEND, (trip.version, trip.at + op.lease))

    def _seek(self, op: Seek) -> None:
        trip, ref = self._trip, op.ref
        position = max(0, min(op.position, self._head(ref.stream).last))
        arguments = (trip.ns, ref.stream, ref.group, trip.version, position)
        if not self._write(statements.GROUP_SEEK, arguments):
            raise Refusal(Reason.MISSING, ref)
        self._write(statements.PENDING_FORGET, (trip.ns, ref.stream, ref.group))

    def _drop_group(self, op: DropGroup) -> bool:
        place = (self._trip.ns, op.ref.stream, op.ref.group)
        self._write(statements.PENDING_FORGET, place)
        return self._write(statements.GROUP_DROP, place) == 1

    def _trim(self, op: Trim) -> Trimmed:
        trip, stream = self._trip, op.ref.stream
        head = self._head(stream)
        first = min(op.first, head.last + 1)
        place: dict[str, Any] = {"ns": trip.ns, "stream": stream}
        (needed,) = trip.db.execute(statements.STREAM_NEEDED, place).fetchone()
        if needed is not None and not op.force:
            first = min(first, needed)
        if first <= head.first:
            return Trimmed(0, 0, head.first)
        dropped = 0
        if op.force:
            place |= {"low": head.first, "first": first}
            (dropped,) = trip.db.execute(statements.STREAM_UNFINISHED, place).fetchone()
            self._write(statements.GROUPS_TRIM, (trip.ns, stream, first, trip.version))
            self._write(statements.PENDING_TRIM, (trip.ns, stream, first))
        self._cut(stream, first)
        self._batch_heads[stream] = Head(first, head.last, head.dropped)
        return Trimmed(first - head.first, dropped, first)

    def _drop_stream(self, op: DropStream) -> bool:
        stream = op.ref.stream
        head = self._head(stream)
        place = (self._trip.ns, stream)
        self._write(statements.GROUPS_DROP, place)
        self._write(statements.PENDING_DROP, place)
        if head.dropped:
            return False
        self._cut(stream, head.last + 1)
        self._batch_heads[stream] = Head(head.last + 1, head.last, dropped=True)
        return True

    # -- state

    def _head(self, stream: str) -> Head:
        head = self._batch_heads.get(stream) or self._heads.get(stream)
        if head is None:
            arguments = (self._trip.ns, stream)
            row = self._trip.db.execute(statements.STREAM_READ, arguments).fetchone()
            head = NO_STREAM if row is None else Head(row[1], row[2], bool(row[3]))
        return head

    def _max_deliveries(self, ref: GroupRef) -> int:
        arguments = (self._trip.ns, ref.stream, ref.group)
        row = self._trip.db.execute(statements.GROUP_READ, arguments).fetchone()
        return 0 if row is None else int(row[2])

    def _cut(self, stream: str, first: int) -> None:
        """Remove the events below `first`, those of this batch too."""
        self._write(statements.EVENTS_CUT, (self._trip.ns, stream, first))
        self._batch_appends = [row for row in self._batch_appends if row[1] != stream or row[2] >= first]

    def _changed(self, ref: GroupRef) -> None:
        """The group's image has changed, as its counts have."""
        self._write(statements.GROUP_TOUCH, (self._trip.ns, ref.stream, ref.group, self._trip.version))

    def _fenced(self, ref: GroupRef, seq: int, token: int, statement: str, arguments: Sequence[Any]) -> None:
        """Run the statement on one delivery, if its token is current; it begins with (ns, stream, group, seq,
        token)."""
        place = (self._trip.ns, ref.stream, ref.group, seq)
        if self._write(statement, (*place, token, *arguments)):
            return
        row = self._trip.db.execute(statements.PENDING_READ, place).fetchone()
        raise Refusal(Reason.LEASE, ref, token, 0 if row is None else row[0], seq)

    def _write(self, statement: str, arguments: Sequence[Any]) -> int:
        count = self._trip.db.execute(statement, arguments).rowcount
        self._wrote = self._wrote or count > 0
        return count


def _named_once(op: Ack | Nack | ExtendDeliveries) -> Iterator[tuple[int, int]]:
    """(seq, token) of each delivery, one after the other is dealt with. Raises Refusal at one that was named
    before under another token: that one was current, although what was done since has taken it away."""
    tokens: dict[int, int] = {}
    for seq, token in op.deliveries:
        if seq not in tokens:
            tokens[seq] = token
            yield seq, token
        elif token != tokens[seq]:
            raise Refusal(Reason.LEASE, op.ref, token, tokens[seq], seq)


HANDLERS: dict[type, Callable[[StreamDecision, Any], OpResult]] = {
    Append: StreamDecision._append,
    CreateGroup: StreamDecision._create_group,
    Ack: StreamDecision._ack,
    Nack: StreamDecision._nack,
    ExtendDeliveries: StreamDecision._extend,
    Seek: StreamDecision._seek,
    DropGroup: StreamDecision._drop_group,
    Trim: StreamDecision._trim,
    DropStream: StreamDecision._drop_stream,
}
_AT_ONCE = HANDLERS.keys() - {Append}
