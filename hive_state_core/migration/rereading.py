"""Two stores compared once more, as a reader sees them: by scans and reads of events, in lockstep. Nothing
here is shared with the copy or the digests, so they do not share a blind spot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, cast

from msgspec.structs import replace

from hive_state_core.apart import Apart, apart_of
from hive_state_core.features import Facility
from hive_state_core.images import key_of
from hive_state_core.migration.report import Report
from hive_state_core.model import EventImage, Image, RecordImage, StreamRef
from hive_state_core.spi import Driver, Kind, Scan, StreamRead

PAGE = 1000

Tell = Callable[[Kind, int], None]


class Sides(NamedTuple):
    source: Driver
    target: Driver


async def reread(source: Driver, target: Driver, report: Report, tell: Tell) -> None:
    """Count in the report what reads the same; the rest is found as a difference. Raises TooDifferent."""
    sides = Sides(source, target)
    apart = apart_of(source, target)
    stats = [await side.stats() for side in sides]
    for collection in apart.without(name for each in stats for name in each.records):
        await _compare_scans(sides, Scan(kind="record", within=collection, limit=PAGE), report, tell)
    if source.features.has(Facility.TASKS):
        await _compare_scans(sides, Scan(kind="task", limit=PAGE), report, tell)
        await _compare_scans(sides, Scan(kind="queue", limit=PAGE), report, tell)
    if source.features.has(Facility.STREAMS):
        await _compare_scans(sides, Scan(kind="stream", limit=PAGE), report, tell)
        streams = {name for each in stats for name in each.streams}
        streams |= {name for each in stats for name, _ in each.groups}
        for stream in apart.without(streams):
            await _compare_scans(sides, Scan(kind="group", within=stream, limit=PAGE), report, tell)
            await _compare(sides, _events(source, stream), _events(target, stream), "event", report, tell)


async def _compare_scans(sides: Sides, query: Scan, report: Report, tell: Tell) -> None:
    apart = apart_of(*sides)
    ours, theirs = (_scan(side, query, apart) for side in sides)
    await _compare(sides, ours, theirs, query.kind, report, tell)


async def _scan(driver: Driver, query: Scan, apart: Apart) -> AsyncIterator[Image]:
    while True:
        page = await driver.scan(query)
        for image in page.items:
            if not apart.has(image.ref):
                yield image
        if page.next is None:
            return
        query = replace(query, after=page.next)


async def _events(driver: Driver, stream: str) -> AsyncIterator[EventImage]:
    start = 1
    while True:
        (page,) = (await driver.stream([StreamRead(StreamRef(stream), start, PAGE)])).results
        for event in page.events:
            yield event
        if not page.events:
            return
        start = page.events[-1].seq + 1


async def _compare(
    sides: Sides,
    ours: AsyncIterator[Image],
    theirs: AsyncIterator[Image],
    kind: Kind,
    report: Report,
    tell: Tell,
) -> None:
    """Both in key order, side by side."""
    counts = report.kinds[kind]
    one, other = await anext(ours, None), await anext(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and key_of(one) < key_of(other)):
            if not await _expired(sides.source, cast(Image, one)):
                report.found(kind, key_of(cast(Image, one)), "missing")
            one = await anext(ours, None)
        elif one is None or key_of(other) < key_of(one):
            if not await _expired(sides.target, other):
                report.found(kind, key_of(other), "extra")
            other = await anext(theirs, None)
        else:
            if one == other:
                counts.reread += 1
            else:
                report.found(kind, key_of(one), "different")
            if counts.reread % PAGE == 0:
                tell(kind, counts.reread)
            one, other = await anext(ours, None), await anext(theirs, None)


async def _expired(driver: Driver, image: Image) -> bool:
    """Whether a record has run out since it was read here: then the other side need not have it."""
    if not isinstance(image, RecordImage) or image.expires_at is None:
        return False
    return (await driver.read([image.ref])).at >= image.expires_at
