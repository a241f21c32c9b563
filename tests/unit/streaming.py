"""Short words for what tests of streams and groups do at SPI level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hive_state_core.kv import Row, keys
from hive_state_core.model import (
    EventImage,
    GroupImage,
    GroupRef,
    PendingImage,
    PendingRef,
    StreamImage,
    StreamRef,
)
from hive_state_core.spi import (
    Append,
    Batch,
    ClaimedEvents,
    ClaimEvents,
    ClaimRequest,
    CreateGroup,
    Delivery,
    Op,
    Refused,
    StreamPage,
    StreamRead,
)
from hive_state_memory.driver import Memory, MemoryDriver

from .driving import commit, do, next_trip

S, G, H = StreamRef("s"), GroupRef("s", "g"), GroupRef("s", "h")
LEASE = 1000


async def refusal(driver: MemoryDriver, *ops: Op) -> Refused:
    (outcome,) = await commit(driver, Batch(ops))
    assert isinstance(outcome, Refused)
    return outcome


async def append(driver: MemoryDriver, number: int, ref: StreamRef = S) -> None:
    await do(driver, *(Append(ref, b"%d" % n) for n in range(number)))


async def group(driver: MemoryDriver, ref: GroupRef = G, position: int | None = 0, most: int = 3) -> None:
    assert await do(driver, CreateGroup(ref, position, most)) == (True,)


async def claim(driver: MemoryDriver, *requests: ClaimRequest) -> list[Any]:
    return list((await driver.claim(requests, next_trip())).results)


async def take(
    driver: MemoryDriver, limit: int = 10, ref: GroupRef = G, consumer: str = "c", lease: int = LEASE
) -> tuple[Delivery, ...]:
    (claimed,) = await claim(driver, ClaimEvents(ref, consumer, lease, limit))
    assert isinstance(claimed, ClaimedEvents)
    assert not claimed.missing
    return claimed.deliveries


def seqs(found: Sequence[Delivery | EventImage]) -> list[int]:
    return [each.event.seq if isinstance(each, Delivery) else each.seq for each in found]


def named(found: Sequence[Delivery]) -> tuple[tuple[int, int], ...]:
    return tuple((each.event.seq, each.token) for each in found)


async def follow(driver: MemoryDriver, start: int = 1, limit: int = 100, reverse: bool = False) -> StreamPage:
    return (await driver.stream([StreamRead(S, start, limit, reverse)])).results[0]


async def stream(driver: MemoryDriver, ref: StreamRef = S) -> StreamImage | None:
    (image,) = (await driver.read([ref])).results
    assert image is None or isinstance(image, StreamImage)
    return image


async def state(driver: MemoryDriver, ref: GroupRef = G) -> tuple[int, int, int]:
    """(position, pending, dead)"""
    (image,) = (await driver.read([ref])).results
    assert isinstance(image, GroupImage)
    return image.position, image.pending, image.dead


def pending(memory: Memory, seq: int, ref: GroupRef = G) -> PendingImage | None:
    key = b"hive\0" + keys.key_of(PendingRef(ref.stream, ref.group, seq))
    data = memory.rows.get(key)
    return None if data is None else keys.decode(data, PendingImage)


class Meddled(MemoryDriver):
    """Something is done before the next range is read."""

    meddle: Callable[[], Any] | None = None

    async def range(
        self, start: bytes, stop: bytes, limit: int | None = None, reverse: bool = False
    ) -> Sequence[Row]:
        if self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            await meddle()
        return await super().range(start, stop, limit, reverse)
