"""Area F: from its instant on, an expired record is absent, everywhere and at once."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta
from typing import cast

from hive_state_conformance.checking import check
from hive_state_conformance.env import PATIENCE, Env, raises, together
from hive_state_core.errors import InvalidArgument
from hive_state_core.model import RecordImage, RecordRef
from hive_state_core.spi import KEEP_TTL, Batch, Put, Scan, Touch, VersionIs


async def expired(env: Env, collection: str, *keys: str) -> None:
    """Write these records and wait until they are expired."""
    async with env.store.atomic() as unit:
        for key in keys:
            unit.records.put(collection, key, key, ttl=0.01, index={"i": 1})
    await env.until(await env.now() + 12)


@check("expiry.absent_everywhere", area="F", number=58)
async def absent_everywhere(env: Env) -> None:
    """Contract: an expired record is absent in get, get_many, list, count, delete, touch and checks alike."""
    records = env.store.records
    await records.put("c", "lasting", 1, index={"i": 1})
    await expired(env, "c", "k")
    assert await records.get("c", "k") is None
    assert (await records.get_many("c", ["k", "lasting"]))[0] is None
    assert [record.key async for record in records.list("c")] == ["lasting"]
    assert [record.key async for record in records.list("c", where={"i": 1}, reverse=True)] == ["lasting"]
    assert await records.count("c") == 1
    assert await records.count("c", where={"i": 1}) == 1
    assert await records.touch("c", "k", ttl=60) is False
    assert await records.delete("c", "k") is False
    assert await records.get("c", "k") is None


@check("expiry.boundary", area="F", number=58)
async def boundary(env: Env) -> None:
    """Contract: a record is present before its instant expires_at and absent from that millisecond on."""
    refs = [RecordRef("c", f"{n:02}") for n in range(24)]
    puts = tuple(Put(ref, b"1", ttl=30 + n) for n, ref in enumerate(refs))
    at = (await env.commit(Batch(puts))).at
    ends = {ref: at + put.ttl for ref, put in zip(refs, puts, strict=True) if put.ttl}
    deadline = time.monotonic() + PATIENCE
    while True:
        reply = await env.driver.read(refs)
        present = {ref for ref, image in zip(refs, reply.results, strict=True) if image is not None}
        right = {ref for ref in refs if reply.at < ends[ref]}
        assert present == right, f"at {reply.at - at} ms: {len(present)} present, {len(right)} should be"
        page = await env.driver.scan(Scan(kind="record", within="c"))
        listed = len(page.items)
        right_listed = sum(page.at < end for end in ends.values())
        assert listed == right_listed, f"at {page.at - at} ms: {listed} listed, {right_listed} should be"
        if not right:
            return
        assert time.monotonic() < deadline, "the store's clock does not move"


@check("expiry.milliseconds_kept", area="F", number=59)
async def milliseconds_kept(env: Env) -> None:
    """Contract: a TTL counts in whole milliseconds from the instant of the write, neither rounded nor cut."""
    for ttl in (1001, 1900, 59_999, 3_600_001):
        committed = await env.commit(Batch((Put(RecordRef("c", f"{ttl}"), b"1", ttl=ttl),)))
        image = await env.record("c", f"{ttl}")
        assert image is not None
        assert image.expires_at == committed.at + ttl
        touched = await env.commit(Batch((Touch(RecordRef("c", f"{ttl}"), ttl + 1),)))
        image = await env.record("c", f"{ttl}")
        assert image is not None
        assert image.expires_at == touched.at + ttl + 1
    await env.store.records.put("c", "k", 1, ttl=0.001)
    await env.until(await env.now() + 1)
    assert await env.store.records.get("c", "k") is None


@check("expiry.unfit_ttls_refused", area="F", number=60)
async def unfit_ttls_refused(env: Env) -> None:
    """Contract: a TTL that is not more than nothing, or no duration, is an InvalidArgument."""
    for unfit in (
        0,
        -1,
        -0.001,
        math.nan,
        math.inf,
        True,
        cast(float, "60"),
        timedelta(0),
        timedelta(seconds=-1),
    ):
        await raises(InvalidArgument, env.store.records.put("c", "k", 1, ttl=unfit))
        await raises(InvalidArgument, env.store.records.touch("c", "k", ttl=unfit))
    await raises(InvalidArgument, env.store.records.put("c", "k", 1, ttl=60, keep_ttl=True))
    assert await env.store.records.get("c", "k") is None


@check("expiry.put_replaces_ttl", area="F", number=61)
async def put_replaces_ttl(env: Env) -> None:
    """Contract: a put without TTL ends an earlier one, keep_ttl leaves it, and touch sets or ends it."""
    records = env.store.records
    await records.put("c", "k", 1, ttl=3600)
    first = await env.record("c", "k")
    await records.put("c", "k", 2, keep_ttl=True)
    kept = await env.record("c", "k")
    assert first is not None
    assert kept is not None
    assert kept.expires_at == first.expires_at is not None
    await records.touch("c", "k", ttl=None)
    ended = await env.record("c", "k")
    assert ended is not None
    assert (ended.expires_at, ended.value) == (None, b"2")
    await records.touch("c", "k", ttl=3600)
    await records.put("c", "k", 3)
    cleared = await env.record("c", "k")
    assert cleared is not None
    assert cleared.expires_at is None
    await env.commit(Batch((Put(RecordRef("c", "new"), b"1", ttl=KEEP_TTL),)))
    new = await env.record("c", "new")
    assert new is not None
    assert new.expires_at is None


@check("expiry.keep_ttl_of_expired", area="F", number=61)
async def keep_ttl_of_expired(env: Env) -> None:
    """Contract: keep_ttl on an expired record is a new record without TTL."""
    await expired(env, "c", "k")
    await env.store.records.put("c", "k", 2, keep_ttl=True)
    record = await env.store.records.get("c", "k")
    assert record is not None
    assert (record.value, record.expires_at) == (2, None)


@check("expiry.instant_is_aware", area="F", number=62)
async def instant_is_aware(env: Env) -> None:
    """Contract: expires_at is an aware UTC datetime, the TTL after updated_at."""
    await env.store.records.put("c", "k", 1, ttl=timedelta(hours=1, milliseconds=7))
    record = await env.store.records.get("c", "k")
    assert record is not None
    assert record.expires_at is not None
    assert record.expires_at.tzinfo is UTC
    assert record.expires_at - record.updated_at == timedelta(hours=1, milliseconds=7)
    assert abs(record.updated_at - datetime.now(UTC)) < timedelta(days=1)


@check("expiry.very_long", area="F", number=63)
async def very_long(env: Env) -> None:
    """Contract: a TTL of a hundred years is kept exactly, one of a thousand is an InvalidArgument."""
    century = timedelta(days=36525)
    await env.store.records.put("c", "k", 1, ttl=century)
    record = await env.store.records.get("c", "k")
    assert record is not None
    assert record.expires_at is not None
    assert record.expires_at - record.updated_at == century
    await raises(InvalidArgument, env.store.records.put("c", "k", 2, ttl=10 * century))


@check("expiry.sweep_removes", area="F", number=64)
async def sweep_removes(env: Env) -> None:
    """Contract: sweep turns all expired records, bounded by its limit, and nothing else."""
    await expired(env, "c", *(f"{n:02}" for n in range(30)))
    await env.store.records.put_many("c", {"lasting": 1, "longer": 2})
    await env.store.records.touch("c", "longer", ttl=3600)
    first = await env.store.sweep(limit=10)
    assert 1 <= first.records_expired <= 20, f"{first.records_expired} removed with limit 10"
    assert first.more is True
    total, swept = first.records_expired, first
    for _ in range(60):
        if not swept.more:
            break
        swept = await env.store.sweep(limit=10)
        total += swept.records_expired
    assert total == 30
    assert (await env.store.stats()).records == {"c": 2}
    assert (await env.store.sweep()).records_expired == 0
    assert [record.key async for record in env.store.records.list("c")] == ["lasting", "longer"]


@check("expiry.sweeps_beside_each_other", area="F", number=64)
async def sweeps_beside_each_other(env: Env) -> None:
    """Contract: sweeps and writes at the same time count each record once and spare what was written anew."""
    await expired(env, "c", *(f"{n:02}" for n in range(40)))
    records = env.store.records
    rewritten = [f"{n:02}" for n in range(0, 40, 4)]
    sweeps = asyncio.gather(*(env.store.sweep() for _ in range(4)))
    await together(*(records.put("c", key, "anew") for key in rewritten))
    assert 30 <= sum([found.records_expired for found in await sweeps]) <= 40
    assert [record.key async for record in records.list("c")] == rewritten
    assert await records.count("c") == len(rewritten)


@check("expiry.expired_blocks_nothing", area="F", number=69)
async def expired_blocks_nothing(env: Env) -> None:
    """Contract: an expired record does not stand in the way of creating it anew, with a new beginning."""
    await expired(env, "c", "k")
    before = await env.now()
    version = await env.store.records.put("c", "k", 2, if_absent=True)
    image = await env.record("c", "k")
    assert isinstance(image, RecordImage)
    assert image.created_version == image.version == version
    assert image.created_at == image.updated_at >= before
    assert image.index == ()


@check("expiry.checks_see_it", area="F", number=58)
async def checks_see_it(env: Env) -> None:
    """Contract: to the checks of a batch an expired record has version 0."""
    committed = await env.commit(Batch((Put(RecordRef("c", "k"), b"1", ttl=10),)))
    await env.until(committed.at + 10)
    witness = Put(RecordRef("c", "witness"), b"1")
    refused = await env.refused(Batch((witness,), (VersionIs(RecordRef("c", "k"), committed.version),)))
    assert (refused.expected, refused.actual, refused.in_check) == (committed.version, 0, True)
    await env.commit(Batch((witness,), (VersionIs(RecordRef("c", "k"), 0),)))
