"""Heartbeats, agents that are offline, and the capabilities of a claim's worker."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from hive_state_core import Store, roster
from hive_state_core.agent_model import HEARTBEATS
from hive_state_core.agents import Agent
from hive_state_core.errors import HiveStateError, InvalidArgument, NotFound, Unavailable
from hive_state_core.spi import Batch

pytestmark = pytest.mark.prompt

SILENCE = 0.06


class Heartbeats:
    """Counts those that are written; `trouble` is raised instead, if it is given."""

    def __init__(self, hive: Store) -> None:
        self.count = 0
        self.trouble: HiveStateError | None = None
        commit = hive._trips.commit

        async def counting(batch: Batch, size: int = 0, timeout: float | None = None) -> Any:
            if getattr(batch.ops[0].ref, "collection", None) == HEARTBEATS:
                if self.trouble is not None:
                    raise self.trouble
                self.count += 1
            return await commit(batch, size, timeout)

        hive._trips.commit = counting  # type: ignore[method-assign]


async def agent_of(hive: Store, id: str) -> Agent:
    agent = await hive.agents.get(id)
    assert agent is not None
    return agent


async def until_offline(hive: Store, id: str) -> Agent:
    while (agent := await agent_of(hive, id)).status != "offline":
        await asyncio.sleep(0.005)
    return agent


async def test_a_silent_agent_is_shown_as_offline_everywhere(hive: Store) -> None:
    made = await hive.agents.register("a", capabilities=["plan"], offline_after=SILENCE)
    assert (made.status, made.offline_after) == ("idle", timedelta(seconds=SILENCE))
    await hive.agents.register("b")
    agent = await until_offline(hive, "a")
    assert (agent.status, agent.last_status, agent.seen_at) == ("offline", "idle", made.seen_at)
    assert [each and each.status for each in await hive.agents.get_many(["a", "b"])] == ["offline", "idle"]
    assert [(each.id, each.status) async for each in hive.agents.list()] == [("a", "offline"), ("b", "idle")]
    assert [each.id async for each in hive.agents.list(status="idle")] == ["b"]
    assert [each.id async for each in hive.agents.list(status="offline", capability="plan")] == ["a"]
    assert [each.id async for each in hive.agents.list(status="offline", capability="code")] == []


@pytest.mark.parametrize("sign", ["heartbeat", "update", "register"])
async def test_a_sign_of_life_brings_it_back(hive: Store, sign: str) -> None:
    await hive.agents.register("a", status="busy", offline_after=SILENCE)
    await until_offline(hive, "a")
    if sign == "heartbeat":
        await hive.agents.heartbeat("a")
    elif sign == "update":
        await hive.agents.update("a", context_usage=0.5)
    else:
        await hive.agents.register("a", status="busy", offline_after=SILENCE)
    agent = await agent_of(hive, "a")
    assert agent.status == "busy"
    assert agent.seen_at >= agent.updated_at


async def test_updating_an_agent_that_was_read_as_offline_keeps_its_own_status(hive: Store) -> None:
    await hive.agents.register("a", status="busy", offline_after=SILENCE)
    offline = await until_offline(hive, "a")
    updated = await hive.agents.update(offline, current_task="t")
    assert (updated.status, updated.offline_after) == ("busy", timedelta(seconds=SILENCE))


async def test_a_heartbeat_leaves_the_version(hive: Store) -> None:
    made = await hive.agents.register("a")
    hive.agents._roster.forget("a")
    await hive.agents.heartbeat("a")
    assert (await agent_of(hive, "a")).version == made.version
    await hive.agents.update(made, status="busy")


async def test_none_is_never_offline_and_nonsense_is_refused(hive: Store) -> None:
    made = await hive.agents.register("a", offline_after=None)
    assert made.offline_after is None
    for nonsense in (0, -1, "soon"):
        with pytest.raises(InvalidArgument, match="offline_after"):
            await hive.agents.register("a", offline_after=nonsense)  # type: ignore[arg-type]


async def test_heartbeats_are_written_once_in_a_while(hive: Store) -> None:
    heartbeats = Heartbeats(hive)
    await hive.agents.register("a", offline_after=60)
    for _ in range(100):
        await hive.agents.heartbeat("a")
    assert heartbeats.count == 0  # the registration was a sign of life
    hive.agents._roster.forget("a")
    await asyncio.gather(*[hive.agents.heartbeat("a") for _ in range(100)])
    assert heartbeats.count == 1


async def test_a_heartbeat_that_failed_is_tried_again(hive: Store) -> None:
    heartbeats = Heartbeats(hive)
    await hive.agents.register("a")
    hive.agents._roster.forget("a")
    heartbeats.trouble = Unavailable("busy")
    with pytest.raises(Unavailable):
        await hive.agents.heartbeat("a")
    heartbeats.trouble = None
    await hive.agents.heartbeat("a")
    assert heartbeats.count == 1


async def test_no_heartbeat_of_an_unknown_agent(hive: Store) -> None:
    with pytest.raises(NotFound, match="'nobody' is not registered"):
        await hive.agents.heartbeat("nobody")
    await hive.agents.register("a")
    assert await hive.agents.remove("a")
    with pytest.raises(NotFound):
        await hive.agents.heartbeat("a")


@pytest.mark.parametrize("how", ["work", "consume"])
async def test_who_works_is_alive(hive: Store, how: str) -> None:
    made = await hive.agents.register("w", offline_after=SILENCE)
    await hive.tasks.enqueue("q", 1)
    done = asyncio.Event()

    async def handler(_: object) -> None:
        await done.wait()

    async def consume() -> None:
        async for lease in hive.tasks.consume("q", worker="w"):
            async with lease:
                await handler(lease)

    work = hive.tasks.work("q", handler, worker="w") if how == "work" else consume()
    working = asyncio.create_task(work)
    while (await agent_of(hive, "w")).seen_at < made.seen_at + timedelta(seconds=2 * SILENCE):
        await asyncio.sleep(SILENCE / 5)
    done.set()
    working.cancel()
    await asyncio.wait({working})
    await until_offline(hive, "w")


async def test_trouble_with_heartbeats_is_told_once_and_ends_by_itself(
    hive: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "hive_state")
    heartbeats = Heartbeats(hive)
    heartbeats.trouble = Unavailable("busy")
    await hive.agents.register("w", offline_after=SILENCE)
    async with hive.agents._roster.alive("w"):
        await until_offline(hive, "w")
        await asyncio.sleep(SILENCE)
        heartbeats.trouble = None
        while (await agent_of(hive, "w")).status == "offline":
            await asyncio.sleep(0.005)
    assert caplog.text.count("no heartbeat of agent w for now: busy") == 1


async def test_a_claim_covers_what_its_worker_can_do(hive: Store) -> None:
    await hive.agents.register("w", capabilities=["plan", "code"])
    for id, requires in (("a", ["plan"]), ("b", ["gpu"]), ("c", [])):
        await hive.tasks.enqueue("q", 1, id=id, requires=requires)
    assert [lease.id for lease in await hive.tasks.claim("q", worker="stranger", limit=9)] == ["c"]
    assert await hive.tasks.claim("q", worker="w", capabilities=[]) == []
    assert [lease.id for lease in await hive.tasks.claim("q", worker="w", limit=9)] == ["a"]
    await hive.agents.update("w", capabilities=["gpu"])  # seen at once in this Store
    assert [lease.id for lease in await hive.tasks.claim("q", worker="w")] == ["b"]


async def test_work_follows_the_capabilities_of_its_worker(
    hive: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "FRESH", 0.0)
    await hive.tasks.enqueue("q", 1, id="t", requires=["gpu"])
    done = asyncio.Event()

    async def handler(_: object) -> None:
        done.set()

    working = asyncio.create_task(hive.tasks.work("q", handler, worker="w", poll=0.01))
    await asyncio.sleep(0.05)
    assert not done.is_set()
    await hive.agents.register("w", capabilities=["gpu"])
    await asyncio.wait_for(done.wait(), 10)
    working.cancel()
    await asyncio.wait({working})


async def test_what_is_remembered_is_bounded(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MOST", 3)
    for n in range(10):
        await hive.tasks.claim("q", worker=f"w{n}")
    assert len(hive.agents._roster._known) <= 3
