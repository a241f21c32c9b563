"""The import: chunk by chunk from the file to the store, each chunk in one transaction.

There is no cursor. What an earlier run brought is found unchanged, so a run that was killed is begun again
from the start, and a second run writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hive_state_core.model import EventImage, Image
from hive_state_core.spi import Loading
from hive_state_core.store import Store
from hive_state_legacy.judging import Fate, Known, heads_of, known_of
from hive_state_legacy.quarantine import ENTRIES, Flaw, State
from hive_state_legacy.reader import Reader
from hive_state_legacy.report import Report
from hive_state_legacy.source import Decisions, Item

CHUNK_BYTES = 8 * 1024 * 1024
"""A chunk ends once its values pass this."""

TAKEN = Flaw("checkpoint_name", "the store has another history of this name")


async def decisions_of(hive: Store) -> Decisions:
    """What the store remembers of its quarantine."""
    states = {state.name.lower(): state for state in State}
    return {record.key: states[record.value["state"]] async for record in hive.records.list(ENTRIES)}


class Import:
    """One run. `port` None: a trial for a store that is not there yet. `write` False: a trial."""

    def __init__(self, reader: Reader, port: Loading | None, *, chunk: int, write: bool) -> None:
        self.report = Report()
        self._reader = reader
        self._port = port
        self._chunk = chunk
        self._write = write

    async def run(self, progress: Callable[[Report], None]) -> Report:
        """Calls `progress` after each chunk. Raises what the store and the snapshot raise."""
        items = self._reader.source.items()
        while chunk := await self._reader.run(lambda: take(items, self._chunk)):
            await self._import(chunk)
            progress(self.report)
        return self.report

    async def _import(self, chunk: Sequence[Item]) -> None:
        rows = [item.images[0] for item in chunk if item.images]
        known = Known() if self._port is None else await known_of(self._port, rows)
        images: list[Image] = []
        for item in chunk:
            images += self._judge(item, known)
        events = [image for image in images if isinstance(image, EventImage)]
        images += heads_of(known, events)
        if images and self._write and self._port is not None:
            await self._port.load(images)

    def _judge(self, item: Item, known: Known) -> tuple[Image, ...]:
        """Count the item; the images to load."""
        fate = known.fate(item.images[0]) if item.images else None
        if fate is Fate.TAKEN:
            item, fate = self._reader.source.spoiled(item.row, TAKEN), None
        self.report.count(item, None if fate is None else fate.value)
        return (*(item.images if fate is Fate.IMPORTED else ()), *item.entry)


def take(items: Iterator[Item], most: int) -> list[Item]:
    """The next ones: up to `most`, fewer if they are large; none at the end."""
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += item.size
        if len(chunk) >= most or size > CHUNK_BYTES:
            break
    return chunk
