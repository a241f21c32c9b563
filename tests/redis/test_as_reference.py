"""Random trips of every kind give on Redis what they give on the reference driver."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hive_state_core import open_store
from hive_state_redis import caller, library
from hive_state_redis.keys import Head
from tests.reference.comparing import Sides, beside_the_reference, seeds
from tests.reference.names import START

TIME = 'call("TIME")'


@pytest.fixture
async def sides(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sides]:
    """The functions read the clock from a list in the store."""
    now, text = START, library.library().source.partition("\n")[2].partition("\n")[2]
    assert text.count(TIME) == 1
    by_hand = library.named(text.replace(TIME, 'call("LRANGE", P .. "hand", 0, 1)'))
    monkeypatch.setattr(caller, "library", lambda: by_hand)
    monkeypatch.setattr(Head, "instant", lambda _self, _clock: now)
    async with open_store(url, janitor=False) as hive:
        calls = hive._driver._caller  # type: ignore[attr-defined]
        hand = calls.keys.prefix + b"hand"

        async def set_clock(at: int) -> None:
            nonlocal now
            now = at
            await calls.link.many([("DEL", hand), ("RPUSH", hand, at // 1000, at % 1000 * 1000)])

        async with beside_the_reference(hive._driver, set_clock) as sides:
            yield sides


@pytest.mark.parametrize("seed", seeds(6))
async def test_as_the_reference(sides: Sides, seed: int) -> None:
    await sides.compare(seed)
