"""An export read into an empty store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from msgspec.structs import replace

from hive_state_core.control import term_of
from hive_state_core.errors import NotEmpty
from hive_state_core.migration.lines import read_lines
from hive_state_core.migration.switching import make_standby
from hive_state_core.model import Image
from hive_state_core.spi import KINDS, ControlState, Replication, Span

NOTE = "import"


async def import_lines(
    port: Replication, lines: Iterable[bytes], name: str, batch: int, tell: Callable[[int], None]
) -> int:
    """How many images. The store opens at the end, once the last line was seen: what was cut off leaves a
    standby, into which the whole export may be read again.

    Raises Conflict if the store holds other data, InvalidArgument for lines that are no export.
    """
    await _require_empty(port, name)
    await make_standby(port, name)
    await port.note({NOTE: b"under way"})
    images, count = read_lines(lines), 0
    while page := list(islice(images, batch)):
        await port.load(page)
        count += len(page)
        tell(count)
    await _open(port)
    await port.note({NOTE: None})
    return count


async def _require_empty(port: Replication, name: str) -> None:
    if NOTE in await port.notes():
        return  # of an import that was cut off
    for kind in KINDS:
        found: list[Image] = list(await port.export(Span(kind=kind, limit=1)))
        if found:
            raise NotEmpty(
                f"{name} holds data; an export goes into an empty store: give another database or namespace",
                key=name,
            )


async def _open(port: Replication) -> None:
    row = await port.control()
    if row.state is not ControlState.OPEN:
        term = max(row.term, term_of(row.version)) + 1
        await port.control(row.epoch, replace(row, state=ControlState.OPEN, term=term, peer=None))
