"""The file's images in the order of their keys, page by page, as the replication port gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import cast

from hive_state_core.errors import Unsupported
from hive_state_core.ids import AGENTS_COLLECTION
from hive_state_core.images import Key, key_of, sort_key
from hive_state_core.legacy_model import NOTES, QUEUE
from hive_state_core.limits import REPLY_BYTES
from hive_state_core.model import (
    EntityRef,
    EventImage,
    Image,
    RecordImage,
    RecordRef,
    StreamRef,
    TaskImage,
    TaskRef,
    TaskState,
)
from hive_state_core.spi import Kind, QueueStats, Span, Stats
from hive_state_legacy.judging import Known, heads_of
from hive_state_legacy.quarantine import Flaw, State, entry_images
from hive_state_legacy.quarantine import key_of as entry_key
from hive_state_legacy.source import KEYED, Source
from hive_state_legacy.tables import AGENTS, CHECKPOINTS, SNAPSHOTS, TASKS, Found, Table

Shape = tuple[Kind, Key | None, int | None]


class Exporting:
    """For one thread at a time. Raises Unsupported if the file keeps its keys in another order."""

    def __init__(self, source: Source) -> None:
        snapshot = source.snapshot
        if snapshot.encoding != "UTF-8":
            raise Unsupported(
                f"{snapshot.path} is encoded in {snapshot.encoding}, so the order of its keys is another;"
                " `hive-state import-legacy` does without",
                feature="replication",
            )
        self._source = source
        self._walks: dict[Shape, tuple[Key, Iterator[Image]]] = {}
        self._entries: list[tuple[str, Found, int, State, Flaw]] | None = None

    def page(self, span: Span) -> list[Image]:
        """See `spi.Replication.export`. A page that begins where the last one ended goes on there; any other
        is looked for from the start."""
        shape = (span.kind, span.stop, span.below)
        last, walk = self._walks.pop(shape, (None, iter(())))
        if last is None or span.after != last:
            walk = self.walk(span)
        found: list[Image] = []
        size = 0
        for image in walk:
            found.append(image)
            size += _size(image)
            if len(found) >= span.limit or size > REPLY_BYTES:
                self._walks[shape] = key_of(image), walk
                break
        return found

    def walk(self, span: Span) -> Iterator[Image]:
        """All images of the span."""
        after = None if span.after is None else sort_key(span.after)
        stop = None if span.stop is None else sort_key(span.stop)
        for image in self._all(span.kind):
            key = sort_key(key_of(image))
            if stop is not None and key >= stop:
                return
            if (after is None or key > after) and (span.below is None or image.version < span.below):
                yield image

    def images(self, refs: Sequence[EntityRef]) -> list[Image | None]:
        """See `spi.Replication.images`."""
        return [self._image(ref) for ref in refs]

    def stats(self) -> Stats:
        """How many there are, about: rows that cannot be taken are counted too."""
        layout = self._source.layout
        rows = {found.table: layout.count(found) for found in layout.tables}
        tasks = {TaskState.READY: rows.get(TASKS, 0)}
        return Stats(
            at=self._source.taken_at,
            records={AGENTS_COLLECTION: rows.get(AGENTS, 0), NOTES: rows.get(TASKS, 0)},
            queues={QUEUE: QueueStats(states=tasks, oldest_ready_at=None, leases_over=0, paused=False)},
            streams={head.ref.stream: head.last for head in heads_of(Known(), self._events())},
            groups={},
            size_bytes=None,
            backend={},
        )

    def _image(self, ref: EntityRef) -> Image | None:
        match ref:
            case RecordRef(collection, key) if collection == AGENTS_COLLECTION:
                return self._keyed_image(AGENTS, key, 0)
            case RecordRef(collection, key) if collection == NOTES:
                return self._keyed_image(TASKS, key, 1)
            case TaskRef(id):
                return self._keyed_image(TASKS, id, 0)
            case RecordRef():
                return next((image for image in self._quarantine() if image.ref == ref), None)
            case StreamRef():
                return next((head for head in heads_of(Known(), self._events()) if head.ref == ref), None)
        return None

    def _all(self, kind: Kind) -> Iterator[Image]:
        """All images of a kind, in key order."""
        match kind:
            case "record":
                return chain(self._keyed(AGENTS, 0), self._keyed(TASKS, 1), self._quarantine())
            case "task":
                return self._keyed(TASKS, 0)
            case "event":
                return self._events()
            case "stream":
                return iter(heads_of(Known(), self._events()))
        return iter(())

    def _keyed(self, table: Table, place: int) -> Iterator[RecordImage | TaskImage]:
        """Of each row the image at that place among its images."""
        found = self._source.layout.find(table)
        if found is not None:
            yield from self._of_rows(found, self._source.layout.rowids(found, table.needed[0]), place)

    def _keyed_image(self, table: Table, key: str, place: int) -> Image | None:
        found = self._source.layout.find(table)
        if found is None:
            return None
        rowids = self._source.layout.with_key(found, table.needed[0], key)
        return next(self._of_rows(found, iter(rowids), place), None)

    def _of_rows(self, found: Found, rowids: Iterator[int], place: int) -> Iterator[RecordImage | TaskImage]:
        read = self._source.reader(found, KEYED[found.table])
        for rowid in rowids:
            item = read(self._source.layout.row(found, rowid))
            if item.images:
                image = item.images[place]
                yield cast(RecordImage | TaskImage, image)

    def _events(self) -> Iterator[EventImage]:
        for table in (CHECKPOINTS, SNAPSHOTS):
            found = self._source.layout.find(table)
            for item in () if found is None else self._source.items_of(found):
                yield from (image for image in item.images if isinstance(image, EventImage))

    def _quarantine(self) -> Iterator[RecordImage]:
        """The entries, then the records of their bytes."""
        if self._entries is None:
            self._entries = sorted(self._find_entries(), key=lambda entry: entry[0])
        for bytes_too in (False, True):
            for _, found, rowid, state, flaw in self._entries:
                row = self._source.layout.row(found, rowid)
                *raws, entry = entry_images(row, state, flaw, self._source.taken_at)
                yield from raws if bytes_too else [entry]

    def _find_entries(self) -> Iterator[tuple[str, Found, int, State, Flaw]]:
        for found in self._source.layout.tables:
            for item in self._source.items_of(found):
                if item.entry and item.state is not None and item.flaw is not None:
                    yield entry_key(item.row), found, item.row.rowid, item.state, item.flaw


def _size(image: Image) -> int:
    """Bytes of its value."""
    if isinstance(image, RecordImage):
        return len(image.value or b"")
    if isinstance(image, TaskImage):
        return len(image.payload)
    return len(image.body) if isinstance(image, EventImage) else 0
