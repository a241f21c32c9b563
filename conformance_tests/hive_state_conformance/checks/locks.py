"""Area S: locks, of which one at a time holds each, with tokens that fence those who held it before."""

from __future__ import annotations

import asyncio

from hive_state_conformance.checking import Tier, check
from hive_state_conformance.checks.cas import with_peer
from hive_state_conformance.checks.sessions import ms
from hive_state_conformance.env import PATIENCE, Env, raises, together
from hive_state_core.errors import AlreadyExists, LeaseLost
from hive_state_core.locks import Lock
from hive_state_core.model import RecordRef
from hive_state_core.spi import Batch, CreatedIs, Put, Reason
from hive_state_core.store import Store


async def taken(store: Store, name: str = "l", *, ttl: float = 60) -> Lock:
    lock = await store.locks.try_acquire(name, ttl=ttl)
    assert lock is not None, "a free lock was not to be had"
    return lock


async def run_out(env: Env, name: str = "l") -> None:
    """Wait until the holder's time is over."""
    holder = await env.store.locks.holder(name)
    if holder is not None:
        await env.until(ms(holder.expires_at))


@check("locks.one_holder", area="S", number=1)
async def one_holder(env: Env) -> None:
    """Contract: a lock that is held is not to be had, by anybody, until it is released; others are free."""
    locks = env.store.locks
    lock = await locks.try_acquire("l", owner="me")
    assert lock is not None
    assert await locks.try_acquire("l", owner="me") is None
    assert await locks.try_acquire("L") is not None
    holder = await locks.holder("l")
    assert holder is not None
    assert (holder.owner, holder.fencing_token) == ("me", lock.fencing_token)
    error = await raises(AlreadyExists, acquire_now(env.store))
    assert "'me'" in str(error)
    assert await locks.release(lock) is True
    assert await locks.release(lock) is False
    assert await locks.holder("l") is None
    assert await locks.try_acquire("l") is not None


async def acquire_now(store: Store) -> None:
    async with store.locks.acquire("l", wait=0):
        raise AssertionError("a lock that is held was given to another")


@check("locks.mutual_exclusion", area="S", number=2, tier=Tier.RACE)
async def mutual_exclusion(env: Env) -> None:
    """Contract: of many who want a lock at once each gets it, one after the other, with ever higher tokens,
    and no step of theirs is lost.
    """
    stores = await with_peer(env)
    inside = 0
    tokens: list[int] = []

    async def step(store: Store) -> None:
        nonlocal inside
        for _ in range(4):
            async with store.locks.acquire("l", ttl=30) as lock:
                inside += 1
                assert inside == 1, "two hold the lock"
                found = await store.records.get("c", "k", fresh=True)  # who had the lock before wrote it
                await store.records.put("c", "k", 1 if found is None else found.value + 1)
                tokens.append(lock.fencing_token)
                inside -= 1

    async with asyncio.timeout(PATIENCE * 2):
        await together(*(step(stores[n % len(stores)]) for n in range(6)))
    record = await env.store.records.get("c", "k", fresh=True)
    assert record is not None
    assert record.value == 24
    assert tokens == sorted(set(tokens)), "tokens do not grow"


@check("locks.expire", area="S", number=3)
async def expire(env: Env) -> None:
    """Contract: a lock whose holder gave no sign of life is free from the end of its time on, and its next
    holder has a higher token, whether or not anybody swept.
    """
    old = await taken(env.store, ttl=0.05)
    await run_out(env)
    assert await env.store.locks.holder("l") is None
    new = await taken(env.store)
    assert new.fencing_token > old.fencing_token
    await raises(LeaseLost, env.store.locks.extend(old))
    assert await env.store.locks.release(old) is False
    holder = await env.store.locks.holder("l")
    assert holder is not None
    assert holder.fencing_token == new.fencing_token


@check("locks.extended", area="S", number=3)
async def extended(env: Env) -> None:
    """Contract: a lock that is extended keeps its token and is held for its whole time from then on."""
    lock = await taken(env.store)
    holder = await env.store.locks.holder("l")
    assert holder is not None
    await env.harness.sleep(0.02)
    await env.store.locks.extend(lock)
    longer = await env.store.locks.holder("l")
    assert longer is not None
    assert longer.fencing_token == lock.fencing_token
    assert longer.expires_at > holder.expires_at
    await env.store.locks.release(lock)


@check("locks.kept_alive", area="S", number=3)
async def kept_alive(env: Env) -> None:
    """Contract: a lock is held for as long as its block runs, though that is longer than its time."""
    async with asyncio.timeout(PATIENCE), env.store.locks.acquire("l", ttl=1) as lock:
        await run_out(env)
        holder = await env.store.locks.holder("l")
        assert holder is not None
        assert holder.fencing_token == lock.fencing_token
    assert await env.store.locks.holder("l") is None


@check("locks.stale_holder_fenced", area="S", number=4)
async def stale_holder_fenced(env: Env) -> None:
    """Contract: a unit that expects a lock is LeaseLost, and writes nothing, once the lock is not held by
    that holder any more: it ran out, was released, or another has it.
    """

    async def write(lock: Lock) -> None:
        async with env.store.atomic() as unit:
            unit.locks.expect(lock)
            unit.records.put("c", "k", lock.fencing_token)

    old = await taken(env.store, ttl=0.05)
    await run_out(env)
    await raises(LeaseLost, write(old))
    new = await taken(env.store)
    await raises(LeaseLost, write(old))
    await write(new)
    await env.store.locks.release(new)
    await raises(LeaseLost, write(new))
    record = await env.store.records.get("c", "k")
    assert record is not None
    assert record.value == new.fencing_token


@check("locks.tokens_at_the_driver", area="S", number=4)
async def tokens_at_the_driver(env: Env) -> None:
    """Contract: a lock's token is the version that made its record present: CreatedIs with it holds for as
    long as the lock is held, and for no other holder.
    """
    ref = RecordRef("hive:locks", "l")
    lock = await taken(env.store)
    image = await env.record(ref.collection, ref.key)
    assert image is not None
    assert image.created_version == lock.fencing_token
    witness = Put(RecordRef("c", "w"), b"1")
    await env.store.locks.extend(lock)
    held = Batch((witness,), (CreatedIs(ref, lock.fencing_token),))
    await env.commit(held)
    await env.store.locks.release(lock)
    other = await taken(env.store)
    refused = await env.refused(held)
    assert (refused.reason, refused.in_check) == (Reason.VERSION, True)
    assert (refused.expected, refused.actual) == (lock.fencing_token, other.fencing_token)


@check("locks.handed_over", area="S", number=5)
async def handed_over(env: Env) -> None:
    """Contract: whoever waits for a lock gets it when it is released, or when its holder's time is over."""
    for ended in ("released", "over"):
        lock = await taken(env.store, ended, ttl=60 if ended == "released" else 0.1)
        waiting = asyncio.ensure_future(wait_for(env.store, ended))
        await asyncio.sleep(0.02)
        if ended == "released":
            assert not waiting.done()
            await env.store.locks.release(lock)
        async with asyncio.timeout(PATIENCE):
            assert await waiting > lock.fencing_token


async def wait_for(store: Store, name: str) -> int:
    async with store.locks.acquire(name) as lock:
        return lock.fencing_token


@check("locks.cancelled_wait", area="S", number=5)
async def cancelled_wait(env: Env) -> None:
    """Contract: who is cancelled while it waits for a lock, or while it takes it, does not hold it."""
    lock = await taken(env.store)
    waiting = asyncio.ensure_future(wait_for(env.store, "l"))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.wait({waiting})
    await env.store.locks.release(lock)
    for turns in (0, 1, 2, 3, 5, 8):
        taking = asyncio.ensure_future(env.store.locks.try_acquire(f"{turns}", ttl=3600))
        for _ in range(turns):
            await asyncio.sleep(0)
        done = taking.done()
        taking.cancel()
        await asyncio.wait({taking})
        if not done:
            async with asyncio.timeout(PATIENCE):
                while await env.store.locks.try_acquire(f"{turns}") is None:
                    await asyncio.sleep(0.005)
    async with asyncio.timeout(PATIENCE):
        assert await wait_for(env.store, "l") > lock.fencing_token
