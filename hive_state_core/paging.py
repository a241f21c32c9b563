"""All of a scan, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar, cast

import msgspec

from hive_state_core.model import RecordImage
from hive_state_core.spi import Page, Scan
from hive_state_core.trips import Trips

Item = TypeVar("Item")


async def pages(trips: Trips, query: Scan, timeout: float | None) -> AsyncIterator[RecordImage]:
    """All images of a scan."""
    while True:
        page: Page = await trips.scan(query, timeout)
        for image in page.items:
            yield cast(RecordImage, image)
        if page.next is None:
            return
        query = msgspec.structs.replace(query, after=page.next)


async def chunked(items: AsyncIterator[Item], most: int) -> AsyncIterator[list[Item]]:
    """Lists of up to `most` items."""
    chunk: list[Item] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == most:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
