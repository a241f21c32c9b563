"""The original hive's manager on Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hive_state_core.compat import RedisConfig, RedisStateManager
from hive_state_core.embedded import Server
from hive_state_core.url import parse_url


@pytest.fixture
def managed(server: Server) -> Callable[..., RedisStateManager]:
    url = parse_url(server.url)

    def managed(**config: Any) -> RedisStateManager:
        port = url.port or 0
        return RedisStateManager(RedisConfig(host=url.host or "", port=port, password=url.password, **config))

    return managed


async def test_it_works_and_tells_how_the_server_is(managed: Callable[..., RedisStateManager]) -> None:
    async with managed(db=1, max_connections=3, stream_maxlen=10) as manager:
        health = await manager.health_check()
        assert (health["redis_connected"], health["status"], health["error"]) == (True, "ok", None)
        assert health["used_memory"] > 0
        assert health["max_memory"] is None
        await manager.register_agent("a", ["plan"])
        for id, priority in (("low", 9), ("high", 1)):
            assert await manager.add_task(id, priority, {"type": "build"})
        task = await manager.get_next_priority_task()
        assert task is not None
        assert task.task_id == "high"
        assert await manager.assign_task("high", "a")
        assert await manager.complete_task("high")
        assert await manager.update_task_state("low", status="failed", priority=2)
        assert await manager.create_checkpoint("nightly", {"n": 1}) == "checkpoint_1"
        state = await manager.get_system_state()
        counts = (state.total_agents, state.active_agents, state.completed_tasks, state.failed_tasks)
        assert counts == (1, 0, 1, 1)
        assert await manager.cleanup_old_data()
        assert await manager.shutdown()


async def test_the_ttl_of_the_configuration_is_that_of_agents_without_one(
    managed: Callable[..., RedisStateManager],
) -> None:
    async with managed(default_ttl=0.2) as manager:
        await manager.set_agent_state("brief", {"status": "working"})
        await manager.set_agent_state("longer", {"status": "working"}, ttl=60)
        assert (await manager.get_agent_state("brief")) is not None
        await asyncio.sleep(0.25)
        assert (await manager.get_agent_state("brief")) is None
        assert (await manager.get_agent_state("longer")) is not None


async def test_a_server_that_is_gone(server: Server, managed: Callable[..., RedisStateManager]) -> None:
    manager = managed()
    await manager.initialize()
    await asyncio.to_thread(server.kill)
    health = await manager.health_check()
    assert (health["redis_connected"], health["status"], health["used_memory"]) == (False, "fail", None)
    assert "nothing listens there" in health["error"]
    await asyncio.to_thread(server.start)
    assert (await manager.health_check())["redis_connected"]
    await manager.close()


def test_the_password_does_not_show() -> None:
    config = RedisConfig(password="secret/@:", username="me", db=2)
    assert "secret" not in repr(config)
    url = parse_url(config.url())
    assert (url.username, url.password, url.path) == ("me", "secret/@:", "/2")
    assert RedisConfig().url() == "redis://localhost:6379/0?max_connections=20&command_timeout=10"
