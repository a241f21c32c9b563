"""The store beside a file, as it is filled at the beginning. It is empty, so nothing has to be looked for in
it, and nobody uses it before it is whole."""

from __future__ import annotations

from collections.abc import Sequence

from hive_state_core.model import EventImage, Image
from hive_state_core.spi import Replication
from hive_state_legacy.changes import refuse
from hive_state_legacy.importing import take
from hive_state_legacy.judging import Known, heads_of
from hive_state_legacy.quarantine import State
from hive_state_legacy.reader import Reader
from hive_state_legacy.source import Item

CHUNK = 5000
"""Rows in a transaction."""


async def fill(copy: Reader, port: Replication) -> None:
    """Take in all rows of a snapshot. Raises Conflict if one cannot be taken as it is, and nobody has said
    what is to become of it."""
    items, poison = copy.source.items(), list[Item]()
    while chunk := await copy.run(lambda: take(items, CHUNK)):
        poison += [item for item in chunk if item.state is State.OPEN and item.entry]
        if not poison:  # else nothing will become of it
            await port.load(_images(chunk))
    refuse(poison, copy.source)


def _images(chunk: Sequence[Item]) -> list[Image]:
    images: list[Image] = [image for item in chunk for image in (*item.images, *item.entry)]
    events = [image for image in images if isinstance(image, EventImage)]
    return [*images, *heads_of(Known(), events)]
