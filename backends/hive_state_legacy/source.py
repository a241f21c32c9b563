"""The file as what it holds: each row with its images, or with what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import time_ns

import msgspec

from hive_state_core.checkpoints import SNAPSHOTS as SNAPSHOT_STREAM
from hive_state_core.model import EventImage, RecordImage, StreamRef, TaskImage
from hive_state_legacy import mapping
from hive_state_legacy.options import Options
from hive_state_legacy.quarantine import Flaw, State, entry_images, key_of
from hive_state_legacy.reading import Fault, Reading
from hive_state_legacy.snapshot import Cell, Snapshot
from hive_state_legacy.tables import AGENTS, CHECKPOINTS, TASKS, Found, Layout, Row, Table
from hive_state_legacy.times import Clock

RowImage = RecordImage | TaskImage | EventImage
Images = Callable[[Reading], tuple[RowImage, ...]]
KEYED: Mapping[Table, Images] = {AGENTS: mapping.agent_images, TASKS: mapping.task_images}
"""The tables whose rows stand each for itself; those of the others are histories."""

Decisions = Mapping[str, State]
"""What a store remembers of its quarantine: the entries by their keys."""


class Item(msgspec.Struct, frozen=True):
    """A row.

    images  what it becomes, the row's own entity first; none unless it can be taken now
    flaw    what is wrong with it; None = nothing
    state   of its place in the quarantine; None = it has none
    entry   that place; a row that only waits for another has none
    """

    row: Row
    images: tuple[RowImage, ...] = ()
    flaw: Flaw | None = None
    state: State | None = None
    entry: tuple[RecordImage, ...] = ()

    @property
    def name(self) -> str:
        """As in `--waive`."""
        return f"{self.row.table}:{self.row.rowid}"

    @property
    def size(self) -> int:
        """Bytes of its texts and BLOBs."""
        return sum(len(cell) for cell in self.row.cells.values() if isinstance(cell, bytes))


class Source:
    """An open snapshot, its layout, and how to read it. For one thread at a time."""

    def __init__(self, options: Options, snapshot: Snapshot | None = None) -> None:
        self.options = options
        self.clock = Clock(options.timezone)
        self.snapshot = snapshot or Snapshot(options.path, options.timeout)
        self.decisions: Decisions = {}

    def open(self) -> None:
        """Raises as `Snapshot.open` does, and SchemaMismatch."""
        self.snapshot.open()
        self.taken_at = time_ns() // 1_000_000
        try:
            self.layout = Layout(self.snapshot)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.snapshot.close()

    def warnings(self) -> list[str]:
        """Whole sentences; those on times are complete once all rows were read."""
        return [*self.layout.warnings(), *self.clock.warnings()]

    def items(self) -> Iterator[Item]:
        """All rows of the file, table after table."""
        for found in self.layout.tables:
            yield from self.items_of(found)

    def items_of(self, found: Found) -> Iterator[Item]:
        """All rows of a table: those with keys in the order of the rows, histories in their own."""
        images = KEYED.get(found.table)
        return (
            self._history(found)
            if images is None
            else map(self.reader(found, images), self.layout.rows(found))
        )

    def waived(self, found: Found) -> frozenset[int]:
        """The numbers of the rows of a table that are to be left behind."""
        return frozenset(rowid for table, rowid in self.options.waived if table == found.name)

    def reader(
        self, found: Found, images: Images, doubles: frozenset[Cell] | None = None
    ) -> Callable[[Row], Item]:
        """What makes an item of a row that stands for itself. `doubles`: keys that several rows have, None:
        the table is searched for them."""
        key = found.table.needed[0]
        if doubles is None:
            doubles = self.layout.doubles(found, key, self.waived(found))

        def make(reading: Reading) -> tuple[RowImage, ...]:
            if reading.row.cells[key] in doubles:
                raise Fault(key, "a key that several rows have")
            return images(reading)

        return lambda row: self._item(row, make)

    def _history(self, found: Found) -> Iterator[Item]:
        """A row that nobody has decided about holds up those of its history that come after it: an event gets
        the next number, so they could not be put in their places any more."""
        place = _Place()
        named = ("checkpoint_name",) if found.table is CHECKPOINTS else ()
        for rowid in self.layout.rowids(found, *named, "timestamp"):
            row = self.layout.row(found, rowid)
            try:
                ref = mapping.checkpoint_stream(self.reading(row)) if named else SNAPSHOT_STREAM
            except Fault as fault:
                yield self.spoiled(row, flaw_of(fault))
                continue
            if ref != place.ref:
                place = _Place(ref)
            item = self._item(row, partial(_event_images, place))
            place.seq += item.state is not State.WAIVED
            if place.stuck is None:
                place.stuck = item if item.state is State.OPEN else None
            elif item.images:
                item = _held(item, place.stuck)
            yield item

    def alone(self, found: Found, row: Row) -> Item:
        """The item of a row of a history, whatever its place there."""
        named = found.table is CHECKPOINTS

        def make(reading: Reading) -> tuple[RowImage, ...]:
            ref = mapping.checkpoint_stream(reading) if named else SNAPSHOT_STREAM
            return _event_images(_Place(ref), reading)

        return self._item(row, make)

    def _decided(self, row: Row) -> State | None:
        return self.decisions.get(key_of(row)) if self.decisions else None

    def reading(self, row: Row) -> Reading:
        return Reading(row, self.options, self.clock)

    def _item(self, row: Row, make: Images) -> Item:
        reading = self.reading(row)
        try:
            images = make(reading)
        except Fault as fault:
            return self.spoiled(row, flaw_of(fault))
        if (row.table, row.rowid) in self.options.waived:
            return self.spoiled(row, Flaw("", "nothing is wrong with it"))
        if reading.settled:
            first = reading.settled[0]
            flaw = Flaw(first.column, first.reason, f"{first.rule}={first.answer}")
            return self._settled(row, images, flaw)
        if self._decided(row) is State.OPEN:
            return self._settled(row, images, Flaw("", "nothing is wrong with it any more"))
        return Item(row, images)

    def _settled(self, row: Row, images: tuple[RowImage, ...], flaw: Flaw) -> Item:
        entry = entry_images(row, State.SETTLED, flaw, self.taken_at)
        return Item(row, images, flaw, State.SETTLED, entry)

    def spoiled(self, row: Row, flaw: Flaw) -> Item:
        """The row in quarantine, or as it was decided about."""
        waived = (row.table, row.rowid) in self.options.waived
        state = max(State.WAIVED if waived else State.OPEN, self._decided(row) or State.OPEN)
        return Item(row, (), flaw, state, entry_images(row, state, flaw, self.taken_at))


class _Place:
    """How far a history is: the last number given, and the first row that nobody has decided about."""

    def __init__(self, ref: StreamRef | None = None) -> None:
        self.ref = ref
        self.seq = 0
        self.stuck: Item | None = None


def _event_images(place: _Place, reading: Reading) -> tuple[RowImage, ...]:
    if place.ref is None or place.ref == SNAPSHOT_STREAM:
        return (mapping.snapshot_event(reading, place.seq + 1),)
    return (mapping.checkpoint_event(reading, place.ref, place.seq + 1),)


def _held(item: Item, stuck: Item) -> Item:
    flaw = Flaw("", f"it waits for {stuck.name}, which comes before it in its history")
    return Item(item.row, (), flaw, State.OPEN)


def flaw_of(fault: Fault) -> Flaw:
    return Flaw(fault.column, fault.reason, fault.rule)
