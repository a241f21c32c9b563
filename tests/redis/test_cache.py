"""The cache on Redis does what the one in memory does, which is small enough to be read."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from hive_state_core.caching import Asked, Beat, Cache, Entry
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.url import parse_url
from hive_state_memory.caching import MemoryCache
from hive_state_redis.caching import RedisCache
from hive_state_redis.options import parse_options

REFS = [RecordRef("c", f"k{n}") for n in range(4)]
LEASES = ["", "one", "two"]


def image(ref: RecordRef, version: int) -> RecordImage:
    return RecordImage(
        ref=ref,
        version=version,
        created_version=version,
        value=b"%d" % version,
        raw=True,
        index=(),
        created_at=1,
        updated_at=1,
        expires_at=None,
    )


def entry(dice: Random, ref: RecordRef) -> Entry:
    version = dice.randrange(6)
    whole = version > 0 and dice.random() < 0.7
    return Entry(ref, version, image(ref, version) if whole else None, None, dice.choice(LEASES))


def told(asked: Asked) -> Sequence[object]:
    return [found if isinstance(found, bool) else found.image for found in asked.found]


@pytest.mark.parametrize("seed", range(3))
async def test_as_the_one_in_memory(url: str, seed: int) -> None:
    dice = Random(seed)
    caches: list[Cache] = [RedisCache(parse_options(parse_url(url)), f"n{seed}"), MemoryCache({})]
    for cache in caches:
        await cache.open("store")
    for step in range(150):
        some = dice.sample(REFS, dice.randrange(1, 4))
        what, lease, entries = dice.random(), dice.choice(LEASES[1:]), [entry(dice, ref) for ref in some]
        answers = []
        for cache in caches:
            if what < 0.1 or step == 20:
                now = await cache.now() + step  # two beats may come within a millisecond
                await cache.beat(Beat(step // 60, now, now + 60_000))
                answers.append(None)
            elif what < 0.6:
                answers.append(told(await cache.ask(some, lease, gated=True)))
            else:
                answers.append(await cache.push(entries))
        assert answers[0] == answers[1], f"step {step}"
    for cache in caches:
        await cache.close()
