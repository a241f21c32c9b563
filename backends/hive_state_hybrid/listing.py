"""Streams of two stores in one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_core.model import StreamImage
from hive_state_core.spi import Page, Scan


def with_heads(page: Page, query: Scan, heads: Sequence[StreamImage]) -> Page:
    """A page of streams, and those of these heads that belong there."""

    def within(name: str) -> bool:
        return (query.start is None or name >= query.start) and (query.stop is None or name < query.stop)

    def covered(name: str) -> bool:
        """Whether it lies between the cursor and the end of the page, in the direction of the scan."""
        low, high = (page.next, query.after) if query.reverse else (query.after, page.next)
        above = low is None or (name >= low if query.reverse else name > low)
        below = high is None or (name < high if query.reverse else name <= high)
        return above and below

    inside = [head for head in heads if within(head.ref.stream)]
    if query.count:
        return replace(page, total=(page.total or 0) + len(inside))
    new = [head for head in inside if covered(head.ref.stream)]
    items = sorted(
        [*page.items, *new], key=lambda each: cast(StreamImage, each).ref.stream, reverse=query.reverse
    )
    if len(items) <= query.limit:
        return replace(page, items=items)
    kept = items[: query.limit]
    return replace(page, items=kept, next=cast(StreamImage, kept[-1]).ref.stream)
