"""The original hive's managers over an ordinary store."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hive_state_core import open_store
from hive_state_core.compat import (
    AgentState,
    PostgreSQLConfig,
    PostgreSQLStateManager,
    StateManager,
    SystemState,
    TaskState,
)
from hive_state_core.compat import holds as holding
from hive_state_core.errors import Closed, HiveStateError, InvalidArgument, SchemaMismatch
from hive_state_core.url import parse_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a hive?.db"


@pytest.fixture
async def manager(path: Path) -> AsyncIterator[StateManager]:
    async with StateManager(path) as manager:
        yield manager


@pytest.fixture
async def other(path: Path, manager: StateManager) -> AsyncIterator[StateManager]:
    """As in another process: its own connection, its own holds."""
    async with StateManager(str(path)) as other:
        yield other


async def task_of(manager: StateManager, id: str) -> TaskState:
    task = await manager.get_task_state(id)
    assert task is not None
    return task


async def agent_of(manager: StateManager, id: str) -> AgentState:
    agent = await manager.get_agent_state(id)
    assert agent is not None
    return agent


# --- agents


async def test_an_agent_is_what_the_original_said(manager: StateManager) -> None:
    assert await manager.register_agent("a", ["plan"])
    agent = await agent_of(manager, "a")
    assert (agent.agent_id, agent.status, agent.capabilities) == ("a", "idle", ["plan"])
    assert (agent.context_usage, agent.current_task_id, agent.performance_metrics) == (0.0, None, {})
    assert agent.last_activity.tzinfo is None
    assert abs(agent.last_activity.astimezone() - datetime.now(UTC)) < timedelta(minutes=1)
    assert await manager.get_agent_state("nobody") is None


async def test_registering_again_wipes_nothing(manager: StateManager) -> None:
    await manager.register_agent("a", ["plan"])
    await manager.update_agent_state("a", "working", 0.5, "t")
    assert await manager.register_agent("a")
    agent = await agent_of(manager, "a")
    assert (agent.status, agent.context_usage, agent.current_task_id) == ("idle", 0.5, "t")
    assert agent.capabilities == ["plan"]


async def test_an_update_reaches_agents_of_other_processes(
    manager: StateManager, other: StateManager
) -> None:
    await other.register_agent("a")
    assert await manager.update_agent_state("a", status="working", current_task_id="t")
    assert (await agent_of(other, "a")).status == "working"
    assert await manager.update_agent_state("a", current_task_id="")
    agent = await agent_of(other, "a")
    assert (agent.status, agent.current_task_id) == ("working", None)
    assert not await manager.update_agent_state("nobody", status="idle")


async def test_a_state_with_a_ttl_goes_by_itself(manager: StateManager) -> None:
    assert await manager.set_agent_state("a", {"status": "working", "mood": "good"}, ttl=0.05)
    assert (await agent_of(manager, "a")).status == "working"
    while await manager.get_agent_state("a") is not None:
        await asyncio.sleep(0.01)
    state = AgentState("b", "busy", "t", 0.25, capabilities=["x"], performance_metrics={"n": 1})
    assert await manager.set_agent_state("b", state)
    read = await agent_of(manager, "b")
    read.last_activity = state.last_activity
    assert read == state
    with pytest.raises(InvalidArgument, match="context_usage"):
        await manager.set_agent_state("b", {"context_usage": "full"})


# --- tasks


async def test_a_task_goes_its_way(manager: StateManager) -> None:
    await manager.register_agent("a")
    assert await manager.add_task("t", 2, {"type": "build"})
    task = await task_of(manager, "t")
    assert (task.status, task.priority, task.metadata) == ("pending", 2, {"type": "build"})
    assert (task.agent_id, task.started_at, task.completed_at) == (None, None, None)
    assert await manager.assign_task("t", "a")
    task = await task_of(manager, "t")
    assert (task.status, task.agent_id) == ("assigned", "a")
    assert task.started_at is not None
    assert (await agent_of(manager, "a")).current_task_id == "t"
    assert (await agent_of(manager, "a")).status == "working"
    assert await manager.update_task_state("t", status="in_progress")
    assert (await task_of(manager, "t")).status == "in_progress"
    assert await manager.complete_task("t")
    task = await task_of(manager, "t")
    assert (task.status, task.agent_id) == ("completed", "a")
    assert task.completed_at is not None
    assert task.completed_at.tzinfo is None
    agent = await agent_of(manager, "a")
    assert (agent.status, agent.current_task_id) == ("idle", None)
    assert not await manager.complete_task("t")
    assert not await manager.complete_task("nobody")


async def test_adding_a_task_again_overwrites_nothing(manager: StateManager) -> None:
    await manager.add_task("t", 1, {"n": 1})
    await manager.assign_task("t", "a")
    assert not await manager.add_task("t", 9, {"n": 2})
    task = await task_of(manager, "t")
    assert (task.status, task.priority, task.metadata) == ("assigned", 1, {"n": 1})


async def test_the_next_task_goes_to_one_agent_only(manager: StateManager, other: StateManager) -> None:
    for n, priority in enumerate((5, 1, 5, 9)):
        await manager.add_task(f"t{n}", priority)
    found = [await each.get_next_priority_task() for each in (manager, other, manager, other, manager)]
    assert [task and task.task_id for task in found] == ["t1", "t0", "t2", "t3", None]
    assert {task.agent_id for task in found if task} == {None}
    assert (await task_of(manager, "t1")).agent_id is None
    assert await manager.assign_task("t1", "a")
    assert not await manager.assign_task("t0", "a"), "the other process holds it"
    assert await other.assign_task("t0", "b")
    assert (await task_of(manager, "t0")).agent_id == "b"


async def test_ready_code_that_assigns_what_it_was_given(manager: StateManager) -> None:
    for n in range(20):
        await manager.add_task(f"t{n:02}", n % 3)
    done: list[str] = []

    async def agent(name: str) -> None:
        await manager.register_agent(name)
        while (task := await manager.get_next_priority_task()) is not None:
            assert await manager.assign_task(task.task_id, name)
            assert await manager.update_task_state(task.task_id, status="in_progress")
            done.append(task.task_id)
            assert await manager.complete_task(task.task_id, success=len(done) % 4 > 0)

    await asyncio.gather(*[agent(f"a{n}") for n in range(5)])
    assert len(done) == len(set(done)) == 20
    state = await manager.get_system_state()
    assert (state.total_tasks, state.completed_tasks, state.failed_tasks) == (20, 15, 5)
    assert (state.total_agents, state.active_agents, state.quality_score) == (5, 0, 0.75)


async def test_what_was_only_looked_at_is_given_back(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "GLANCE", 0.4)  # a busy machine takes some of it until the task is assigned
    for id in ("looked at", "assigned"):
        await manager.add_task(id)
        task = await manager.get_next_priority_task()
        assert task is not None
        assert (task.task_id, task.status) == (id, "assigned")
    await manager.assign_task("assigned", "a")
    while (await task_of(manager, "looked at")).status != "pending":
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert (await task_of(manager, "assigned")).status == "assigned"
    hive = await manager._store()
    task_ = await hive.tasks.get("looked at")
    assert task_ is not None
    assert task_.attempt == 0


async def test_held_tasks_are_extended_and_those_of_a_dead_process_are_not(
    manager: StateManager, other: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hive_state_core.compat.work.LEASE", 0.3)
    monkeypatch.setattr(holding, "LEASE", 0.3)
    for id, holder in (("held", manager), ("orphan", other)):
        await manager.add_task(id)
        await holder.assign_task(id, "a")
    keeping = other._work and other._work.holds._keeping
    assert keeping is not None
    keeping.cancel()  # as if the process had been killed
    found = None
    while found is None:
        found = await manager.get_next_priority_task()
        await asyncio.sleep(0.02)
    assert found.task_id == "orphan"
    assert not await other.complete_task("orphan"), "it was taken away"
    assert await manager.assign_task("orphan", "b")
    assert await manager.complete_task("held")
    assert await manager.complete_task("orphan")


async def test_a_lease_that_was_taken_away_is_dropped(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "hive_state")
    monkeypatch.setattr(holding, "GLANCE", 0.06)
    await manager.add_task("t")
    await manager.assign_task("t", "a")
    hive = await manager._store()
    task = await hive.tasks.get("t")
    assert task is not None
    from hive_state_core.model import TaskRef
    from hive_state_core.spi import Batch, Release

    await hive._trips.commit(Batch((Release(TaskRef("t"), task._image.token),)))
    while "task t was taken away from this process" not in caplog.text:
        await asyncio.sleep(0.01)
    assert (await task_of(manager, "t")).status == "pending"


@pytest.mark.parametrize("status", ["assigned", "in_progress", "completed", "failed"])
async def test_every_status_can_be_set_and_taken_back(manager: StateManager, status: str) -> None:
    await manager.add_task("t")
    assert await manager.update_task_state("t", status=status, agent_id="a")
    task = await task_of(manager, "t")
    assert (task.status, task.agent_id) == (status, "a")
    assert (task.completed_at is not None) == (status in ("completed", "failed"))
    assert await manager.update_task_state("t", status="pending") == (status != "completed")
    if status != "completed":
        assert (await task_of(manager, "t")).status == "pending"
        assert (await manager.get_next_priority_task()) is not None


async def test_updates_that_cannot_be(manager: StateManager, other: StateManager) -> None:
    assert not await manager.update_task_state("nobody", status="pending")
    await manager.add_task("t")
    with pytest.raises(InvalidArgument, match="pending, assigned, in_progress, completed, failed"):
        await manager.update_task_state("t", status="paused")
    assert await manager.update_task_state("t", priority=1)
    assert (await task_of(manager, "t")).priority == 1
    assert await manager.update_task_state("t", agent_id="wished for")
    assert (await task_of(manager, "t")).agent_id == "wished for"
    await manager.complete_task("t")
    assert not await manager.update_task_state("t", status="in_progress")
    assert not await manager.update_task_state("t", priority=2)
    assert not await manager.assign_task("t", "a")
    assert not await manager.assign_task("nobody", "a")


async def test_another_process_may_complete_by_id(manager: StateManager, other: StateManager) -> None:
    await manager.add_task("t")
    await manager.assign_task("t", "a" * 500)
    assert await other.complete_task("t", success=False)
    task = await task_of(manager, "t")
    assert (task.status, task.agent_id) == ("failed", "a" * 500)
    assert not await manager.complete_task("t")


async def test_tasks_that_are_queued_are_consumed(manager: StateManager) -> None:
    id = await manager.queue_task({"type": "build", "priority": 2})
    assert await manager.queue_task({"task_id": "named", "n": 1}) == "named"
    assert await manager.queue_task({"task_id": "named", "n": 2}) == "named"
    assert (await task_of(manager, "named")).metadata == {"task_id": "named", "n": 1}
    seen = []
    async for lease in manager.consume_tasks("w"):
        async with lease:
            seen.append(lease.id)
        if len(seen) == 2:
            break
    assert seen == [id, "named"]
    assert (await task_of(manager, id)).status == "completed"


# --- the system


async def test_the_system_is_counted(manager: StateManager) -> None:
    assert await manager.get_system_state() == SystemState()
    for n, usage in enumerate((0.25, 0.75)):
        await manager.register_agent(f"a{n}")
        await manager.update_agent_state(f"a{n}", status="working" if n else None, context_usage=usage)
    for n in range(4):
        await manager.add_task(f"t{n}")
    await manager.complete_task("t0")
    await manager.complete_task("t1", success=False)
    await manager.create_checkpoint("nightly")
    state = await manager.get_system_state()
    assert (state.total_agents, state.active_agents, state.average_context_usage) == (2, 1, 0.5)
    assert (state.total_tasks, state.completed_tasks, state.failed_tasks) == (4, 1, 1)
    assert state.last_checkpoint is not None
    metrics = await manager.get_performance_metrics()
    assert (metrics["success_rate"], metrics["total_tasks"]) == (50.0, 4)


async def test_checkpoints_are_kept_with_their_agent(manager: StateManager) -> None:
    assert await manager.get_checkpoint("nightly") is None
    assert await manager.create_checkpoint("nightly", {"n": 1}) == "checkpoint_1"
    assert await manager.create_checkpoint("nightly", {"n": 2}, agent_id="a") == "checkpoint_2"
    assert await manager.get_checkpoint("nightly") == {"n": 2, "agent_id": "a"}


async def test_a_full_context_asks_for_a_checkpoint(manager: StateManager) -> None:
    await manager.register_agent("a")
    for usage, due in ((0.79, False), (0.8, True), (1.0, True)):
        await manager.update_agent_state("a", context_usage=usage)
        advised, reason = await manager.should_create_checkpoint("a")
        assert (advised, f"{usage:.0%}" in reason) == (due, True)
    assert await manager.should_create_checkpoint("nobody") == (False, "agent 'nobody' is not registered")


async def test_the_clean_up_removes_what_is_old(manager: StateManager) -> None:
    for id in ("done", "failed", "pending"):
        await manager.add_task(id)
    await manager.complete_task("done")
    await manager.complete_task("failed", success=False)
    for n in range(12):
        await manager.create_checkpoint("nightly", {"n": n})
    hive = await manager._store()
    await hive.checkpoints.snapshot({"n": 1})
    assert await manager.cleanup_old_data()
    assert (await manager.get_system_state()).total_tasks == 3
    await asyncio.sleep(0.01)
    assert await manager.cleanup_old_data(days_to_keep=0.001 / 86400)
    assert [task.id async for task in hive.tasks.list()] == ["pending"]
    assert [point async for point in hive.checkpoints.snapshots()] == []
    assert [point.seq async for point in hive.checkpoints.list("nightly")] == list(range(3, 13))
    assert [key for key in ("done", "failed") if await manager.get_task_state(key)] == []
    notes = (await hive.stats()).records
    assert notes.get("hive:legacy-tasks", 0) == 0


async def test_health(manager: StateManager, tmp_path: Path) -> None:
    health = await manager.health_check()
    assert (health["database_connected"], health["error"]) == (True, None)
    gone = StateManager(tmp_path / "no such folder" / "hive.db")
    health = await gone.health_check()
    assert (health["database_connected"], health["status"]) == (False, "fail")
    assert health["error"]
    nowhere = PostgreSQLStateManager(PostgreSQLConfig(port=1, password="s3cret", command_timeout=1))
    health = await nowhere.health_check()
    assert health["database_connected"] is False
    assert "s3cret" not in str(health)


# --- opening and closing


async def test_shutdown_gives_back_and_leaves_a_checkpoint(path: Path) -> None:
    manager = StateManager(path)
    await manager.add_task("t")
    assert await manager.assign_task("t", "a")
    assert await manager.shutdown()
    async with StateManager(path) as again:
        assert (await task_of(again, "t")).status == "pending"
        checkpoint = await again.get_checkpoint("shutdown")
        assert checkpoint is not None
        assert checkpoint["total_tasks"] == 1


async def test_it_opens_itself_again(path: Path) -> None:
    manager = StateManager(path)
    assert await manager.initialize()
    await manager.close()
    await manager.close()
    assert await manager.register_agent("a")
    await manager.close()


@pytest.mark.filterwarnings("ignore:Store.* was never closed:ResourceWarning")  # code of that time does not
def test_one_manager_is_of_one_event_loop(path: Path) -> None:
    use_from_several_loops(path)
    gc.collect()


def use_from_several_loops(path: Path) -> None:
    manager = StateManager(path)

    async def use() -> None:
        await manager.register_agent("a")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    with pytest.raises(InvalidArgument, match="another event loop"):
        asyncio.run(use())
    loop.close()
    asyncio.run(use())
    asyncio.run(use())


async def test_the_originals_own_file_is_pointed_to_the_import(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "state_manager.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE agents (agent_id TEXT PRIMARY KEY)")
    db.close()
    with pytest.raises(SchemaMismatch, match="hive-state import-legacy"):
        await StateManager(path).register_agent("a")


async def test_trouble_with_the_store_is_raised(manager: StateManager) -> None:
    hive = await manager._store()
    await hive.close()
    with pytest.raises(Closed):
        await manager.add_task("t")
    with pytest.raises(HiveStateError):
        await manager.get_agent_state("a")


async def test_ordinary_code_sees_ordinary_agents_and_tasks(manager: StateManager, path: Path) -> None:
    await manager.register_agent("a", ["plan"])
    await manager.add_task("t", 3, {"n": 1})
    async with open_store(f"sqlite:///{path}".replace("?", "%3F")) as hive:
        agent = await hive.agents.get("a")
        assert agent is not None
        assert (agent.capabilities, agent.offline_after) == (("plan",), None)
        (lease,) = await hive.tasks.claim("tasks", worker="new code")
        assert (lease.id, lease.payload) == ("t", {"n": 1})
        assert (await task_of(manager, "t")).status == "in_progress"
        assert (await task_of(manager, "t")).agent_id == "new code"
        await hive.tasks.complete(lease)
        assert (await task_of(manager, "t")).status == "completed"
        await hive.tasks.enqueue("tasks", [1, 2], id="list")
        assert (await task_of(manager, "list")).metadata == {"payload": [1, 2]}


def test_a_configuration_is_a_url() -> None:
    config = PostgreSQLConfig("db.internal", 5433, "hive", "me@corp", "p/w?", 1, 2, 2.5)
    url = parse_url(config.url())
    assert (url.host, url.port, url.path, url.username) == ("db.internal", 5433, "/hive", "me@corp")
    assert url.password == "p/w?"
    assert url.options == {"min_connections": "1", "max_connections": "2", "command_timeout": "2.5"}
    assert "p/w" not in repr(config)
    values: dict[str, Any] = vars(PostgreSQLConfig())
    assert values["min_connections"] == 5
    assert values["max_connections"] == 20
