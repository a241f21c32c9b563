"""Two stores compared by the port: digests of page after page, and the rows of those that differ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from hive_state_core.images import Key, digest_of, key_of, sort_key
from hive_state_core.migration.report import Report
from hive_state_core.model import Image
from hive_state_core.spi import KINDS, Kind, Replication, Span

PAGE = 2000

Tell = Callable[[Kind, int], None]


async def verify(source: Replication, target: Replication, report: Report, tell: Tell) -> None:
    """Count in the report what is equal and what is not. Raises TooDifferent."""
    for kind in KINDS:
        async for images, span in pages(source, kind):
            digest = await target.digest(span)
            if digest == digest_of(images):
                report.kinds[kind].verified += len(images)
            else:
                await _compare_rows(kind, images, target, span, report)
            tell(kind, report.kinds[kind].verified)


async def pages(port: Replication, kind: Kind) -> AsyncIterator[tuple[Sequence[Image], Span]]:
    """The images, and the span from behind the page before to the beginning of the next: together these
    spans hold every key there can be, so what is in the target alone lies in one of them."""
    after: Key | None = None
    images = await port.export(Span(kind=kind, limit=PAGE))
    while images:
        last = key_of(images[-1])
        following = await port.export(Span(kind=kind, after=last, limit=PAGE))
        yield images, Span(kind=kind, after=after, stop=key_of(following[0]) if following else None)
        if not following:
            return
        after, images = last, following
    yield (), Span(kind=kind)


async def _compare_rows(
    kind: Kind, images: Sequence[Image], target: Replication, span: Span, report: Report
) -> None:
    wanted = {key_of(image): image for image in images}
    found = {key_of(image): image for image in await _all(target, span)}
    for key in sorted(wanted.keys() | found.keys(), key=sort_key):
        if key not in found:
            report.found(kind, key, "missing")
        elif key not in wanted:
            report.found(kind, key, "extra")
        elif wanted[key] != found[key]:
            report.found(kind, key, "different")
        else:
            report.kinds[kind].verified += 1


async def _all(port: Replication, span: Span) -> list[Image]:
    found: list[Image] = []
    while images := await port.export(
        Span(kind=span.kind, after=key_of(found[-1]) if found else span.after, stop=span.stop, limit=PAGE)
    ):
        found += images
    return found
