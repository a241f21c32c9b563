"""Area F, continued: sessions, which live for a time and a while longer whenever they are touched."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.env import PATIENCE, Env, raises, together
from hive_state_core.errors import AlreadyExists, Conflict, InvalidArgument
from hive_state_core.model import RecordImage
from hive_state_core.sessions import COLLECTION, session_ref
from hive_state_core.spi import Batch, Retention, Touch


def ms(instant: datetime) -> int:
    """As the driver has it."""
    return round(instant.timestamp() * 1000)


@check("sessions.strict_ttl", area="F", number=58)
async def strict_ttl(env: Env) -> None:
    """Contract: a session is there until the instant at which it expires, and from then on absent to get,
    list, count, touch and set, whether or not anybody swept.
    """
    sessions = env.store.sessions
    await sessions.set("s", {"n": 1}, ttl=60)
    found = await sessions.get("s")
    assert found is not None
    assert (found.value, ms(found.expires_at) - ms(found.updated_at)) == ({"n": 1}, 60_000)
    ref = session_ref("s")
    expires = (await env.commit(Batch((Touch(ref, 50),)))).at + 50
    deadline = time.monotonic() + PATIENCE
    there = True
    while there:
        reply = await env.driver.read([ref])
        image = reply.results[0]
        there = isinstance(image, RecordImage)
        assert not isinstance(image, RecordImage) or image.expires_at == expires
        assert there == (reply.at < expires)
        assert time.monotonic() < deadline, "it does not expire"
    assert await sessions.get("s") is None
    assert await sessions.count() == 0
    assert [each async for each in sessions.list()] == []
    assert await sessions.touch("s", ttl=60) is False
    assert await sessions.delete("s") is False
    await raises(Conflict, sessions.set("s", 1, ttl=60, if_version=found.version))
    assert await sessions.set("s", 2, ttl=60, if_absent=True) > found.version


@check("sessions.sliding", area="F", number=66)
async def sliding(env: Env) -> None:
    """Contract: a touched session lives its time anew and outlives the instant at which it would have
    ended, with its value; reading it does not make it live longer.
    """
    sessions = env.store.sessions
    for ttl in (0.05, 0.5, 5):  # longer, if the machine is slow
        version = await sessions.set("s", "kept", ttl=ttl)
        first, again = await sessions.get("s"), await sessions.get("s")
        if first is None or again is None or not await sessions.touch("s", ttl=60):
            continue
        assert (first.version, again.expires_at) == (version, first.expires_at)
        await env.until(ms(first.expires_at))
        second = await sessions.get("s")
        assert second is not None, "a session that was touched is gone"
        assert (second.value, second.created_at) == ("kept", first.created_at)
        assert ms(second.expires_at) - ms(second.updated_at) == 60_000
        assert second.version > first.version
        break
    else:
        raise AssertionError("a session is gone at once")
    await sessions.touch("s", ttl=0.001)
    await env.until(await env.now() + 2)
    assert await sessions.get("s") is None, "a shorter touch shortens"


@check("sessions.touches_never_shorten", area="F", number=66, tier=Tier.RACE)
async def touches_never_shorten(env: Env) -> None:
    """Contract: whatever touches come at once, a session lives as long as the last of them gave it: its end
    never goes back.
    """
    stores = await with_peer(env)
    await stores[0].sessions.set("s", 1, ttl=60)
    ends: list[tuple[int, int]] = []

    async def touch(n: int) -> None:
        for _ in range(10):
            assert await stores[n % len(stores)].sessions.touch("s", ttl=60) is True
            found = await stores[n % len(stores)].sessions.get("s")
            assert found is not None
            ends.append((found.version, ms(found.expires_at)))

    await together(*(touch(n) for n in range(6)))
    by_version = [end for _, end in sorted(set(ends))]
    assert by_version == sorted(by_version), "the end went back"


@check("sessions.set_is_checked", area="F", number=61)
async def set_is_checked(env: Env) -> None:
    """Contract: set writes the whole session with a new time to live, under the version that is expected, or
    only if there is none.
    """
    sessions = env.store.sessions
    first = await sessions.set("s", {"a": 1}, ttl=3600, if_absent=True)
    await raises(AlreadyExists, sessions.set("s", 2, ttl=60, if_absent=True))
    second = await sessions.set("s", {"b": 2}, ttl=60, if_version=first)
    await raises(Conflict, sessions.set("s", 3, ttl=60, if_version=first))
    found = await sessions.get("s")
    assert found is not None
    assert (found.value, found.version) == ({"b": 2}, second)
    assert ms(found.expires_at) - ms(found.updated_at) == 60_000
    for ttl in (0, -1, float("nan"), float("inf"), True, None):
        await raises(InvalidArgument, sessions.set("s", 4, ttl=ttl))  # type: ignore[arg-type]
    assert await sessions.delete("s") is True
    assert await sessions.get("s") is None


@check("sessions.list", area="F", number=58)
async def listing(env: Env) -> None:
    """Contract: sessions are listed and counted by the beginning of their ids, in byte order, and are no
    records of the user's.
    """
    sessions = env.store.sessions
    for id in ("user:b", "user:a", "other", "user:B"):
        await sessions.set(id, id, ttl=60)
    assert [each.id async for each in sessions.list(prefix="user:")] == ["user:B", "user:a", "user:b"]
    assert (await sessions.count(prefix="user:"), await sessions.count()) == (3, 4)
    await raises(InvalidArgument, env.store.records.get(COLLECTION, "other"))
    async with env.store.atomic() as unit:
        gone, touched = unit.sessions.delete("other"), unit.sessions.touch("user:a", ttl=90)
        unit.records.put("c", "k", 1)
    assert (gone.result, touched.result, await sessions.count()) == (True, True, 3)


@check("expiry.sweep_spares_what_was_put_anew", area="F", number=65, tier=Tier.RACE)
async def sweep_spares_what_was_put_anew(env: Env) -> None:
    """Contract: a sweep never takes away what was written anew, however close to the end of its time."""
    stores = await with_peer(env)
    keys = [f"{n}" for n in range(10)]
    sweeping, begun, ended = True, asyncio.Event(), asyncio.Event()

    async def sweep() -> None:
        while sweeping:
            for moment in (begun, ended):
                moment.set()  # for those that wait for it now
                moment.clear()
                if moment is begun:
                    await stores[-1].sweep(retention=Retention(tombstones=0))
            await asyncio.sleep(0)

    async def put(key: str) -> None:
        for turn in range(12):
            await stores[0].records.put("c", key, turn, ttl=0.002)
            await env.harness.sleep(0.002)
            await begun.wait()
            await stores[0].records.put("c", key, -turn, ttl=60)
            await ended.wait()
            record = await stores[0].records.get("c", key)
            assert record is not None, "what was put anew is gone"
            assert record.value == -turn

    sweeper = asyncio.ensure_future(sweep())
    await together(*map(put, keys))
    sweeping = False
    await sweeper
    assert await stores[0].records.count("c") == 10
