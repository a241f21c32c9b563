"""Single images, and pages of a scan. A page is one `range` of the backend, so one snapshot; filters may
leave it short."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hive_state_core.kv.applying import present
from hive_state_core.kv.entities import Row, Space
from hive_state_core.kv.keys import (
    GROUP,
    HEAD,
    PENDING,
    QUEUE,
    RECORD,
    STREAM,
    TASK,
    after,
    decode,
    join,
    number,
    split,
    under,
)
from hive_state_core.kv.room import Room
from hive_state_core.kv.trip import read_head
from hive_state_core.limits import SCAN_PAGE
from hive_state_core.model import (
    GroupImage,
    GroupRef,
    Index,
    PendingImage,
    QueueImage,
    QueueRef,
    ReadRef,
    RecordImage,
    RecordRef,
    StreamImage,
    StreamRef,
    TaskImage,
)
from hive_state_core.spi import Page, Scan, ScanImage

_KINDS: dict[str, type[ScanImage]] = {
    RECORD: RecordImage,
    TASK: TaskImage,
    QUEUE: QueueImage,
    STREAM: StreamImage,
    GROUP: GroupImage,
    PENDING: PendingImage,
}


def image_of(ref: ReadRef, data: bytes | None, at: int) -> ScanImage | None:
    """What was asked for, if it is there at this instant."""
    if data is None:
        return None
    match ref:
        case RecordRef():
            return present(decode(data, RecordImage), at)
        case QueueRef():
            return decode(data, QueueImage)
        case StreamRef():
            stream = decode(data, StreamImage)
            return None if stream.dropped else stream
        case GroupRef():
            return decode(data, GroupImage)
        case _:
            return decode(data, TaskImage)


async def scan(space: Space, query: Scan, now: int) -> Page:
    """A filtered page looks at SCAN_PAGE rows at most; a count looks at all."""
    kind = _KINDS[query.kind]
    start, stop = _bounds(query)
    limit = None if query.count else _rows(query)
    rows = await space.range(start, stop, limit, query.reverse) if start < stop else ()
    head = read_head((await space.load([HEAD]))[0])  # read behind the rows: no trip in them is later
    at = max(now, head.clock)
    if query.count:
        total = sum(_matches(decode(value, kind), query, at) for _, value in rows)
        return Page(head.control.epoch, at, (), None, total)
    items, seen = _pick(rows, kind, query, at)
    whole = len(rows) < _rows(query) and seen == len(rows)
    return Page(head.control.epoch, at, items, None if whole else _last(query, rows[seen - 1][0]))


def _bounds(query: Scan) -> tuple[bytes, bytes]:
    """start <= key < stop, `after` included."""
    table = _table(query)
    start, stop = under(*table)
    if query.start is not None:
        start = join(*table, query.start)
    if query.stop is not None:
        stop = join(*table, query.stop)
    if query.after is not None:
        seen = join(*table, int(query.after) if query.kind == PENDING else query.after)
        start, stop = (start, min(stop, seen)) if query.reverse else (max(start, after(seen)), stop)
    return start, stop


def _table(query: Scan) -> tuple[str, ...]:
    """What all its keys begin with."""
    if query.kind == PENDING:
        return (PENDING, query.within or "", query.group or "")
    return (query.kind, query.within or "") if query.kind in (RECORD, GROUP) else (query.kind,)


def _last(query: Scan, key: bytes) -> str:
    """What the next page comes after."""
    last = split(key)[-1]
    return str(number(last)) if query.kind == PENDING else last


def _rows(query: Scan) -> int:
    """How many rows a page looks at."""
    selective = query.kind in (RECORD, STREAM, PENDING) or (query.within, query.states) != (None, None)
    return max(query.limit, SCAN_PAGE) if selective else query.limit


def _pick(rows: Sequence[Row], kind: type[ScanImage], query: Scan, at: int) -> tuple[list[ScanImage], int]:
    """The page's items, and how many rows were looked at for them."""
    items: list[ScanImage] = []
    room = Room()
    for seen, (_, value) in enumerate(rows, 1):
        image = decode(value, kind)
        if _matches(image, query, at):
            items.append(image if query.values else _bare(image))
            room.take(value if query.values else b"")
            if len(items) == query.limit or room.full:
                return items, seen
    return items, len(rows)


def _matches(image: ScanImage, query: Scan, at: int) -> bool:
    if isinstance(image, RecordImage):
        return present(image, at) is not None and _typed(query.where) <= _typed(image.index)
    if isinstance(image, TaskImage):
        return query.within in (None, image.queue) and (query.states is None or image.state in query.states)
    if isinstance(image, PendingImage):
        return query.dead in (None, image.dead)
    return not (isinstance(image, StreamImage) and image.dropped)


def _typed(index: Index) -> set[tuple[str, type, object]]:
    """1, 1.0 and True are equal to Python, and not to us."""
    return {(field, type(value), value) for field, value in index}


def _bare(image: ScanImage) -> ScanImage:
    """Without its values."""
    if isinstance(image, RecordImage):
        return replace(image, value=b"")
    if isinstance(image, TaskImage):
        return replace(image, payload=b"", result=None if image.result is None else b"")
    return image
