"""Deliveries of the KVDriver at SPI level: acked, nacked, extended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from hive_state_core.model import GroupRef
from hive_state_core.spi import (
    LEASE_EXPIRED,
    Ack,
    Append,
    Delivery,
    ExtendDeliveries,
    Nack,
    Op,
    Reason,
    Refused,
)
from hive_state_memory.driver import MemoryDriver

from .driving import Manual, do
from .streaming import LEASE, G, S, append, group, named, pending, refusal, seqs, state, take

pytestmark = pytest.mark.prompt


async def test_acked_deliveries_do_not_come_back(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver)
    found = await take(driver)
    assert await do(driver, Ack(G, named(found))) == (None,)
    memory.instant += 10 * LEASE
    assert await take(driver) == ()
    assert await state(driver) == (2, 0, 0)


async def test_a_batch_appends_twice_and_acks_an_earlier_event(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver)
    found = await take(driver)
    assert await do(driver, Append(S, b"x"), Append(S, b"y"), Ack(G, named(found))) == (2, 3, None)
    refused = await refusal(driver, Append(S, b"z"), Ack(G, named(found)))
    assert refused == Refused(Reason.LEASE, G, 1, False, found[0].token, 0, seq=1)
    assert await do(driver, Append(S, b"z")) == (4,)


_USES: list[Callable[[Sequence[Delivery]], Op]] = [
    lambda found: Ack(G, named(found)),
    lambda found: Nack(G, named(found), 0),
    lambda found: ExtendDeliveries(G, named(found), LEASE),
]


@pytest.mark.parametrize("use", _USES, ids=["ack", "nack", "extend"])
async def test_late_use_after_a_redelivery_is_refused(
    driver: MemoryDriver, memory: Manual, use: Callable[[Sequence[Delivery]], Op]
) -> None:
    """The whole batch, and the new delivery is untouched."""
    await append(driver, 3)
    await group(driver)
    old = await take(driver, 2)
    await do(driver, ExtendDeliveries(G, named(old[:1]), 5000))
    memory.instant += LEASE
    (new,) = await take(driver, 1)
    refused = await refusal(driver, use(old))
    assert refused == Refused(Reason.LEASE, G, 0, False, old[1].token, new.token, seq=2)
    assert await state(driver) == (2, 2, 0)
    await do(driver, Ack(G, named([old[0], new])))


@pytest.mark.parametrize("use", _USES, ids=["ack", "nack", "extend"])
async def test_a_lease_that_is_over_is_current_until_it_is_handed_out_again(
    driver: MemoryDriver, memory: Manual, use: Callable[[Sequence[Delivery]], Op]
) -> None:
    await append(driver, 2)
    await group(driver)
    found = await take(driver)
    memory.instant += 5 * LEASE
    assert seqs(await take(driver, 1)) == [1]
    await do(driver, use(found[1:]))


async def test_only_pending_deliveries_are_current(driver: MemoryDriver) -> None:
    await append(driver, 3)
    await group(driver)
    (found,) = await take(driver, 1)
    for seq, token, actual in [(1, found.token + 1, found.token), (1, 0, found.token), (2, 5, 0), (2, 0, 0)]:
        refused = await refusal(driver, Ack(G, ((seq, token),)))
        assert refused == Refused(Reason.LEASE, G, 0, False, token, actual, seq)
    refused = await refusal(driver, Ack(GroupRef("s", "none"), ((1, 1),)))
    assert (refused.expected, refused.actual) == (1, 0)
    await do(driver, Nack(G, named([found]), 100))
    assert (await refusal(driver, Ack(G, ((1, 0),)))).reason is Reason.LEASE  # it waits, it is not dead
    assert (await refusal(driver, Ack(G, named([found])))).actual == 0


async def test_the_first_that_is_not_current_is_named(driver: MemoryDriver) -> None:
    await append(driver, 3)
    await group(driver)
    first, second, third = named(await take(driver))
    refused = await refusal(driver, Ack(G, (first, (second[0], 7), (third[0], 8))))
    assert (refused.seq, refused.expected, refused.actual) == (2, 7, second[1])


async def test_a_delivery_named_twice_is_changed_once(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver)
    found = named(await take(driver))
    await do(driver, Nack(G, found + found, 0, spent=False))
    (again,) = await take(driver)
    assert again.delivery == 1
    await do(driver, Ack(G, named([again, again])))
    assert await state(driver) == (1, 0, 0)


async def test_extending_never_shortens_and_keeps_the_token(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver)
    found = await take(driver)
    await do(driver, ExtendDeliveries(G, named(found), 5000))
    await do(driver, ExtendDeliveries(G, named(found), 10))
    image = pending(memory, 1)
    assert image is not None
    assert (image.token, image.until) == (found[0].token, memory.instant + 5000)
    memory.instant += 4999
    assert await take(driver) == ()
    memory.instant += 1
    assert [each.delivery for each in await take(driver)] == [2]


async def test_a_nacked_delivery_comes_back_when_it_is_due(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver)
    found = await take(driver)
    await do(driver, Nack(G, named(found), retry_in=700, error="no"))
    image = pending(memory, 1)
    assert image is not None
    assert (image.token, image.error, image.until) == (0, "no", memory.instant + 700)
    memory.instant += 699
    assert await take(driver) == ()
    memory.instant += 1
    (again,) = await take(driver)
    assert again.delivery == 2


async def test_nack_without_retry_makes_it_dead(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver)
    await do(driver, Nack(G, named(await take(driver)), retry_in=None, error="poison"))
    assert await state(driver) == (1, 0, 1)
    memory.instant += 99 * LEASE
    assert await take(driver) == ()
    image = pending(memory, 1)
    assert image is not None
    assert (image.token, image.dead, image.error) == (0, True, "poison")


async def test_the_last_delivery_that_is_nacked_makes_it_dead(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver, most=2)
    for expected in [(1, 1, 0), (1, 0, 1)]:
        await do(driver, Nack(G, named(await take(driver)), retry_in=0))
        assert await state(driver) == expected
    assert await take(driver) == ()


async def test_the_last_lease_that_runs_out_makes_it_dead(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 2)
    await group(driver, most=2)
    await take(driver, 1)
    memory.instant += LEASE
    (found,) = await take(driver, 1)
    assert (found.event.seq, found.delivery) == (1, 2)
    memory.instant += LEASE
    assert seqs(await take(driver, 1)) == [2]  # the dead one does not count
    assert await state(driver) == (2, 1, 1)
    image = pending(memory, 1)
    assert image is not None
    assert (image.dead, image.token, image.error) == (True, 0, LEASE_EXPIRED)
    assert (await refusal(driver, Ack(G, named([found])))).actual == 0


async def test_an_unspent_delivery_does_not_count(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver, most=1)
    for _ in range(3):
        (found,) = await take(driver)
        assert found.delivery == 1
        await do(driver, Nack(G, named([found]), retry_in=0, spent=False))
        assert await state(driver) == (1, 1, 0)
    await do(driver, Nack(G, named(await take(driver)), retry_in=None, spent=False))
    assert await state(driver) == (1, 0, 1)


async def test_token_0_discards_a_dead_delivery(driver: MemoryDriver) -> None:
    await append(driver, 1)
    await group(driver)
    await do(driver, Nack(G, named(await take(driver)), retry_in=None))
    assert (await refusal(driver, Ack(G, ((1, 7),)))).actual == 0
    await do(driver, Ack(G, ((1, 0),)))
    assert await state(driver) == (1, 0, 0)
    assert (await refusal(driver, Ack(G, ((1, 0),)))).seq == 1


async def test_token_0_hands_a_dead_delivery_out_again(driver: MemoryDriver, memory: Manual) -> None:
    await append(driver, 1)
    await group(driver, most=1)
    await do(driver, Nack(G, named(await take(driver)), retry_in=0))
    assert await state(driver) == (1, 0, 1)
    await do(driver, Nack(G, ((1, 0),), retry_in=50))
    assert await state(driver) == (1, 1, 0)
    assert await take(driver) == ()
    memory.instant += 50
    (again,) = await take(driver)
    assert again.delivery == 1
    await do(driver, Nack(G, named([again]), retry_in=None))
    await do(driver, Nack(G, ((1, 0),), retry_in=None, error="still"))
    assert await state(driver) == (1, 0, 1)
