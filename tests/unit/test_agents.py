"""Agents, on the reference store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import pytest

from hive_state_core import Store, agents
from hive_state_core.agents import Agent, agent_ref
from hive_state_core.errors import (
    AlreadyExists,
    Conflict,
    CorruptData,
    InvalidArgument,
    LimitExceeded,
    NotFound,
)
from hive_state_core.spi import Batch, Put

pytestmark = pytest.mark.prompt


async def agent_of(hive: Store, id: str) -> Agent:
    agent = await hive.agents.get(id)
    assert agent is not None
    return agent


async def ids(found: AsyncIterator[Agent]) -> list[str]:
    return [agent.id async for agent in found]


async def test_register_and_get(hive: Store) -> None:
    made = await hive.agents.register("a", capabilities=["plan", "code", "plan"], metadata={"n": [1]})
    assert (made.id, made.status, made.capabilities) == ("a", "idle", ("plan", "code"))
    assert (made.current_task, made.context_usage, made.metadata) == (None, None, {"n": [1]})
    assert made.registered_at == made.updated_at
    assert made.registered_at.tzinfo is UTC
    assert await hive.agents.get("a") == made
    assert await hive.agents.get("b") is None
    assert await hive.agents.get_many(["b", "a", "a"]) == [None, made, made]
    with pytest.raises(AttributeError):
        made.status = "busy"  # type: ignore[misc]


async def test_register_again_replaces_capabilities_and_status_only(hive: Store) -> None:
    await hive.agents.register("a", capabilities=["x"], metadata={"k": 1})
    before = await hive.agents.update("a", status="busy", current_task="t", context_usage=1)
    again = await hive.agents.register("a", capabilities=["y"])
    assert (again.capabilities, again.status) == (("y",), "idle")
    assert (again.metadata, again.current_task, again.context_usage) == ({"k": 1}, "t", 1.0)
    assert (again.registered_at, again.version > before.version) == (before.registered_at, True)
    assert await hive.agents.get("a") == again
    assert (await hive.agents.register("a", metadata={})).metadata == {}


async def test_update_by_id_keeps_what_is_not_given(hive: Store) -> None:
    await hive.agents.register("a", capabilities=["x"], metadata={"k": 1})
    busy = await hive.agents.update("a", status="busy", current_task="t1", context_usage=0.5)
    assert await hive.agents.get("a") == busy
    free = await hive.agents.update("a", current_task=None)
    assert (free.current_task, free.status, free.context_usage) == (None, "busy", 0.5)
    assert (free.capabilities, free.metadata) == (("x",), {"k": 1})
    assert (await hive.agents.update("a", context_usage=None)).context_usage is None
    with pytest.raises(NotFound, match="'b'"):
        await hive.agents.update("b", status="busy")


async def test_update_of_an_agent_that_was_read(hive: Store) -> None:
    old = await hive.agents.register("a")
    new = await hive.agents.update(old, status="busy")
    assert await hive.agents.get("a") == new
    with pytest.raises(Conflict) as caught:
        await hive.agents.update(old, status="other")
    assert (caught.value.expected, caught.value.actual) == (old.version, new.version)
    await hive.agents.remove(new)
    with pytest.raises(Conflict):
        await hive.agents.update(new, status="other")


async def test_if_version(hive: Store) -> None:
    old = await hive.agents.register("a")
    new = await hive.agents.update("a", status="busy", if_version=old.version)
    for agent in ("a", old, new):
        with pytest.raises(Conflict):
            await hive.agents.update(agent, status="x", if_version=old.version)
    with pytest.raises(Conflict) as caught:
        await hive.agents.update("nobody", status="x", if_version=1)
    assert caught.value.actual == 0
    with pytest.raises(InvalidArgument):
        await hive.agents.update("a", status="x", if_version=0)


async def test_metadata_of_a_read_agent_is_the_callers_own(hive: Store) -> None:
    given: dict[str, Any] = {"list": [1]}
    agent = await hive.agents.register("a", metadata=given)
    given["list"].append(2)
    agent.metadata["list"].append(3)
    agent = await hive.agents.update(agent, status="busy")
    assert agent.metadata == {"list": [1]}
    agent.metadata["leak"] = True
    async with hive.atomic() as unit:
        unit.agents.update(agent, status="idle")
    assert (await agent_of(hive, "a")).metadata == {"list": [1]}


async def test_metadata_comes_back_exactly(hive: Store) -> None:
    metadata = {
        "\0": "\u2028",
        "big": 2**70,
        "tiny": -0.0,
        "e": 1e22,
        "b": True,
        "n": None,
        "deep": {"z": [{}]},
    }
    await hive.agents.register("a", metadata=metadata)
    read = (await agent_of(hive, "a")).metadata
    assert read == metadata
    assert str(read["tiny"]) == "-0.0"
    assert type(read["e"]) is float


async def test_remove(hive: Store) -> None:
    old = await hive.agents.register("a")
    new = await hive.agents.update("a", status="busy")
    with pytest.raises(Conflict):
        await hive.agents.remove(old)
    assert await hive.agents.remove(new)
    assert not await hive.agents.remove(new)
    assert not await hive.agents.remove("a")
    assert (await hive.agents.register("a", capabilities=["y"])).version > new.version


async def test_list_by_status_and_capability(hive: Store) -> None:
    await hive.agents.register("c", capabilities=["plan"])
    await hive.agents.register("a", capabilities=["plan", "code"], status="busy")
    await hive.agents.register("b", capabilities=["code"])
    assert await ids(hive.agents.list()) == ["a", "b", "c"]
    assert await ids(hive.agents.list(status="idle")) == ["b", "c"]
    assert await ids(hive.agents.list(capability="plan")) == ["a", "c"]
    assert await ids(hive.agents.list(status="idle", capability="plan")) == ["c"]
    await hive.agents.update("c", capabilities=[])
    assert await ids(hive.agents.list(status="idle", capability="plan")) == []


async def test_agents_are_not_among_the_users_records(hive: Store) -> None:
    with pytest.raises(InvalidArgument):
        await hive.records.get("hive:agents", "a")


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": ""},
        {"status": None},
        {"current_task": ""},
        {"capabilities": "plan"},
        {"capabilities": [1]},
        {"capabilities": [str(n) for n in range(32)]},
        {"context_usage": float("nan")},
        {"context_usage": True},
        {"context_usage": "0.5"},
        {"context_usage": 10**400},
        {"metadata": [1]},
        {"metadata": {"a": {1}}},
        {"metadata": {1: 2}},
        {"metadata": None},
    ],
)
async def test_wrong_values_are_refused(hive: Store, wrong: dict[str, Any]) -> None:
    before = await hive.agents.register("a")
    with pytest.raises(InvalidArgument):
        await hive.agents.update("a", **wrong)
    assert await hive.agents.get("a") == before


async def test_as_many_capabilities_as_fit_the_index(hive: Store) -> None:
    await hive.agents.register("a", capabilities=[str(n) for n in range(31)])
    assert await ids(hive.agents.list(capability="30")) == ["a"]
    with pytest.raises(LimitExceeded):
        await hive.agents.register("a", metadata={"a": "x" * 2**24})


async def test_a_value_that_is_no_agent_is_reported(hive: Store) -> None:
    for damage in (b"{", b"[]", b'{"metadata":3}', b'{"capabilities":"x"}'):
        await hive._trips.commit(Batch((Put(agent_ref("a"), damage),)))
        with pytest.raises(CorruptData) as caught:
            await hive.agents.get("a")
        assert caught.value.raw == damage


# --- races


async def test_twenty_updaters_by_id_lose_nothing_of_each_other(hive: Store) -> None:
    await hive.agents.register("a")
    await asyncio.gather(
        *[hive.agents.update("a", status=f"s{n}") for n in range(10)],
        *[hive.agents.update("a", context_usage=n) for n in range(10)],
    )
    agent = await agent_of(hive, "a")
    assert agent.status.startswith("s")
    assert agent.context_usage is not None


async def test_twenty_updaters_of_a_counter_count_right(hive: Store) -> None:
    await hive.agents.register("a", metadata={"n": 0})

    async def add_one() -> None:
        while True:
            agent = await agent_of(hive, "a")
            agent.metadata["n"] += 1
            try:
                await hive.agents.update(agent, metadata=agent.metadata)
                return
            except Conflict:
                await asyncio.sleep(0)

    await asyncio.gather(*[add_one() for _ in range(20)])
    assert (await agent_of(hive, "a")).metadata == {"n": 20}


async def test_twenty_registrations_at_once_make_one_agent(hive: Store) -> None:
    made = await asyncio.gather(*[hive.agents.register("a", capabilities=[str(n)]) for n in range(20)])
    assert len({agent.version for agent in made}) == 20
    assert len({agent.registered_at for agent in made}) == 1
    assert await agent_of(hive, "a") == max(made, key=lambda agent: agent.version)


async def test_an_update_that_never_wins_gives_up(hive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await hive.agents.register("a")
    monkeypatch.setattr(agents, "TRIES", 5)
    read, reads = hive._trips.read, 0

    async def overtaken(refs: Any, timeout: float | None = None) -> Any:
        nonlocal reads
        reads += 1
        images = await read(refs, timeout)
        await hive._trips.commit(Batch((Put(agent_ref("a"), b'{"metadata":{}}'),)))
        return images

    monkeypatch.setattr(hive._trips, "read", overtaken)
    with pytest.raises(Conflict):
        await hive.agents.update("a", status="busy")
    assert reads == 5


# --- units


async def test_units_register_and_update(hive: Store) -> None:
    old = await hive.agents.register("a", metadata={"k": 1})
    async with hive.atomic() as unit:
        updated = unit.agents.update(old, status="busy", current_task="t")
        registered = unit.agents.register("b", capabilities=["x"], metadata={"m": 1})
        unit.records.put("c", "k", 1)
    assert updated.result == await hive.agents.get("a")
    assert updated.result.version == unit.version
    assert registered.result == await hive.agents.get("b")


async def test_units_are_refused_whole(hive: Store) -> None:
    old = await hive.agents.register("a")
    await hive.agents.update("a", status="busy")
    unit = hive.atomic()
    unit.agents.update(old, status="x")
    unit.agents.register("b")
    with pytest.raises(Conflict):
        await unit.commit()
    unit = hive.atomic()
    unit.agents.register("a")
    unit.agents.register("b")
    with pytest.raises(AlreadyExists):
        await unit.commit()
    assert await hive.agents.get("b") is None


async def test_a_unit_wants_an_agent_that_was_read(hive: Store) -> None:
    async with hive.atomic() as unit:
        with pytest.raises(InvalidArgument, match="read before"):
            unit.agents.update("a", status="busy")  # type: ignore[arg-type]
